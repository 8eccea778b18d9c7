//! Takes messages numbered from 0 (property `n`); its method `seen` answers how many came in order, and the first that did not with what it was.

use test_guests::property;
use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::{Message, Result, Value, json, module};

#[derive(Default)]
struct Sequence {
    next: u64,
    wrong: Option<Value>,
}

#[module]
impl Sequence {
    fn message(&mut self, message: &Message) -> Result {
        let n = property::<u64>(message, "n")?;
        if n == Some(self.next) {
            self.next += 1;
        } else {
            self.wrong
                .get_or_insert_with(|| json!({ "expected": self.next, "came": n }));
        }
        Ok(())
    }

    fn method(&mut self, name: &str, _: Option<()>) -> Response {
        if name != "seen" {
            return Response::unknown_method(name);
        }
        Response::ok(&json!({ "next": self.next, "wrong": self.wrong }))
    }
}

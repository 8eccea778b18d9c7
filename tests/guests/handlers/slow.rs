//! Uses its time for ever at a message with the property `spin`, and answers any other.

use test_guests::{answer, spin};
use wasm_edge_sdk::{Message, Result, json, module};

#[derive(Default)]
struct Slow {
    count: u64,
}

#[module]
impl Slow {
    fn message(&mut self, message: &Message) -> Result {
        self.count += 1;
        if message.property("spin").is_some() {
            spin();
        }
        answer(&json!({ "count": self.count }))
    }
}

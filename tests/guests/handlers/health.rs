//! Is well until a message comes, whose body (a JSON text) is what is wrong from then on; an empty one makes it well again.
//! Each check sends one message, `{"checked": N}`, which may go out only where it was well.

use test_guests::answer;
use wasm_edge_sdk::{Failure, Message, Result, json, module};

#[derive(Default)]
struct Health {
    wrong: String,
    checks: u64,
}

#[module]
impl Health {
    fn message(&mut self, message: &Message) -> Result {
        self.wrong = message.json()?;
        answer(&json!({ "checks": self.checks }))
    }

    fn health(&mut self) -> Result {
        self.checks += 1;
        answer(&json!({ "checked": self.checks }))?;
        match self.wrong.as_str() {
            "" => Ok(()),
            wrong => Err(Failure::reject(wrong)),
        }
    }
}

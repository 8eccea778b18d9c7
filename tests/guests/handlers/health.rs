//! Is well until a message comes, whose body is what is wrong from then on; an empty one makes it well again.

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
        self.wrong = message.text()?;
        answer(&json!({ "checks": self.checks }))
    }

    fn health(&mut self) -> Result {
        self.checks += 1;
        match self.wrong.as_str() {
            "" => Ok(()),
            wrong => Err(Failure::reject(wrong)),
        }
    }
}

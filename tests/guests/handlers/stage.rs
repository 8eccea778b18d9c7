//! Sends `first` and `second` on `out`, and then does what the property `then` says: `ok`, `reject`, `retry` or `trap`.

use std::time::Duration;

use test_guests::answer;
use wasm_edge_sdk::{Failure, Message, Result, json, module};

#[derive(Default)]
struct Stage;

#[module]
impl Stage {
    fn message(&mut self, message: &Message) -> Result {
        answer(&json!("first"))?;
        answer(&json!("second"))?;
        match message.property("then").as_deref() {
            Some("reject") => Err(Failure::reject("told to")),
            Some("retry") if message.previous_tries() == 0 => Err(Failure::retry(Duration::ZERO)),
            Some("trap") if message.previous_tries() == 0 => std::arch::wasm32::unreachable(),
            _ => Ok(()),
        }
    }
}

//! Rejects a message with the property `reject`, whose value is the reason, after having sent something that must not go out.

use test_guests::answer;
use wasm_edge_sdk::{Failure, Message, Result, json, module};

#[derive(Default)]
struct RejectOn;

#[module]
impl RejectOn {
    fn message(&mut self, message: &Message) -> Result {
        answer(&json!({ "body": message.text()? }))?;
        match message.property("reject") {
            Some(reason) => Err(Failure::reject(reason)),
            None => Ok(()),
        }
    }
}

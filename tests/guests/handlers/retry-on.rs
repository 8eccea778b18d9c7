//! Asks for a message again after `retry_ms` until it was handed over `times` times before; for ever without `times`.

use std::time::Duration;

use test_guests::{answer, property};
use wasm_edge_sdk::{Failure, Message, Result, json, module};

#[derive(Default)]
struct RetryOn;

#[module]
impl RetryOn {
    fn message(&mut self, message: &Message) -> Result {
        let tries = message.previous_tries();
        let times = property::<u32>(message, "times")?.unwrap_or(u32::MAX);
        if let Some(after) = property(message, "retry_ms")?.filter(|_| tries < times) {
            return Err(Failure::retry(Duration::from_millis(after)));
        }
        answer(&json!({ "previousTries": tries, "body": message.text()? }))
    }
}

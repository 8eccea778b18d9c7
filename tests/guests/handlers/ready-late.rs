//! Says that it is ready after `READY_AFTER_MS`, or at the first message; never without either.

use std::time::Duration;

use test_guests::answer;
use wasm_edge_sdk::timer::{self, Tick};
use wasm_edge_sdk::{Message, Result, json, lifecycle, module};

#[derive(Default)]
struct ReadyLate;

#[module]
impl ReadyLate {
    fn init(&mut self) -> Result {
        if let Ok(after) = std::env::var("READY_AFTER_MS") {
            timer::once("ready", Duration::from_millis(after.parse()?))?;
        }
        Ok(())
    }

    fn timer(&mut self, _: Tick) {
        lifecycle::ready();
    }

    fn message(&mut self, _: &Message) -> Result {
        lifecycle::ready();
        answer(&json!("ready"))
    }
}

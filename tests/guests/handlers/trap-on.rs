//! Traps at a message with the property `trap`; with `trap` = N, while it was handed over fewer than N times before.

use test_guests::{answer, property};
use wasm_edge_sdk::{Message, Result, json, module};

#[derive(Default)]
struct TrapOn {
    count: u64,
}

#[module]
impl TrapOn {
    fn message(&mut self, message: &Message) -> Result {
        self.count += 1;
        let tries = message.previous_tries();
        if property::<u32>(message, "trap")?.is_some_and(|times| tries < times) {
            std::arch::wasm32::unreachable();
        }
        answer(&json!({ "count": self.count, "previousTries": tries }))
    }
}

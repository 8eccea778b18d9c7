//! Counts messages in memory and in `/data/count`, so that a restart shows in the one and not in the other.

use std::fs;

use test_guests::answer;
use wasm_edge_sdk::{Message, Result, json, module};

const FILE: &str = "/data/count";

#[derive(Default)]
struct CounterState {
    count: u64,
}

#[module]
impl CounterState {
    fn message(&mut self, _: &Message) -> Result {
        self.count += 1;
        let stored: u64 = match fs::read_to_string(FILE) {
            Ok(text) => text.trim().parse()?,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => 0,
            Err(err) => return Err(err.into()),
        };
        fs::write(FILE, (stored + 1).to_string())?;
        answer(&json!({ "memory": self.count, "data": stored + 1 }))
    }
}

//! Sends `first` and `second` on `out` (or one on each of the outputs that the property `outputs` names), and then does what the property `then` says:
//! `ok`, `reject`, `retry`, or at the first try only `trap`, `panic`, `spin` or `memory`. With `fill` it sends on `stuck` until there is no room.

use std::time::Duration;

use test_guests::{outgoing, spin};
use wasm_edge_sdk::{Failure, Message, Result, SendError, json, log, module};

#[derive(Default)]
struct Stage;

#[module]
impl Stage {
    fn message(&mut self, message: &Message) -> Result {
        let then = message.property("then").unwrap_or_default();
        if then == "fill" {
            while outgoing(&json!("fills")).send("stuck").is_ok() {}
            return Ok(());
        }
        let outputs = message.property("outputs").unwrap_or("out,out".to_owned());
        for (output, body) in outputs.split(',').zip(["first", "second", "third"]) {
            let sent = outgoing(&json!(body)).send(output);
            if sent == Err(SendError::WouldBlock) {
                log::info!("no room on {output}");
            }
            sent?;
        }
        match (then.as_str(), message.previous_tries()) {
            ("reject", _) => Err(Failure::reject("told to")),
            ("retry", 0) => Err(Failure::retry(Duration::ZERO)),
            ("trap", 0) => std::arch::wasm32::unreachable(),
            ("panic", 0) => panic!("told to"),
            ("spin", 0) => spin(),
            ("memory", 0) => {
                let mut taken = Vec::new();
                loop {
                    taken.push(vec![1_u8; 1 << 20]);
                    std::hint::black_box(&taken);
                }
            }
            _ => Ok(()),
        }
    }
}

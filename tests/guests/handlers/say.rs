//! Writes the body to where the property `to` says: `stdout`, `stderr` or, as a log line with a field, a level's name.

use std::io::Write as _;

use test_guests::{answer, property};
use wasm_edge_sdk::{Message, Result, json, log, module};

#[derive(Default)]
struct Say;

#[module]
impl Say {
    fn message(&mut self, message: &Message) -> Result {
        let text = message.text()?;
        match message.property("to").as_deref() {
            Some("stdout") => std::io::stdout().write_all(text.as_bytes())?,
            Some("stderr") => std::io::stderr().write_all(text.as_bytes())?,
            _ => {
                let level: log::Level = property(message, "to")?.unwrap_or(log::Level::Info);
                log::log!(level, size_bytes = text.len(); "{text}");
            }
        }
        std::io::stdout().flush()?;
        answer(&json!("said"))
    }
}

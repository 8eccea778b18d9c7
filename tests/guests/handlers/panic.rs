//! Panics with the body as its message.

use wasm_edge_sdk::{Message, Result, module};

#[derive(Default)]
struct Panic;

#[module]
impl Panic {
    fn message(&mut self, message: &Message) -> Result {
        let text = message.text()?;
        panic!("{text}");
    }
}

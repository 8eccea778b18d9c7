//! Does nothing with a message and is always well: the least that a module can be.

use wasm_edge_sdk::{Message, module};

#[derive(Default)]
struct Empty;

#[module]
impl Empty {
    fn message(&mut self, _: &Message) {}

    fn health(&mut self) {}
}

//! A program that exports a handler as well, which no component may.

use wasm_edge_sdk::{Message, module};

#[derive(Default)]
struct BothKinds;

#[module]
impl BothKinds {
    fn message(&mut self, _: &Message) {}
}

fn main() {}

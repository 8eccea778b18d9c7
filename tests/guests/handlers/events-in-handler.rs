//! Has a handler and asks `events` as well, which only a program may.

use std::time::Duration;

use wasm_edge_sdk::{Message, events, module};

#[derive(Default)]
struct EventsInHandler;

#[module]
impl EventsInHandler {
    fn message(&mut self, _: &Message) {
        drop(events::next(Duration::ZERO));
    }
}

//! Passes each message on to `out`, with the property `echoed` set to the module's id.

use wasm_edge_sdk::{Message, Result, identity, module};

#[derive(Default)]
struct Echo;

#[module]
impl Echo {
    fn message(&mut self, message: &Message) -> Result {
        let sent = message
            .forward()
            .set("echoed", identity::module_id())
            .send("out");
        Ok(sent?)
    }
}

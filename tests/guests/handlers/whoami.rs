//! Answers who it is: identity, environment and arguments.

use std::collections::BTreeMap;

use test_guests::answer;
use wasm_edge_sdk::{Message, Result, identity, json, module};

#[derive(Default)]
struct Whoami;

#[module]
impl Whoami {
    fn message(&mut self, _: &Message) -> Result {
        answer(&json!({
            "device": identity::device_id(),
            "module": identity::module_id(),
            "hub": identity::hub_host_name(),
            "generation": identity::generation_id(),
            "environment": std::env::vars().collect::<BTreeMap<_, _>>(),
            "arguments": std::env::args().collect::<Vec<_>>(),
        }))
    }
}

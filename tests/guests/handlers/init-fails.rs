//! Its `init` answers an error, with the text of the environment variable `REASON`; without one it is well.

use test_guests::answer;
use wasm_edge_sdk::{Failure, Message, Result, json, module};

#[derive(Default)]
struct InitFails;

#[module]
impl InitFails {
    fn init(&mut self) -> Result {
        match std::env::var("REASON") {
            Ok(reason) => Err(Failure::reject(reason)),
            Err(_) => Ok(()),
        }
    }

    fn message(&mut self, _: &Message) -> Result {
        answer(&json!("well"))
    }
}

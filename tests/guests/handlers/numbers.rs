//! Sends messages numbered from 0 (property `n`) as fast as there is room for them, until its method `stop` is called, which answers how many they are.

use std::time::Duration;

use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::timer::{self, Tick};
use wasm_edge_sdk::{Outgoing, Result, SendError, json, module};

/// So many in one call, which is to be short.
const AT_ONCE: u64 = 200;

#[derive(Default)]
struct Numbers {
    sent: u64,
}

#[module]
impl Numbers {
    fn init(&mut self) -> Result {
        Ok(timer::every("go", Duration::from_millis(1))?)
    }

    fn timer(&mut self, _: Tick) -> Result {
        for _ in 0..AT_ONCE {
            let message = Outgoing::new(Vec::new()).property("n", self.sent.to_string());
            match message.send("out") {
                Ok(()) => self.sent += 1,
                Err(SendError::WouldBlock) => break,
                Err(err) => return Err(err.into()),
            }
        }
        Ok(())
    }

    fn method(&mut self, name: &str, _: Option<()>) -> Response {
        if name != "stop" {
            return Response::unknown_method(name);
        }
        timer::cancel("go");
        Response::ok(&json!({ "sent": self.sent }))
    }
}

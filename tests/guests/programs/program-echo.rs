//! As `echo`, in a loop of its own: passes each message on to `out`, with the property `echoed` set to the module's id.

use std::error::Error;
use std::time::Duration;

use wasm_edge_sdk::events::{self, Event};
use wasm_edge_sdk::{SendError, identity};

/// Where a queue is full, the message comes again so much later.
const FULL_WAIT: Duration = Duration::from_millis(10);

fn main() -> Result<(), Box<dyn Error>> {
    for event in events::all() {
        if let Event::Message(delivery) = event {
            let echo = delivery.forward().set("echoed", identity::module_id());
            match echo.send("out") {
                Ok(()) => delivery.complete()?,
                Err(SendError::WouldBlock) => delivery.retry(FULL_WAIT)?,
                Err(err) => return Err(err.into()),
            }
        }
    }
    Ok(())
}

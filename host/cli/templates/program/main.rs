//! Passes on what it gets, with a number, and says at intervals that it is there: a program with a loop of its own.

use std::error::Error;
use std::time::Duration;

use wasm_edge_sdk::events::{self, Event};
use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::{Outgoing, SendError, json, log, timer};

/// How often it says that it is there.
const BEAT: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    timer::every("beat", BEAT)?;
    let mut passed_on = 0_u64;
    for event in events::all() {
        let status = json!({ "passed_on": passed_on });
        match event {
            Event::Message(delivery) => {
                // What is sent by a delivery goes out together with its completion, or not at all.
                let number = (passed_on + 1).to_string();
                delivery.forward().set("number", number).send("passed-on")?;
                delivery.complete()?;
                passed_on += 1;
            }
            Event::Timer(_) => match Outgoing::json(&status)?.send("beats") {
                Err(SendError::WouldBlock) => log::warn!("a queue is full: this beat is left out"),
                sent => sent?,
            },
            Event::Method(call) => {
                let response = match call.name().as_str() {
                    "status" => Response::ok(&status),
                    name => Response::unknown_method(name),
                };
                call.respond(response)?;
            }
            Event::Desired(_) => {}
            Event::Shutdown(_) => log::info!("ends after {passed_on} messages"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use wasm_edge_sdk::Value;
    use wasm_edge_sdk::testing::Harness;

    use super::*;

    #[test]
    fn it_passes_on_with_a_number() {
        let mut program = Harness::program(main);
        program.message("one").expect_ok();
        let handled = program.message("two").expect_ok();
        assert_eq!(handled.only_sent().text(), "two");
        assert_eq!(handled.only_sent().property("number"), Some("2"));
    }

    #[test]
    fn it_says_that_it_is_there_and_ends_when_it_is_told() {
        let mut program = Harness::program(main);
        let handled = program.advance(BEAT).expect_ok();
        let beat: Value = handled.only_sent().json();
        assert_eq!(beat, json!({ "passed_on": 0 }));
        program.shutdown(BEAT).expect_ok();
    }
}

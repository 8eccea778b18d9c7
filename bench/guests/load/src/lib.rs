//! What a measured module does with a message, by the input that it comes in at.
//!
//! - `empty`: nothing; the least that a call can cost
//! - `forward`: passes it on to the output `out`, its body untouched
//! - `filter`: reads it as JSON and passes on what has a `temperature` above 20
//! - `sink`: counts; the message that its method `expect` was told to be the last one sends the count upstream
//!
//! Its method `trap` ends the instance in a trap. A line in the log says that one came up, or is about to trap.

use std::time::Instant;

use serde::Deserialize;
use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::{Failure, Message, Outgoing, Result, Value, json, log, module};

#[derive(Deserialize)]
struct Reading {
    machine: Machine,
}

#[derive(Deserialize)]
struct Machine {
    temperature: f64,
}

#[derive(Deserialize)]
struct Expectation {
    messages: u64,
}

#[derive(Default)]
struct Load {
    sink: Sink,
}

#[derive(Default)]
struct Sink {
    expected: u64,
    received: u64,
    bytes: u64,
    first: Option<Instant>,
}

#[module]
impl Load {
    fn health(&mut self) {}

    fn init(&mut self) {
        log::info!("up");
    }

    fn message(&mut self, message: &Message) -> Result {
        match message.input().as_str() {
            "empty" => {}
            "forward" => message.forward().send("out")?,
            "filter" => {
                let reading: Reading = message.json()?;
                if reading.machine.temperature > 20.0 {
                    message.forward().set("alert", "temperature").send("out")?;
                }
            }
            "sink" => self.sink.take(message)?,
            input => return Err(Failure::reject(format!("no input `{input}`"))),
        }
        Ok(())
    }

    fn method(&mut self, name: &str, expected: Expectation) -> Response {
        match name {
            "expect" => {
                self.sink = Sink {
                    expected: expected.messages,
                    ..Sink::default()
                };
                Response::ok(&Value::Null)
            }
            "trap" => {
                log::info!("down");
                std::process::abort();
            }
            _ => Response::unknown_method(name),
        }
    }
}

impl Sink {
    fn take(&mut self, message: &Message) -> Result {
        let first = *self.first.get_or_insert_with(Instant::now);
        self.received += 1;
        self.bytes += u64::from(message.body_size_bytes());
        if self.received == self.expected {
            let elapsed_ns = u64::try_from(first.elapsed().as_nanos()).unwrap_or(u64::MAX);
            Outgoing::json(&json!({
                "received": self.received,
                "bytes": self.bytes,
                "elapsedNs": elapsed_ns,
            }))?
            .send("done")?;
        }
        Ok(())
    }
}

//! Sends as many messages as its method `send` is told, or a message that comes, as fast as they are taken, and then
//! says so upstream.
//!
//! The body is a reading in JSON, filled up to the size that is asked for.

use std::error::Error;
use std::time::Duration;

use serde::Deserialize;
use wasm_edge_sdk::events::{self, Event};
use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::{Outgoing, SendError, SystemProperty, Value, json};

/// How long a full queue is given to drain.
const PAUSE: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    messages: u64,
    size_bytes: usize,
    /// Says of each message that it is JSON, so that routes can look into it.
    #[serde(default)]
    described: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    loop {
        match events::wait() {
            Event::Method(call) => match wasm_edge_sdk::serde_json::from_str(&call.payload()) {
                Ok(order) => {
                    call.respond(Response::ok(&Value::Null))?;
                    send(order)?;
                }
                Err(err) => call.respond(Response::error(400, err))?,
            },
            Event::Message(delivery) => {
                let order = delivery.message().json()?;
                delivery.complete()?;
                send(order)?;
            }
            Event::Shutdown(_) => return Ok(()),
            _ => {}
        }
    }
}

fn send(order: Order) -> Result<(), Box<dyn Error>> {
    let body = body(order.size_bytes);
    let mut refused: u64 = 0;
    for _ in 0..order.messages {
        while let Err(err) = outgoing(&body, order.described).send("out") {
            match err {
                SendError::WouldBlock => refused += 1,
                err => return Err(err.into()),
            }
            if let Some(Event::Shutdown(_)) = events::next(PAUSE) {
                return Ok(());
            }
        }
    }
    Outgoing::json(&json!({ "sent": order.messages, "refused": refused }))?.send("sent")?;
    Ok(())
}

fn outgoing(body: &str, described: bool) -> Outgoing {
    let outgoing = Outgoing::new(body.as_bytes());
    match described {
        true => outgoing
            .system_property(SystemProperty::ContentType, "application/json")
            .system_property(SystemProperty::ContentEncoding, "utf-8"),
        false => outgoing,
    }
}

/// `{"machine":{"temperature":21.5},"pad":"..."}` of so many bytes, at least what the reading takes.
fn body(size_bytes: usize) -> String {
    let reading = r#"{"machine":{"temperature":21.5},"pad":""#;
    let pad = size_bytes.saturating_sub(reading.len() + 2);
    format!("{reading}{}\"}}", "x".repeat(pad))
}

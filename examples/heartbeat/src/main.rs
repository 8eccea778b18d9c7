//! Says at intervals on `beats` that it is there, and answers the direct method `ping`: a plain program with a loop of its own.

use std::error::Error;
use std::time::{Duration, Instant};

use serde::Deserialize;
use wasm_edge_sdk::events::{self, Event, MethodCall};
use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::{Outgoing, SendError, Value, json, log, timer, twin};

/// The timer that a beat is sent at.
const TIMER: &str = "beat";

#[derive(Deserialize)]
#[serde(default)]
struct Settings {
    interval_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval_ms: 10_000,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let mut beats = 0_u64;
    for event in events::all() {
        let status = json!({ "beats": beats, "uptime_ms": millis(started.elapsed()) });
        match event {
            Event::Desired(_) => set_interval(),
            Event::Timer(_) => match Outgoing::json(&status)?.send("beats") {
                Ok(()) => beats += 1,
                Err(SendError::WouldBlock) => log::warn!("a queue is full: this beat is left out"),
                Err(err) => return Err(err.into()),
            },
            Event::Method(call) => answer(&call, &status)?,
            Event::Message(delivery) => delivery.reject("a heartbeat takes no messages")?,
            Event::Shutdown(_) => log::info!("ends after {beats} beats"),
        }
    }
    Ok(())
}

/// Takes over the interval that is desired now; one that cannot be used leaves the old one running.
fn set_interval() {
    let started = twin::desired()
        .map_err(|err| err.to_string())
        .and_then(|settings: Settings| {
            timer::every(TIMER, Duration::from_millis(settings.interval_ms))
                .map_err(|err| err.to_string())?;
            twin::report(&json!({ "interval_ms": settings.interval_ms }))
                .map_err(|err| err.to_string())
        });
    if let Err(err) = started {
        log::error!("interval not changed: {err}");
    }
}

fn answer(call: &MethodCall, status: &Value) -> Result<(), events::CompletionError> {
    match call.name().as_str() {
        "ping" => call.respond(Response::ok(status)),
        name => call.respond(Response::unknown_method(name)),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

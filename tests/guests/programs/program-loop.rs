//! Hears of everything in a loop of its own, and does with a message what its property `do` says:
//! `complete` (as without one), `drop`, `reject`, `retry`, `twice`, `spin`, `trap`, `exit` (with the property's `code`), or `ignore-shutdown`;
//! `spin-once`, `trap-once` and `leave-once` (exit without an end of the message) at the first try only.
//! Any other event is answered with its kind.

use std::error::Error;
use std::time::Duration;

use test_guests::{outgoing, spin};
use wasm_edge_sdk::events::{self, Delivery, Event};
use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::twin::DesiredUpdate;
use wasm_edge_sdk::{Value, json, timer};

fn main() -> Result<(), Box<dyn Error>> {
    let mut ignore_shutdown = false;
    timer::once("first", Duration::from_millis(1))?;
    loop {
        match events::wait() {
            Event::Message(delivery) => match order(&delivery).as_str() {
                "ignore-shutdown" => {
                    ignore_shutdown = true;
                    delivery.complete()?;
                }
                other => obey(other, &delivery)?,
            },
            Event::Desired(DesiredUpdate::Full(value)) => say(&json!({ "desired": value }))?,
            Event::Desired(DesiredUpdate::Patch(value)) => say(&json!({ "patch": value }))?,
            Event::Method(call) => {
                let payload: Value = wasm_edge_sdk::serde_json::from_str(&call.payload())?;
                call.respond(Response::ok(
                    &json!({ "method": call.name(), "payload": payload }),
                ))?;
            }
            Event::Timer(tick) => say(&json!({ "timer": tick.name }))?,
            Event::Shutdown(grace) => {
                say(&json!({ "shutdown": true, "graceMs": u64::try_from(grace.as_millis())? }))?;
                if !ignore_shutdown {
                    return Ok(());
                }
            }
        }
    }
}

fn order(delivery: &Delivery) -> String {
    delivery.message().property("do").unwrap_or_default()
}

fn obey(order: &str, delivery: &Delivery) -> Result<(), Box<dyn Error>> {
    let message = delivery.message();
    delivery.send("out", outgoing(&json!({ "staged": order })))?;
    match order {
        "drop" if message.previous_tries() == 0 => {}
        "retry" if message.previous_tries() == 0 => delivery.retry(Duration::from_millis(1))?,
        "reject" => delivery.reject("told to")?,
        "spin" => spin(),
        "trap" => std::arch::wasm32::unreachable(),
        "spin-once" if message.previous_tries() == 0 => spin(),
        "trap-once" if message.previous_tries() == 0 => std::arch::wasm32::unreachable(),
        "leave-once" if message.previous_tries() == 0 => std::process::exit(1),
        "exit" => {
            delivery.complete()?;
            let code = message.property("code").unwrap_or_default();
            std::process::exit(code.parse().unwrap_or(0));
        }
        "twice" => {
            delivery.complete()?;
            let again = delivery.complete().map_err(|err| err.to_string());
            say(&json!({ "again": again.err() }))?;
        }
        _ => {
            delivery.forward().set("forwarded", "yes").send("out")?;
            delivery.complete()?;
        }
    }
    Ok(())
}

fn say(value: &Value) -> Result<(), Box<dyn Error>> {
    Ok(outgoing(value).send("out")?)
}

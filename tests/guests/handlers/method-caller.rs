//! Calls the method `method` of the module `module` (of the device without one), both by message and by its own method `relay`, whose payload names them and what to hand over: `payload`, or a text of `bytes` bytes.
//! Two of them that relay to each other make a circle.

use std::time::Duration;

use test_guests::answer;
use wasm_edge_sdk::methods::{Call, InvokeError, Response};
use wasm_edge_sdk::{Message, Result, Value, json, module};

#[derive(Default)]
struct MethodCaller;

#[module]
impl MethodCaller {
    fn message(&mut self, message: &Message) -> Result {
        answer(&call(&message.json()?))
    }

    fn method(&mut self, name: &str, payload: Value) -> Response {
        match name {
            "relay" => Response::ok(&call(&payload)),
            name => Response::unknown_method(name),
        }
    }
}

fn call(order: &Value) -> Value {
    let text = |name| order[name].as_str().unwrap_or_default().to_owned();
    let call = match order["module"].as_str() {
        Some(module) => Call::module(module, text("method")),
        None => Call::device(text("method")),
    };
    let payload = match order["bytes"].as_u64() {
        Some(bytes) => Value::from("x".repeat(usize::try_from(bytes).unwrap_or(0) - 2)),
        None => order["payload"].clone(),
    };
    let answer = call
        .payload(payload)
        .response_timeout(Duration::from_secs(5))
        .invoke();
    match answer {
        Ok(response) => {
            json!({ "status": response.status, "payload": response.json::<Value>().ok() })
        }
        Err(err) => json!({ "error": name(&err) }),
    }
}

fn name(error: &InvokeError) -> &'static str {
    match error {
        InvokeError::NotFound => "not-found",
        InvokeError::Timeout => "timeout",
        InvokeError::Busy => "busy",
        InvokeError::Invalid(_) => "invalid",
        _ => "other",
    }
}

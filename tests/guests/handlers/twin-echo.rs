//! Copies the desired property `x` to the reported one, and answers each update with its kind, as it came.
//! A message makes it report the body as a patch and answer both sections.

use test_guests::answer;
use wasm_edge_sdk::twin::{self, DesiredUpdate};
use wasm_edge_sdk::{Message, Result, Value, json, module};

#[derive(Default)]
struct TwinEcho;

#[module]
impl TwinEcho {
    fn desired_update(&mut self, update: DesiredUpdate) -> Result {
        let (kind, value) = match &update {
            DesiredUpdate::Full(value) => ("full", value),
            DesiredUpdate::Patch(value) => ("patch", value),
        };
        if let Some(x) = value.get("x") {
            twin::report(&json!({ "x": x }))?;
        }
        answer(&json!({ "kind": kind, "version": update.version(), "update": value }))
    }

    fn message(&mut self, message: &Message) -> Result {
        let body = message.text()?;
        let error = match report(&body) {
            Ok(()) => Value::Null,
            Err(err) => json!(err.to_string()),
        };
        answer(&json!({
            "error": error,
            "desired": twin::desired_text(),
            "reported": twin::reported_text(),
        }))
    }
}

fn report(body: &str) -> Result<(), twin::Error> {
    if body.is_empty() {
        return Ok(());
    }
    let patch: Value = wasm_edge_sdk::serde_json::from_str(body)
        .map_err(|err| twin::Error::InvalidJson(err.to_string()))?;
    twin::report(&patch)
}

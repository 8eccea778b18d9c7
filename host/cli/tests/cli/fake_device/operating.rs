//! What a fake device answers to those who operate it: methods, messages, restarts, deployments.

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answers, hub_error, json_response};

pub(super) fn router() -> Router<Answers> {
    Router::new()
        .route("/v1/modules/{device}/{module}/restart", post(restart))
        .route("/v1/modules/{device}/{module}/messages", post(message))
        .route("/v1/queues", get(queues))
        .route("/v1/queues/{device}/messages", get(queued))
        .route("/v1/queues/{device}/{verb}", post(handle_queue))
        .route("/v1/deployments/{device}", get(deployment))
        .route("/v1/deployments/{device}/check", post(check))
        .route(
            "/devices/{device}/applyConfigurationContent",
            post(async || StatusCode::NO_CONTENT),
        )
        .route("/twins/{device}/modules/{module}/methods", post(method))
}

#[derive(Deserialize)]
struct Sent {
    #[serde(default)]
    input: String,
}

async fn restart(Path((_, module)): Path<(String, String)>) -> Response {
    match module.as_str() {
        "filter" => json_response(&json!({ "device": "d1", "module": module })),
        "sensor" => refused(
            StatusCode::CONFLICT,
            "the module `sensor` is not to run: its desired status is `stopped`",
        ),
        _ => refused(StatusCode::NOT_FOUND, "no module `none` on the device `d1`"),
    }
}

async fn message(Query(sent): Query<Sent>) -> Response {
    let outcome = match sent.input.as_str() {
        "full" => {
            let error = "the queue of the input `full` of the module `filter` is full";
            return refused(StatusCode::SERVICE_UNAVAILABLE, error);
        }
        "odd" => json!({
            "outcome": "set-aside", "reason": "rejected", "detail": "body is no JSON\u{1b}[2J",
        }),
        _ => json!({ "outcome": "completed", "reason": null, "detail": null }),
    };
    json_response(&outcome)
}

async fn queues() -> Response {
    let counters = json!({ "taken": 20, "delivered": 12, "expired": 3, "droppedNewest": 1 });
    json_response(&json!({
        "queues": [
            {
                "device": "d1", "endpoint": "$upstream", "routed": true, "queuedMessages": 2, "inHandMessages": 1,
                "stagedMessages": 0, "bytes": 2048, "asideMessages": 0, "asideBytes": 0,
                "priorities": [
                    { "priority": 0, "messages": 1, "oldestMs": 61_000 },
                    { "priority": 2_000_000_000_u32, "messages": 1 },
                ],
                "counters": counters,
            },
            { "device": "d1", "endpoint": "/modules/filter/inputs/in", "asideMessages": 1 },
        ],
        "stores": [{
            "device": "d1",
            "space": { "fileBytes": 1_048_576, "maxBytes": 268_435_456, "isFailing": false },
            "figures": { "messages": 20, "writtenBytes": 5_120 },
        }],
    }))
}

#[derive(Deserialize)]
struct OfQueue {
    endpoint: String,
    #[serde(default)]
    part: String,
    #[serde(default)]
    id: Option<String>,
}

async fn queued(Query(of): Query<OfQueue>) -> Response {
    if of.endpoint == "filtr/in" {
        let error = "device `d1` has no queue `/modules/filtr/inputs/in`";
        return refused(StatusCode::NOT_FOUND, error);
    }
    let mut message = json!({
        "id": "7e5a01c4-0000020000000007", "sequence": 7, "module": "sensor", "output": "high", "tries": 0,
        "retries": 0, "ageMs": 61_000, "priority": 0, "expiresInMs": null, "properties": { "p": "1" },
        "systemProperties": {}, "bodyText": "load\u{1b}[2J 1",
    });
    if of.part == "aside" {
        message["reason"] = json!("rejected");
        message["detail"] = json!("body is no JSON");
    }
    json_response(&json!({ "messages": [message] }))
}

async fn handle_queue(
    Path((_, verb)): Path<(String, String)>,
    Query(of): Query<OfQueue>,
) -> Response {
    json_response(&match (verb.as_str(), of.id) {
        ("retry", Some(_)) => json!({ "messages": 1, "withoutRoom": 0 }),
        ("retry", None) => json!({ "messages": 3, "withoutRoom": 2 }),
        _ => json!({ "messages": 4 }),
    })
}

async fn method(Path((_, module)): Path<(String, String)>, body: String) -> Response {
    if module == "none" {
        return hub_error(404, "DeviceNotOnline", "the module is not there");
    }
    let call: Value = serde_json::from_str(&body).unwrap();
    let (status, payload) = match call["methodName"].as_str() {
        Some("refuse") => (409, json!({ "error": "not now" })),
        _ => (200, json!({ "was": 7, "with": call["payload"] })),
    };
    json_response(&json!({ "status": status, "payload": payload }))
}

async fn check() -> Response {
    json_response(&json!({ "device": "d1", "modules": [], "warnings": [] }))
}

/// `d1` runs what it was given, `d2` went back to what it had.
async fn deployment(Path(device): Path<String>) -> Response {
    let (phase, reasons) = match device.as_str() {
        "d2" => ("rolled-back", json!(["module `sensor` is not ready"])),
        _ => ("applied", json!([])),
    };
    let manifest = json!({ "modulesContent": {
        "$edgeAgent": { "properties.desired": { "schemaVersion": "1.1", "modules": {} } },
    } });
    json_response(&json!({
        "device": device,
        "state": {
            "phase": phase, "reasons": reasons, "agentVersion": 9, "hubVersion": 9, "settled": true,
        },
        "deployment": manifest,
        "lastGood": null,
    }))
}

fn refused(status: StatusCode, error: &str) -> Response {
    let body = json!({ "error": error, "causes": [], "hint": null });
    (status, body.to_string()).into_response()
}

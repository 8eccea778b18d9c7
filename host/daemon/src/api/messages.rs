//! `/v1/modules/{device}/{module}/messages`: messages of an operator to a module's input.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use serde::Deserialize;
use serde_json::{Value, json};
use wasm_edge_model::message::{InputName, LINE_MAX_BYTES, MessageLine};
use wasm_edge_router::receipt::{Outcome, Receipt};

use super::{ApiError, ApiState, modules};
use crate::injector::Injector;

/// The input of messages that name none.
const INPUT_DEFAULT: &str = "input";

/// Longest wait for what becomes of a message.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// The parameters of a request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageQuery {
    /// The input, where the message itself names none.
    input: Option<String>,
    /// How long to wait until the module has dealt with the message; not at all without it.
    wait_ms: Option<u64>,
}

/// The path's verbs, with the limit of its bodies.
pub(super) fn route() -> MethodRouter<ApiState> {
    post(put).layer(DefaultBodyLimit::max(LINE_MAX_BYTES))
}

/// Puts one message into the module's queue, or says why not; never waits for room.
async fn put(
    State(state): State<ApiState>,
    Path((device, module)): Path<(String, String)>,
    query: Result<Query<MessageQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|err| ApiError::bad_request(err.to_string()))?;
    let wait = query.wait_ms.map(Duration::from_millis);
    if wait.is_some_and(|wait| wait > WAIT_MAX) {
        let limit_ms = WAIT_MAX.as_millis();
        return Err(ApiError::bad_request(format!(
            "`waitMs` is at most {limit_ms}"
        )));
    }
    let body = body.map_err(|err| ApiError::new(err.status(), err.to_string()))?;
    let text = std::str::from_utf8(&body)
        .map_err(|err| ApiError::bad_request(format!("the message is not UTF-8 text: {err}")))?;
    let line = MessageLine::parse(text).map_err(|err| ApiError::bad_request(err.to_string()))?;
    let input = match (line.input, query.input) {
        (Some(input), _) => input,
        (None, named) => InputName::new(named.as_deref().unwrap_or(INPUT_DEFAULT))
            .map_err(|err| ApiError::bad_request(err.to_string()))?,
    };
    let (view, report) = modules::find(&state, &device, &module)?;
    if !report.takes_messages {
        return Err(ApiError::conflict(format!(
            "module `{module}` takes no messages"
        )));
    }
    let offered = Injector::new(view.router.clone())
        .offer(report.module(), input, line.message)
        .await;
    let receipt = offered.map_err(|err| {
        let status = match err.is_full() {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::BAD_REQUEST,
        };
        ApiError::new(status, err.to_string())
    })?;
    Ok(match outcome(receipt, wait).await {
        Some(outcome) => Json(shown(&outcome)).into_response(),
        None => (StatusCode::ACCEPTED, Json(json!({ "outcome": "waiting" }))).into_response(),
    })
}

/// What became of the message; `None` if nothing is known in time, or nobody wants to wait.
async fn outcome(receipt: Receipt, wait: Option<Duration>) -> Option<Outcome> {
    tokio::time::timeout(wait?, receipt.outcome()).await.ok()
}

fn shown(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Completed => json!({ "outcome": "completed" }),
        Outcome::Aside { reason, detail } => {
            json!({ "outcome": "set-aside", "reason": reason, "detail": detail })
        }
        Outcome::Expired => json!({ "outcome": "expired" }),
        Outcome::Removed => json!({ "outcome": "removed" }),
    }
}

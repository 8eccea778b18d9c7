//! `/v1/queues`: what waits and what was put aside, and what an operator does about it.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wasm_edge_model::message::{Message, MessageId, MessageSource};
use wasm_edge_router::aside::AsideMessage;
use wasm_edge_router::endpoint::Endpoint;
use wasm_edge_router::operate::{PEEK_MESSAGES_MAX, Part, WaitingMessage};
use wasm_edge_router::router::Router;

use super::{ApiError, ApiState, DeviceView};

/// Messages shown of an endpoint, unless asked for.
const SHOWN_DEFAULT: usize = 20;

/// Bytes of messages that one answer has, about; those behind are left away.
const SHOWN_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The parameters of a look at all queues.
#[derive(Deserialize)]
pub(super) struct ListQuery {
    device: Option<String>,
}

/// The parameters of what is about one endpoint.
#[derive(Deserialize)]
pub(super) struct EndpointQuery {
    /// `$upstream`, or `module/input`.
    endpoint: String,
    /// `waiting` or `aside`.
    part: Option<String>,
    limit: Option<usize>,
    id: Option<String>,
}

type EndpointParameters = Result<Query<EndpointQuery>, QueryRejection>;

/// All queues, by device and endpoint, and the space of the stores.
pub(super) async fn list(
    State(state): State<ApiState>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let mut queues = Vec::new();
    let mut stores = Vec::new();
    for view in state.devices(query.device.as_deref())? {
        let snapshot = view.router.snapshot();
        for endpoint in &snapshot.endpoints {
            let mut shown = json!(endpoint);
            shown["device"] = json!(view.device);
            queues.push(shown);
        }
        if let Some(store) = &snapshot.store {
            let mut shown = json!(store);
            shown["device"] = json!(view.device);
            stores.push(shown);
        }
    }
    Ok(Json(json!({ "queues": queues, "stores": stores })))
}

/// The first messages that wait at an endpoint, or all that were put aside there.
pub(super) async fn messages(
    State(state): State<ApiState>,
    Path(device): Path<String>,
    query: EndpointParameters,
) -> Result<Json<Value>, ApiError> {
    let (view, endpoint, query) = find(&state, &device, query)?;
    let limit = query.limit.unwrap_or(SHOWN_DEFAULT);
    if limit > PEEK_MESSAGES_MAX {
        let error = format!("`limit` is at most {PEEK_MESSAGES_MAX}");
        return Err(ApiError::bad_request(error));
    }
    let part = part(query.part.as_deref().unwrap_or("waiting"))?;
    let messages = match part {
        Part::Waiting => waiting(view.router.clone(), endpoint, limit).await?,
        Part::Aside => {
            let aside = view.router.set_aside().into_iter();
            let here = aside.filter(|message| message.endpoint == endpoint);
            within_bytes(here.take(limit), |message| shown_aside(&message))
        }
    };
    Ok(Json(json!({ "messages": messages })))
}

/// Brings messages that were put aside back to their queue: one of them, or all.
pub(super) async fn retry(
    State(state): State<ApiState>,
    Path(device): Path<String>,
    query: EndpointParameters,
) -> Result<Json<Value>, ApiError> {
    let (view, endpoint, query) = find(&state, &device, query)?;
    let which = query.id.as_deref().map(str::parse::<MessageId>);
    let which = which
        .transpose()
        .map_err(|err| ApiError::bad_request(err.to_string()))?;
    let retried = view.router.retry(&endpoint, which);
    match which {
        Some(id) if retried.messages + retried.without_room == 0 => Err(ApiError::not_found(
            format!("no message `{id}` was put aside at `{endpoint}`"),
        )),
        _ => Ok(Json(json!({
            "messages": retried.messages,
            "withoutRoom": retried.without_room,
        }))),
    }
}

/// Throws away what waits at an endpoint, what was put aside there, or both.
pub(super) async fn purge(
    State(state): State<ApiState>,
    Path(device): Path<String>,
    query: EndpointParameters,
) -> Result<Json<Value>, ApiError> {
    let (view, endpoint, query) = find(&state, &device, query)?;
    let parts = match &query.part {
        Some(named) => vec![part(named)?],
        None => vec![Part::Waiting, Part::Aside],
    };
    let parts = parts.into_iter();
    let messages: usize = parts.map(|part| view.router.purge(&endpoint, part)).sum();
    tracing::warn!(device = %view.device, %endpoint, messages, "messages were thrown away by an operator");
    Ok(Json(json!({ "messages": messages })))
}

/// The device and the endpoint of it that a request means.
fn find<'a>(
    state: &'a ApiState,
    device: &str,
    query: EndpointParameters,
) -> Result<(&'a DeviceView, Endpoint, EndpointQuery), ApiError> {
    let view = state.devices(Some(device))?.remove(0);
    let Query(query) = query.map_err(|err| ApiError::bad_request(err.to_string()))?;
    let endpoint: Endpoint =
        query
            .endpoint
            .parse()
            .map_err(|err: wasm_edge_router::endpoint::EndpointError| {
                ApiError::bad_request(err.to_string())
            })?;
    let snapshot = view.router.snapshot();
    let mut known = snapshot.endpoints.iter();
    if known.any(|known| known.endpoint == endpoint) {
        return Ok((view, endpoint, query));
    }
    Err(ApiError::not_found(format!(
        "device `{device}` has no queue `{endpoint}`"
    )))
}

fn part(name: &str) -> Result<Part, ApiError> {
    match name {
        "waiting" => Ok(Part::Waiting),
        "aside" => Ok(Part::Aside),
        _ => Err(ApiError::bad_request(format!(
            "`part` is `waiting` or `aside`, not `{}`",
            name.escape_debug()
        ))),
    }
}

/// Reads from the disk, and so not on an async thread.
async fn waiting(router: Router, endpoint: Endpoint, limit: usize) -> Result<Vec<Value>, ApiError> {
    let peeked = tokio::task::spawn_blocking(move || router.peek(&endpoint, limit)).await;
    let failed = |error: String| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error);
    let messages = peeked.map_err(|err| failed(err.to_string()))?;
    let messages = messages.map_err(|err| failed(err.to_string()))?;
    Ok(within_bytes(messages.into_iter(), |message| {
        shown_waiting(&message)
    }))
}

/// As many as an answer has room for, at least one.
fn within_bytes<T>(messages: impl Iterator<Item = T>, show: impl Fn(T) -> Value) -> Vec<Value> {
    let mut shown = Vec::new();
    let mut bytes = 0;
    for message in messages {
        let message = show(message);
        bytes += message.to_string().len();
        if bytes > SHOWN_BYTES_MAX && !shown.is_empty() {
            break;
        }
        shown.push(message);
    }
    shown
}

fn shown_waiting(waiting: &WaitingMessage) -> Value {
    let mut shown = message(&waiting.message, &waiting.source);
    shown.insert("id".into(), waiting.id.to_string().into());
    shown.insert("sequence".into(), waiting.sequence.into());
    shown.insert("priority".into(), waiting.priority.into());
    shown.insert("tries".into(), waiting.failed_tries.into());
    shown.insert("retries".into(), waiting.retries.into());
    shown.insert("ageMs".into(), millis(waiting.age).into());
    shown.insert("expiresInMs".into(), json!(waiting.expires_in.map(millis)));
    shown.into()
}

fn shown_aside(aside: &AsideMessage) -> Value {
    let mut shown = message(&aside.message, &aside.source);
    shown.insert("id".into(), aside.id.to_string().into());
    shown.insert("sequence".into(), aside.id.sequence.into());
    shown.insert("tries".into(), aside.failed_tries.into());
    shown.insert("retries".into(), aside.retries.into());
    shown.insert("ageMs".into(), millis(aside.age).into());
    shown.insert("reason".into(), aside.reason.as_str().into());
    shown.insert("detail".into(), aside.detail.clone().into());
    shown.into()
}

/// What the stream of telemetry has of a message, too.
fn message(message: &Message, source: &MessageSource) -> Map<String, Value> {
    let mut shown = match message.to_json() {
        Value::Object(members) => members,
        other => Map::from_iter([("body".to_owned(), other)]),
    };
    let enqueued = shown["systemProperties"]["enqueuedTime"].clone();
    shown.insert("enqueuedTime".into(), enqueued);
    shown.insert("module".into(), json!(source.module()));
    shown
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

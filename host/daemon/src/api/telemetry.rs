//! `/v1/telemetry`: the messages that go upstream, as the device accepts them.
//!
//! A device keeps none for those who come later: what waits is in the queue of `$upstream`.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use wasm_edge_model::identity::{DeviceId, ModuleIdentity, TwinOwner};
use wasm_edge_model::message::{MessageFilter, SystemProperty};
use wasm_edge_router::tap::{Accepted, Seen};

use super::{ApiError, ApiState};

/// Shows what is accepted from now on, one JSON object per line.
pub(super) async fn follow(
    State(state): State<ApiState>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|err| ApiError::bad_request(err.to_string()))?;
    let filter = wanted(query)?;
    let taps = state.devices(filter.device.as_deref())?.into_iter();
    let taps: Vec<_> = taps
        .map(|view| {
            let open = (view.router.upstream_tap(), view.device.clone());
            stream::unfold(open, |(mut tap, device)| async move {
                let seen = tap.next().await?;
                Some(((device.clone(), seen), (tap, device)))
            })
            .boxed()
        })
        .collect();
    let lines = stream::select_all(taps).filter_map(move |(device, seen)| {
        let line = line(&filter, device, seen);
        std::future::ready(line.map(|line| Ok::<_, Infallible>(Bytes::from(format!("{line}\n")))))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

fn wanted(query: Vec<(String, String)>) -> Result<MessageFilter, ApiError> {
    let mut filter = MessageFilter::default();
    for (name, value) in query {
        if name == "from" && value != "latest" {
            return Err(ApiError::unprocessable(
                "a device shows what it accepts from now on, and keeps nothing from before"
                    .to_owned(),
                Vec::new(),
            )
            .with_hint(
                "`wasm-edge queue peek '$upstream'` shows what waits; a hub keeps what it got",
            ));
        }
        let asked = filter.ask(&name, value);
        asked.map_err(|err| ApiError::bad_request(err.to_string()))?;
    }
    Ok(filter)
}

fn line(filter: &MessageFilter, device: DeviceId, seen: Seen) -> Option<Value> {
    let Accepted {
        id,
        source,
        message,
    } = match seen {
        Seen::Accepted(accepted) => accepted,
        Seen::Lost(messages) => return Some(json!({ "lost": messages })),
    };
    let identity = ModuleIdentity {
        device,
        module: source.sent_as(),
    };
    let owner = TwinOwner::Module(identity.clone());
    if !filter.takes(&owner, &message) {
        return None;
    }
    let mut line = message.to_json();
    line["id"] = Value::from(id.to_string());
    line["device"] = json!(identity.device);
    line["module"] = json!(identity.module);
    line["enqueuedTime"] = message.system.get(SystemProperty::EnqueuedTime).into();
    Some(line)
}

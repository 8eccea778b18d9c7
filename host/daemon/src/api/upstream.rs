//! `/v1/upstream`: the ways of devices to their hub, which can be taken away and given back.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde_json::{Map, Value, json};

use super::{ApiError, ApiState, DeviceView, traffic_json};

/// The ways of all devices.
pub(super) async fn list(
    State(state): State<ApiState>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let views = state.devices(query.get("device").map(String::as_str))?;
    let upstream: Vec<Value> = views.into_iter().map(of).collect();
    Ok(Json(json!({ "upstream": upstream })))
}

/// Takes the hub away.
pub(super) async fn disconnect(
    State(state): State<ApiState>,
    Path(device): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let view = state.devices(Some(&device))?.remove(0);
    view.gate.disconnect();
    tracing::info!(%device, "the hub was taken away");
    Ok(Json(of(view)))
}

/// Gives it back.
pub(super) async fn connect(
    State(state): State<ApiState>,
    Path(device): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let view = state.devices(Some(&device))?.remove(0);
    view.gate.connect();
    tracing::info!(%device, "the hub was given back");
    Ok(Json(of(view)))
}

/// The way of one device, and what waits on it.
pub(super) fn of(view: &DeviceView) -> Value {
    let endpoints = view.router.snapshot().endpoints;
    let upstream = endpoints
        .iter()
        .find(|endpoint| endpoint.endpoint.module().is_none());
    let traffic: Option<Map<String, Value>> = view.ledger.as_ref().map(|ledger| {
        let all = ledger.all().into_iter();
        all.map(|(name, traffic)| (name, traffic_json(&traffic)))
            .collect()
    });
    let mut way = json!({
        "device": view.device,
        "disconnected": view.gate.is_disconnected(),
        "messagesQueued": upstream.map_or(0, |endpoint| endpoint.queued_messages + endpoint.in_hand_messages),
        "messagesSetAside": upstream.map_or(0, |endpoint| endpoint.aside_messages),
        "messagesSent": view.pumped.sent(),
        "messagesReturned": view.pumped.returned(),
        "traffic": traffic,
    });
    if let (Some(status), Value::Object(way)) = (view.upstream.status(), &mut way) {
        way.insert("hubHostName".to_owned(), view.upstream.host_name().into());
        way.extend(status.to_json());
    }
    way
}

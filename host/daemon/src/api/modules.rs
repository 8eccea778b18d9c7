//! `/v1/modules`: what runs and how it is.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_router::snapshot::{EndpointSnapshot, RouterSnapshot};

use super::{ApiError, ApiState, DeviceView, traffic_json};
use crate::supervisor::RestartError;
use crate::supervisor::report::ModuleReport;

/// All modules, sorted by device and name.
pub(super) async fn list(
    State(state): State<ApiState>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let views = state.devices(query.get("device").map(String::as_str))?;
    let modules: Vec<Value> = views
        .into_iter()
        .flat_map(|view| {
            let snapshot = view.router.snapshot();
            view.supervisor
                .reports()
                .into_iter()
                .map(move |report| with_queues(&report, &snapshot))
        })
        .collect();
    Ok(Json(json!({ "modules": modules })))
}

/// One module, with its queues and what was put aside.
pub(super) async fn show(
    State(state): State<ApiState>,
    Path((device, module)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let (view, report) = find(&state, &device, &module)?;
    let snapshot = view.router.snapshot();
    let mut shown = with_queues(&report, &snapshot);
    let aside: Vec<Value> = view
        .router
        .set_aside()
        .into_iter()
        .filter(|message| message.endpoint.module() == Some(report.module()))
        .map(|message| {
            json!({
                "input": message.endpoint.input(),
                "reason": message.reason.as_str(),
                "detail": message.detail,
                "tries": message.failed_tries,
                "retries": message.retries,
                "ageMs": u64::try_from(message.age.as_millis()).unwrap_or(u64::MAX),
                "from": message.source.module(),
                "message": message.message.to_json(),
            })
        })
        .collect();
    shown["setAside"] = Value::from(aside);
    let twin = view.twins.known(report.module());
    let local = twin.and_then(|twin| twin.local_change());
    shown["localChanges"] = json!(local.map(|local| local.summary()));
    shown["upstreamDisconnected"] = Value::from(view.gate.is_disconnected());
    shown["queues"] = json!(endpoints(&snapshot, report.module()).collect::<Vec<_>>());
    shown["sent"] = json!(
        snapshot
            .senders
            .iter()
            .find(|sender| sender.module == *report.module())
    );
    shown["store"] = json!(snapshot.store);
    shown["session"] = view.sessions.of(report.module()).to_json();
    let traffic = view.ledger.as_ref().map(|ledger| {
        let counter = ledger.counter(report.module().as_str());
        traffic_json(&counter.traffic())
    });
    shown["traffic"] = json!(traffic);
    Ok(Json(shown))
}

/// Restarts one module.
pub(super) async fn restart(
    State(state): State<ApiState>,
    Path((device, module)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let (view, report) = find(&state, &device, &module)?;
    match view.supervisor.restart(report.module()).await {
        Ok(()) => Ok(Json(json!({}))),
        Err(RestartError::NotFound) => Err(ApiError::not_found(format!(
            "module `{module}` is being removed"
        ))),
        Err(RestartError::NotToRun) => Err(ApiError::conflict(format!(
            "module `{module}` is not to run: its `status` in the deployment is `stopped`"
        ))),
    }
}

pub(super) fn find<'a>(
    state: &'a ApiState,
    device: &str,
    module: &str,
) -> Result<(&'a DeviceView, ModuleReport), ApiError> {
    let view = state.devices(Some(device))?.remove(0);
    let report = view
        .supervisor
        .reports()
        .into_iter()
        .find(|report| report.module().as_str() == module);
    match report {
        Some(report) => Ok((view, report)),
        None => Err(ApiError::not_found(format!(
            "device `{device}` has no module `{module}`"
        ))),
    }
}

fn endpoints<'a>(
    snapshot: &'a RouterSnapshot,
    module: &'a ModuleId,
) -> impl Iterator<Item = &'a EndpointSnapshot> {
    snapshot
        .endpoints
        .iter()
        .filter(move |endpoint| endpoint.endpoint.module() == Some(module))
}

fn with_queues(report: &ModuleReport, snapshot: &RouterSnapshot) -> Value {
    let mut shown = report.to_json();
    let (mut queued, mut aside) = (0, 0);
    for endpoint in endpoints(snapshot, report.module()) {
        queued += endpoint.queued_messages + endpoint.in_hand_messages;
        aside += endpoint.aside_messages;
    }
    shown["messagesQueued"] = Value::from(queued);
    shown["messagesSetAside"] = Value::from(aside);
    shown
}

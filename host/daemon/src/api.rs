//! The management API of a device: HTTP over a Unix socket that its owner alone can open.
//!
//! Shapes are documented in `docs/management-api.md`; `wasm-edge list` and the other verbs are its clients.

pub mod socket;

pub mod deployments;
pub mod images;
mod logs;
mod messages;
mod methods;
mod modules;
mod queues;
mod telemetry;
mod twins;
mod upstream;

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use wasm_edge_model::identity::DeviceId;
use wasm_edge_model::time::Timestamp;
use wasm_edge_net::traffic::{Ledger, Traffic};

use crate::agent::handle::AgentHandle;
use crate::code::CodeStore;
use crate::logs::Logs;
use crate::methods::Methods;
use crate::supervisor::Supervisor;
use crate::twins::Twins;
use crate::upstream::gate::Gate;
use crate::upstream::pump::PumpCounters;
use crate::upstream::pump::sessions::Sessions;
use crate::upstream::{HubPlace, Upstream};
use crate::{clock, supervisor};

/// What the API reaches of one device.
#[derive(Clone)]
pub struct DeviceView {
    /// Its id.
    pub device: DeviceId,
    /// Its modules.
    pub supervisor: Supervisor,
    /// Its queues.
    pub router: wasm_edge_router::router::Router,
    /// Its logs.
    pub logs: Logs,
    /// Its agent.
    pub agent: AgentHandle,
    /// Its twins.
    pub twins: Twins,
    /// Its direct methods.
    pub methods: Methods,
    /// What went to its hub.
    pub pumped: PumpCounters,
    /// Its way to its hub, which can be taken away.
    pub gate: Gate,
    /// That way itself.
    pub upstream: Arc<dyn Upstream>,
    /// The sessions of its identities.
    pub sessions: Sessions,
    /// What went over the network; none where the hub is in the same process.
    pub ledger: Option<Ledger>,
    /// Where its hub is.
    pub hub: HubPlace,
}

/// What the API serves.
#[derive(Clone)]
pub(crate) struct ApiState {
    inner: Arc<Inner>,
}

struct Inner {
    devices: Vec<DeviceView>,
    hub_host_name: String,
    data_folder: String,
    code: CodeStore,
    started_time: Timestamp,
}

/// The API of these devices, to be served on the control socket.
pub fn router(
    devices: Vec<DeviceView>,
    hub_host_name: String,
    data_folder: &std::path::Path,
    code: CodeStore,
) -> Router {
    let state = ApiState {
        inner: Arc::new(Inner {
            devices,
            hub_host_name,
            data_folder: data_folder.display().to_string(),
            code,
            started_time: clock::now(),
        }),
    };
    Router::new()
        .route("/v1/info", get(info))
        .route("/v1/modules", get(modules::list))
        .route("/v1/modules/{device}/{module}", get(modules::show))
        .route(
            "/v1/modules/{device}/{module}/restart",
            axum::routing::post(modules::restart),
        )
        .route("/v1/modules/{device}/{module}/messages", messages::route())
        .route("/v1/twins/{device}/{module}", twins::route())
        .route("/v1/twins/{device}/{module}/changes", get(twins::changes))
        .route(
            "/v1/twins/{device}/{module}/local",
            axum::routing::delete(twins::reset),
        )
        .route("/v1/methods/{device}/{module}", methods::route())
        .route("/v1/telemetry", get(telemetry::follow))
        .route("/v1/logs", get(logs::read))
        .route("/v1/queues", get(queues::list))
        .route("/v1/queues/{device}/messages", get(queues::messages))
        .route(
            "/v1/queues/{device}/retry",
            axum::routing::post(queues::retry),
        )
        .route(
            "/v1/queues/{device}/purge",
            axum::routing::post(queues::purge),
        )
        .route("/v1/deployments/{device}", get(deployments::show))
        .route(
            "/v1/deployments/{device}/check",
            axum::routing::post(deployments::check),
        )
        .route("/v1/upstream", get(upstream::list))
        .route(
            "/v1/upstream/{device}/disconnect",
            axum::routing::post(upstream::disconnect),
        )
        .route(
            "/v1/upstream/{device}/connect",
            axum::routing::post(upstream::connect),
        )
        .with_state(state)
}

async fn info(axum::extract::State(state): axum::extract::State<ApiState>) -> Json<Value> {
    let inner = &state.inner;
    let devices: Vec<&DeviceId> = inner.devices.iter().map(|view| &view.device).collect();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "devices": devices,
        "hubHostName": inner.hub_host_name,
        "hub": inner.devices.first().map(|view| view.hub.as_str()),
        "dataFolder": inner.data_folder,
        "startedTime": inner.started_time,
        "componentsCompiled": inner.code.compiled(),
        "upstream": inner.devices.iter().map(upstream::of).collect::<Vec<_>>(),
        "stopGraceMs": supervisor::STOP_GRACE.as_millis(),
    }))
}

impl ApiState {
    /// The devices that a request means: the named one, or all.
    pub(crate) fn devices(&self, named: Option<&str>) -> Result<Vec<&DeviceView>, ApiError> {
        let Some(named) = named else {
            return Ok(self.inner.devices.iter().collect());
        };
        let found: Vec<_> = self
            .inner
            .devices
            .iter()
            .filter(|view| view.device.as_str() == named)
            .collect();
        if found.is_empty() {
            Err(ApiError::not_found(format!(
                "no device `{named}` runs here"
            )))
        } else {
            Ok(found)
        }
    }
}

/// The JSON form of what went over the network.
pub(crate) fn traffic_json(traffic: &Traffic) -> Value {
    json!({
        "sentBytes": traffic.sent_bytes,
        "receivedBytes": traffic.received_bytes,
        "messageBytes": traffic.message_bytes,
        "connections": traffic.connections,
    })
}

/// An error as the API answers it.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    error: String,
    causes: Vec<String>,
    hint: Option<Cow<'static, str>>,
}

impl ApiError {
    pub(crate) fn not_found(error: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    pub(crate) fn conflict(error: String) -> Self {
        Self::new(StatusCode::CONFLICT, error)
    }

    pub(crate) fn bad_request(error: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// What was asked for is understood and cannot be done, for these reasons.
    pub(crate) fn unprocessable(error: String, causes: Vec<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error).with_causes(causes)
    }

    /// What led to it, the nearest first.
    pub(crate) fn with_causes(self, causes: Vec<String>) -> Self {
        Self { causes, ..self }
    }

    /// What the caller may do instead.
    pub(crate) fn with_hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        let hint = Some(hint.into());
        Self { hint, ..self }
    }

    /// The same, as the cause of another error.
    pub(crate) fn under(mut self, error: String) -> Self {
        let cause = std::mem::replace(&mut self.error, error);
        self.causes.insert(0, cause);
        self
    }

    /// The JSON form.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "error": self.error, "causes": self.causes, "hint": self.hint })
    }

    pub(crate) fn new(status: StatusCode, error: String) -> Self {
        Self {
            status,
            error,
            causes: Vec::new(),
            hint: None,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self.to_json())).into_response()
    }
}

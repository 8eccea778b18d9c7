//! `/v1/twins`: the modules' twins as the device has them, and what may be changed of them here.
//!
//! Desired properties belong to the hub. Where there is none, they are changed in its stand-in; where the device is
//! away from it, changes are kept apart in the twin. Whose they are is decided here, the rest by those two.

use std::convert::Infallible;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use wasm_edge_model::error::causes;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::twin::{PATCH_TEXT_MAX_BYTES, parse_patch};

use super::socket::Caller;
use super::{ApiError, ApiState, DeviceView};
use crate::clock;
use crate::deployment::shown::blank_twin;
use crate::twins::Twin;
use crate::twins::local::LocalChangeError;
use crate::upstream::HubPlace;
use crate::upstream::local::{LocalHub, LocalHubError};

/// The longest body: a patch, and what stands around it.
const BODY_MAX_BYTES: usize = PATCH_TEXT_MAX_BYTES + 4 * 1024;

/// The parameters of a change.
#[derive(Deserialize)]
struct PatchQuery {
    /// Whether it is to be kept apart from what the hub says.
    #[serde(default)]
    local: bool,
}

/// The verbs of a twin, with the limit of their bodies.
pub(super) fn route() -> MethodRouter<ApiState> {
    get(show)
        .patch(change)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
}

async fn show(
    State(state): State<ApiState>,
    Path((device, module)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(find(&state, &device, &module)?.document()))
}

async fn change(
    State(state): State<ApiState>,
    Path((device, module)): Path<(String, String)>,
    query: Result<Query<PatchQuery>, QueryRejection>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(query) = query.map_err(|err| ApiError::bad_request(err.to_string()))?;
    let body = body.map_err(|err| ApiError::new(err.status(), err.to_string()))?;
    let patch = read_patch(&body)?;
    let found = find(&state, &device, &module)?;
    match (&found.view.hub, query.local) {
        (HubPlace::Local(hub), false) => {
            let etag = headers.get(header::IF_MATCH);
            let etag = etag.and_then(|etag| etag.to_str().ok());
            let etag = etag.map(|etag| etag.trim_matches('"'));
            let etag = etag.filter(|etag| *etag != "*");
            let patched = hub.patch_desired(found.twin.module(), &patch, etag).await;
            patched.map_err(|err| of_local_hub(&err))?;
        }
        (HubPlace::Local(_), true) => {
            return Err(ApiError::conflict(
                "this device has no hub whose desired properties would be kept apart".to_owned(),
            )
            .with_hint("without `--local` they are changed for good"));
        }
        (HubPlace::Embedded | HubPlace::Network, false) => {
            return Err(ApiError::conflict(format!(
                "the desired properties of `{}` belong to the hub",
                found.twin.module()
            ))
            .with_hint(
                "`--hub` changes them there, and `--local` here while the device is away from it",
            ));
        }
        (HubPlace::Embedded | HubPlace::Network, true) => {
            if headers.contains_key(header::IF_MATCH) {
                return Err(ApiError::bad_request(
                    "a local change has no etag to compare".to_owned(),
                ));
            }
            let author = caller.author().ok_or_else(|| {
                ApiError::conflict("the system does not say who is calling".to_owned())
            })?;
            let changed = found.twin.change_locally(&patch, author, clock::now());
            changed.await.map_err(|err| of_local_change(&err))?;
            tracing::info!(
                module = %found.twin.module(), uid = author.uid, pid = author.pid,
                "desired properties were changed on the device"
            );
        }
    }
    Ok(Json(found.document()))
}

/// Takes back what was changed here.
pub(super) async fn reset(
    State(state): State<ApiState>,
    Path((device, module)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let found = find(&state, &device, &module)?;
    let undone = found.twin.undo_local_changes().await.map_err(|err| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the change cannot be taken back".to_owned(),
        )
        .with_causes(vec![err.to_string()])
    })?;
    if undone {
        tracing::info!(module = %found.twin.module(), "changes made on the device were taken back");
    }
    Ok(Json(json!({ "undone": undone, "twin": found.document() })))
}

/// The twin now and after each change, one JSON object per line; several changes may come as one.
pub(super) async fn changes(
    State(state): State<ApiState>,
    Path((device, module)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let found = find(&state, &device, &module)?;
    let watching = Watching {
        changes: found.twin.watch(),
        of_hub: match &found.view.hub {
            HubPlace::Local(hub) => Some(hub.watch()),
            HubPlace::Embedded | HubPlace::Network => None,
        },
        found,
        shown: Value::Null,
    };
    let lines = stream::unfold(watching, |watching| async move {
        let (document, watching) = watching.next().await?;
        let line = Bytes::from(format!("{document}\n"));
        Some((Ok::<_, Infallible>(line), watching))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// A twin of a device.
struct Found {
    view: DeviceView,
    twin: Twin,
}

/// Somebody who is told of each change.
struct Watching {
    found: Found,
    changes: watch::Receiver<u64>,
    /// Changes in the stand-in for a hub, which come a moment earlier or later.
    of_hub: Option<watch::Receiver<u64>>,
    shown: Value,
}

impl Watching {
    /// The twin once it differs from what was shown last; `None` when its module has left.
    async fn next(mut self) -> Option<(Value, Self)> {
        loop {
            self.found.view.twins.known(self.found.twin.module())?;
            let document = self.found.document();
            if document != self.shown {
                self.shown = document.clone();
                return Some((document, self));
            }
            let of_hub = async {
                match &mut self.of_hub {
                    Some(changes) => changes.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                changed = of_hub => changed.ok()?,
            }
        }
    }
}

fn find(state: &ApiState, device: &str, module: &str) -> Result<Found, ApiError> {
    let view = state.devices(Some(device))?.remove(0).clone();
    let twin = ModuleId::new(module)
        .ok()
        .and_then(|id| view.twins.known(&id));
    match twin {
        Some(twin) => Ok(Found { view, twin }),
        None if view.agent.watch().borrow().is_assembling() => Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("device `{device}` prepares its deployment, and has no module `{module}` yet"),
        )
        .with_hint("`wasm-edge deploy show` tells when it is done")),
        None => Err(ApiError::not_found(format!(
            "device `{device}` has no module `{module}`"
        ))),
    }
}

impl Found {
    /// The form of IoT Hub's service API, as far as the device knows it, and `local` and `unsent`; without secrets.
    fn document(&self) -> Value {
        let module = self.twin.module();
        let mut document = match &self.view.hub {
            HubPlace::Local(hub) => of_stand_in(hub, module),
            HubPlace::Embedded | HubPlace::Network => None,
        }
        .unwrap_or_else(|| self.copy());
        let local = self.twin.local_change();
        let (desired, _) = self.twin.desired();
        document.insert("deviceId".to_owned(), json!(self.view.device));
        document.insert("moduleId".to_owned(), json!(module));
        document.insert(
            "local".to_owned(),
            local.map(|local| local.to_json(&desired)).into(),
        );
        document.insert("unsent".to_owned(), self.twin.unsent().into());
        let mut document = Value::Object(document);
        blank_twin(module, &mut document);
        document
    }

    /// What the device has of the hub's twin, which has no etag and no metadata.
    fn copy(&self) -> Map<String, Value> {
        let with_version = |(mut properties, version): (Map<String, Value>, u64)| {
            properties.insert("$version".to_owned(), version.into());
            Value::Object(properties)
        };
        let properties = json!({
            "desired": with_version(self.twin.desired()),
            "reported": with_version(self.twin.reported_section()),
        });
        Map::from_iter([("properties".to_owned(), properties)])
    }
}

fn of_stand_in(hub: &LocalHub, module: &ModuleId) -> Option<Map<String, Value>> {
    let mut view = hub.twin(module)?.service_view();
    // Nobody sets any here.
    view.remove("tags");
    Some(view)
}

/// The patch of the desired properties in `{"properties": {"desired": {...}}}`.
fn read_patch(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|err| ApiError::bad_request(format!("the body is no JSON: {err}")))?;
    if body.get("tags").is_some() {
        return Err(ApiError::unprocessable(
            "a device has no tags: they are the hub's".to_owned(),
            Vec::new(),
        ));
    }
    let desired = body.pointer("/properties/desired");
    let desired = desired
        .ok_or_else(|| ApiError::bad_request("`properties.desired` is missing".to_owned()))?;
    parse_patch(&desired.to_string()).map_err(|err| {
        let causes = vec![err.to_string()];
        ApiError::unprocessable("the patch cannot be applied".to_owned(), causes)
    })
}

fn of_local_hub(err: &LocalHubError) -> ApiError {
    let status = match err {
        LocalHubError::NotFound { .. } => StatusCode::NOT_FOUND,
        LocalHubError::Changed { .. } => StatusCode::PRECONDITION_FAILED,
        LocalHubError::Twin { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        LocalHubError::TooMany => StatusCode::CONFLICT,
        LocalHubError::Store { .. } | LocalHubError::Random => StatusCode::SERVICE_UNAVAILABLE,
    };
    ApiError::new(status, err.to_string()).with_causes(causes(err))
}

fn of_local_change(err: &LocalChangeError) -> ApiError {
    let status = match err {
        LocalChangeError::Connected | LocalChangeError::System => StatusCode::CONFLICT,
        LocalChangeError::Twin(_) => StatusCode::UNPROCESSABLE_ENTITY,
        LocalChangeError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let answer = ApiError::new(status, err.to_string()).with_causes(causes(err));
    match err {
        LocalChangeError::Connected => answer.with_hint(
            "change them at the hub; `keepLocalChanges` of the manifest lets local changes hold on, and `wasm-edge upstream disconnect` takes the device away from its hub",
        ),
        LocalChangeError::System => {
            answer.with_hint("a deployment is changed at the hub: `wasm-edge deploy apply`")
        }
        LocalChangeError::Twin(_) | LocalChangeError::Store(_) => answer,
    }
}

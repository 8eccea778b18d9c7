//! `/v1/deployments`: what a device is to run, how it stands, and whether another could be applied.

use std::io::ErrorKind;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use wasm_edge_model::manifest::{Checked, Manifest, Origin};

use super::{ApiError, ApiState, images};
use crate::agent::error::{DeployError, ModuleError};
use crate::agent::handle::Tags;
use crate::deployment::sealed::Sections;

/// For what a manifest is tried out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct CheckQuery {
    /// The version that the desired properties of `$edgeAgent` will have once they are set from it.
    agent_version: Option<u64>,
}

/// With which status it is answered that a deployment cannot be applied: 422 if that is the fault of what it says. Of
/// several modules the one decides that time mends least.
pub fn status_of(err: &DeployError) -> StatusCode {
    let DeployError::Images(modules) = err else {
        return StatusCode::UNPROCESSABLE_ENTITY;
    };
    let all = modules.iter().map(|(_, err)| of_module(err));
    let hope = |status: &StatusCode| match *status {
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::FORBIDDEN => 0,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => 2,
        _ => 1,
    };
    all.min_by_key(hope)
        .unwrap_or(StatusCode::UNPROCESSABLE_ENTITY)
}

fn of_module(err: &ModuleError) -> StatusCode {
    match err {
        ModuleError::Supply(err) => images::status_of_supply(err),
        ModuleError::Code(err) if err.io_kind() == Some(ErrorKind::StorageFull) => {
            StatusCode::INSUFFICIENT_STORAGE
        }
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// The deployment of a device, without passwords, and its state.
pub(super) async fn show(
    State(state): State<ApiState>,
    Path(device): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let view = state.devices(Some(&device))?.remove(0);
    let deployment = view.agent.deployment();
    let shown = |sections: &Option<Sections>| sections.as_ref().map(Sections::to_manifest);
    Ok(Json(json!({
        "device": view.device,
        "state": view.agent.watch().borrow().to_json(),
        "deployment": shown(&deployment.current),
        "lastGood": shown(&deployment.last_good),
    })))
}

/// Tries a manifest out: nothing is touched. Whoever is about to set it says so: what was tried out is what runs then.
pub(super) async fn check(
    State(state): State<ApiState>,
    Path(device): Path<String>,
    Query(query): Query<CheckQuery>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let view = state.devices(Some(&device))?.remove(0);
    let text = std::str::from_utf8(&body)
        .map_err(|err| ApiError::bad_request(format!("the body is no text: {err}")))?;
    // Whoever reaches the socket may read the device's files.
    let Checked { value, warnings } =
        Manifest::check_with(text, Origin::LocalFile, view.agent.compatibility()).map_err(
            |faults| {
                let causes: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
                ApiError::unprocessable("the manifest has faults".to_owned(), causes)
            },
        )?;
    let tried = view.agent.try_out(&value, Tags::Anew).await;
    let tried = tried.map_err(|err| {
        let what = "the deployment cannot be applied".to_owned();
        ApiError::new(status_of(&err), what).with_causes(err.reasons())
    })?;
    let modules = tried.modules.iter().map(|module| {
        json!({
            "module": module.module,
            "imageDigest": module.image_digest,
            "compiled": module.compiled,
            "neededBytes": module.needs.most_bytes(),
            "memoryLimitBytes": module.limits.memory_limit_bytes,
            "hostMemoryLimitBytes": module.limits.host_memory_limit_bytes,
        })
    });
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let answer = json!({
        "device": view.device,
        "modules": modules.collect::<Vec<_>>(),
        "memory": {
            "neededBytes": tried.budget.needed_bytes(),
            "mayTakeBytes": tried.budget.may_take_bytes,
            "policyMaxBytes": tried.available.policy_max_bytes,
            "freeBytes": tried.available.free_bytes,
        },
        "warnings": warnings,
    });
    if let Some(version) = query.agent_version {
        view.agent.means(version, tried);
    }
    Ok(Json(answer))
}

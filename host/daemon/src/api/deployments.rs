//! `/v1/deployments`: what a device is to run, how it stands, and whether another could be applied.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use wasm_edge_model::manifest::{Checked, Manifest, Origin};

use super::{ApiError, ApiState};
use crate::agent::handle::Tags;
use crate::deployment::sealed::Sections;

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

/// Tries a manifest out: nothing is touched.
pub(super) async fn check(
    State(state): State<ApiState>,
    Path(device): Path<String>,
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
    let tried = view
        .agent
        .try_out(&value, Tags::Anew)
        .await
        .map_err(|err| {
            ApiError::unprocessable("the deployment cannot be applied".to_owned(), err.reasons())
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
    Ok(Json(json!({
        "device": view.device,
        "modules": modules.collect::<Vec<_>>(),
        "memory": {
            "neededBytes": tried.budget.needed_bytes(),
            "mayTakeBytes": tried.budget.may_take_bytes,
            "policyMaxBytes": tried.available.policy_max_bytes,
            "freeBytes": tried.available.free_bytes,
        },
        "warnings": warnings,
    })))
}

//! Who belongs to a device that runs modules: what its `$edgeHub` asks for, so that it can let them in.
//!
//! To a device belong itself and its modules. Devices behind other devices
//! are not kept here: a device has no parent.
//!
//! Source: Azure IoT Edge, `edge-hub`, its client of device scopes.

use axum::Json;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};
use wasm_edge_model::identity::{DeviceId, ModuleId, TwinOwner};

use super::failure::Failure;
use super::request::Owner;
use crate::hub::Hub;

pub(super) fn routes() -> Router<Hub> {
    Router::new()
        .route(
            "/devices/{device}/modules/{module}/devicesAndModulesInDeviceScope",
            get(all),
        )
        .route(
            "/devices/{device}/modules/{module}/deviceAndModuleInDeviceScope",
            get(one),
        )
}

/// Who is looked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    target_device_id: String,
    target_module_id: Option<String>,
}

/// The device and all its modules; they fit one answer.
async fn all(State(hub): State<Hub>, Owner(owner): Owner) -> Result<Json<Value>, Failure> {
    let device = device_of_hub(&owner)?;
    let modules = hub.modules(device).await?;
    let device = hub.identity(&TwinOwner::Device(device.clone())).await?;
    let modules = modules
        .iter()
        .map(|module| module.to_json(hub.view_with(module, 0)));
    let modules = modules.collect();
    Ok(answer(
        vec![device.to_json(hub.view(&device).await?)],
        modules,
    ))
}

/// The device, and one module of it if one is asked for; nobody, where they do not belong to it.
async fn one(
    State(hub): State<Hub>,
    Owner(owner): Owner,
    target: Result<Query<Target>, QueryRejection>,
) -> Result<Json<Value>, Failure> {
    let device = device_of_hub(&owner)?;
    let Query(target) = target.map_err(|err| Failure::invalid(err.to_string()))?;
    if target.target_device_id != device.as_str() {
        return Ok(answer(Vec::new(), Vec::new()));
    }
    let identity = hub.identity(&TwinOwner::Device(device.clone())).await?;
    let shown = identity.to_json(hub.view(&identity).await?);
    let module = target.target_module_id.as_deref();
    let Some(module) = module.filter(|module| !module.is_empty()) else {
        return Ok(answer(vec![shown], Vec::new()));
    };
    let modules = hub.modules(device).await?;
    let module = modules
        .iter()
        .find(|found| found.owner.module().map(ModuleId::as_str) == Some(module));
    let module = module.map(|module| module.to_json(hub.view_with(module, 0)));
    Ok(answer(vec![shown], module.into_iter().collect()))
}

/// The device whose `$edgeHub` the path names.
fn device_of_hub(owner: &TwinOwner) -> Result<&DeviceId, Failure> {
    if owner.module() == Some(&ModuleId::edge_hub()) {
        return Ok(owner.device());
    }
    Err(Failure::invalid("`$edgeHub` alone has a scope"))
}

fn answer(devices: Vec<Value>, modules: Vec<Value>) -> Json<Value> {
    Json(json!({ "devices": devices, "modules": modules, "continuationLink": null }))
}

//! Who belongs to a device that runs modules: what its `$edgeHub` asks for, so that it can let them in.
//!
//! To a device belong itself, its modules, the devices right behind it, and
//! their modules. What is behind those is asked for by their own `$edgeHub`.
//!
//! Source: Azure IoT Edge, `edge-hub`, its client of device scopes.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use wasm_edge_model::identity::{DeviceId, ModuleId, TwinOwner};
use wasm_edge_model::percent::RESERVED;

use super::failure::Failure;
use super::request::Owner;
use crate::error::HubError;
use crate::hub::Hub;
use crate::identity::Identity;

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

/// Where a listing goes on: behind this device.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    continuation_token: Option<String>,
}

/// Who is looked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    target_device_id: String,
    target_module_id: Option<String>,
}

/// What is answered.
#[derive(Default)]
struct Members {
    devices: Vec<Value>,
    modules: Vec<Value>,
}

/// A page of those who belong to the device; the device itself is on the first.
async fn all(
    State(hub): State<Hub>,
    Owner(owner): Owner,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, Failure> {
    let Query(page) = page.map_err(|err| Failure::invalid(err.to_string()))?;
    let token = page.continuation_token.filter(|token| !token.is_empty());
    let after = token.as_deref().map(DeviceId::new).transpose();
    let after = after.map_err(|err| Failure::invalid(format!("`continuationToken`: {err}")))?;
    let (edge, scope) = edge_device(&hub, &owner).await?;
    let mut members = Members::default();
    if after.is_none() {
        members.add_all(&hub, &edge).await?;
    }
    let children = hub.children(&scope, after.as_ref()).await?;
    for child in &children.devices {
        members.add_all(&hub, child).await?;
    }
    let next = children.next.map(|next| {
        let encoded = |id: &str| percent_encoding::utf8_percent_encode(id, RESERVED).to_string();
        format!(
            "/devices/{}/modules/%24edgeHub/devicesAndModulesInDeviceScope?continuationToken={}&api-version=2018-08-30-preview",
            encoded(owner.device().as_str()),
            encoded(next.as_str()),
        )
    });
    Ok(members.answer(next))
}

/// A device that belongs to this one, and a module of it if one is asked for; nobody, where they
/// do not belong to it.
async fn one(
    State(hub): State<Hub>,
    Owner(owner): Owner,
    target: Result<Query<Target>, QueryRejection>,
) -> Result<Json<Value>, Failure> {
    let Query(target) = target.map_err(|err| Failure::invalid(err.to_string()))?;
    let (edge, scope) = edge_device(&hub, &owner).await?;
    let device = DeviceId::new(&target.target_device_id)
        .map_err(|err| Failure::invalid(format!("`targetDeviceId`: {err}")))?;
    let mut members = Members::default();
    let found = match hub.identity(&TwinOwner::Device(device)).await {
        Err(HubError::NotFound { .. }) => return Ok(members.answer(None)),
        found => found?,
    };
    if found.owner != edge.owner && found.parent.as_ref() != Some(&scope) {
        return Ok(members.answer(None));
    }
    members.devices.push(found.to_json(hub.view(&found).await?));
    let module = target.target_module_id.as_deref();
    if let Some(module) = module.filter(|module| !module.is_empty()) {
        members.add_modules(&hub, &found, Some(module)).await?;
    }
    Ok(members.answer(None))
}

/// The device whose `$edgeHub` the path names, and its scope.
async fn edge_device(hub: &Hub, owner: &TwinOwner) -> Result<(Identity, String), Failure> {
    if owner.module() != Some(&ModuleId::edge_hub()) {
        return Err(Failure::invalid("`$edgeHub` alone has a scope"));
    }
    hub.identity(owner).await?;
    let device = TwinOwner::Device(owner.device().clone());
    let device = hub.identity(&device).await?;
    let scope = device.device_scope().filter(|_| device.edge);
    let scope = scope.ok_or_else(|| Failure::invalid("the device runs no modules"))?;
    Ok((device, scope))
}

impl Members {
    /// Adds a device with its modules. One that was deleted meanwhile is left out.
    async fn add_all(&mut self, hub: &Hub, device: &Identity) -> Result<(), Failure> {
        match self.add_modules(hub, device, None).await {
            Err(HubError::NotFound { .. }) => Ok(()),
            Err(err) => Err(err.into()),
            Ok(()) => {
                self.devices.push(device.to_json(hub.view(device).await?));
                Ok(())
            }
        }
    }

    /// Adds the modules of a device, or the one of this id.
    async fn add_modules(
        &mut self,
        hub: &Hub,
        device: &Identity,
        only: Option<&str>,
    ) -> Result<(), HubError> {
        let modules = hub.modules(device.owner.device()).await?;
        let wanted = modules.iter().filter(|module| {
            let id = module.owner.module().map(ModuleId::as_str);
            only.is_none_or(|only| id == Some(only))
        });
        let shown = wanted.map(|module| module.to_json(hub.view_with(module, 0)));
        self.modules.extend(shown);
        Ok(())
    }

    fn answer(self, continuation_link: Option<String>) -> Json<Value> {
        Json(json!({
            "devices": self.devices,
            "modules": self.modules,
            "continuationLink": continuation_link,
        }))
    }
}

//! Identities over REST: `/devices/…`.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use wasm_edge_model::identity::TwinOwner;

use super::failure::Failure;
use super::request::{Body, Condition, Owner};
use crate::hub::Hub;
use crate::hub::registry::DEVICES_PER_PAGE_MAX;
use crate::identity::{Identity, IdentityRequest};

#[derive(Deserialize)]
pub(super) struct ListQuery {
    top: Option<usize>,
}

pub(super) async fn list(
    State(hub): State<Hub>,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, Failure> {
    let Query(query) = query.map_err(|err| Failure::invalid(err.to_string()))?;
    let devices = hub
        .devices(None, query.top.unwrap_or(DEVICES_PER_PAGE_MAX))
        .await?;
    let Some(last) = devices.last() else {
        return Ok(Json(Value::Array(Vec::new())));
    };
    let counts = hub.command_counts(None, last.owner.device()).await?;
    let shown = devices
        .iter()
        .map(|device| device.to_json(hub.view_with(device, counts.of(device))));
    Ok(Json(shown.collect()))
}

pub(super) async fn modules(
    State(hub): State<Hub>,
    Owner(owner): Owner,
) -> Result<Json<Value>, Failure> {
    let modules = hub.modules(owner.device()).await?;
    let shown = modules
        .iter()
        .map(|module| module.to_json(hub.view_with(module, 0)));
    Ok(Json(shown.collect()))
}

pub(super) async fn read(
    State(hub): State<Hub>,
    Owner(owner): Owner,
) -> Result<Json<Value>, Failure> {
    let identity = hub.identity(&owner).await?;
    shown(&hub, &identity).await
}

/// Creates without `If-Match`, updates with it.
pub(super) async fn write(
    State(hub): State<Hub>,
    Owner(owner): Owner,
    Condition(condition): Condition,
    body: Body,
) -> Result<Json<Value>, Failure> {
    let request: IdentityRequest = body.object()?;
    let identity = match condition {
        None => {
            let spec = request
                .check(&owner)
                .map_err(|err| Failure::invalid(err.to_string()))?;
            hub.create(&owner, spec).await?
        }
        Some(if_match) => hub.update_as(&owner, &request, if_match).await?,
    };
    shown(&hub, &identity).await
}

pub(super) async fn delete(
    State(hub): State<Hub>,
    Owner(owner): Owner,
    condition: Condition,
) -> Result<StatusCode, Failure> {
    match &owner {
        TwinOwner::Device(device) => hub.delete_device(device, condition.or_any()).await?,
        TwinOwner::Module(module) => hub.delete_module(module, condition.or_any()).await?,
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn apply(
    State(hub): State<Hub>,
    Owner(owner): Owner,
    body: Body,
) -> Result<StatusCode, Failure> {
    let content: Map<String, Value> = body.object()?;
    hub.apply_configuration(owner.device(), &content).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn shown(hub: &Hub, identity: &Identity) -> Result<Json<Value>, Failure> {
    Ok(Json(identity.to_json(hub.view(identity).await?)))
}

//! Twins and direct methods over REST: `/twins/…`.

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::failure::Failure;
use super::request::{Body, Condition, Owner};
use crate::hub::Hub;
use crate::hub::twins::TwinPatch;
use crate::method::MethodCall;

pub(super) async fn read(
    State(hub): State<Hub>,
    Owner(owner): Owner,
) -> Result<Json<Value>, Failure> {
    Ok(Json(hub.twin_json(&owner).await?))
}

pub(super) async fn patch(
    State(hub): State<Hub>,
    Owner(owner): Owner,
    condition: Condition,
    body: Body,
) -> Result<Json<Value>, Failure> {
    let patch = TwinPatch::from_patch(body.document()?)?;
    Ok(Json(
        hub.patch_twin(&owner, &patch, condition.or_any()).await?,
    ))
}

pub(super) async fn replace(
    State(hub): State<Hub>,
    Owner(owner): Owner,
    condition: Condition,
    body: Body,
) -> Result<Json<Value>, Failure> {
    let replacement = TwinPatch::from_json(body.document()?)?;
    Ok(Json(
        hub.replace_twin(&owner, &replacement, condition.or_any())
            .await?,
    ))
}

pub(super) async fn invoke(
    State(hub): State<Hub>,
    Owner(owner): Owner,
    body: Body,
) -> Result<Json<Value>, Failure> {
    let call = MethodCall::from_json(body.as_bytes()).map_err(Failure::of_method)?;
    Ok(Json(hub.invoke_method(&owner, call).await?.to_json()))
}

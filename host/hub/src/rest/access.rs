//! The shared access policies over REST, for the operator alone.

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::failure::Failure;
use crate::hub::Hub;

/// Where the shared access policies are read, keys included; the control socket serves it, no network.
pub const ACCESS_POLICIES_PATH: &str = "/wasm-edge/v1/access-policies";

pub(super) async fn policies(State(hub): State<Hub>) -> Result<Json<Value>, Failure> {
    let policies = hub.access_policies().await?;
    Ok(Json(
        policies.iter().map(|policy| policy.to_json()).collect(),
    ))
}

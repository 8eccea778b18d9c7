//! How much there is, over REST: `/statistics/…`.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::failure::Failure;
use crate::hub::Hub;

pub(super) fn routes() -> Router<Hub> {
    Router::new()
        .route("/statistics/devices", get(devices))
        .route("/statistics/service", get(service))
}

async fn devices(State(hub): State<Hub>) -> Result<Json<Value>, Failure> {
    Ok(Json(hub.device_statistics().await?.to_json()))
}

async fn service(State(hub): State<Hub>) -> Json<Value> {
    Json(json!({ "connectedDeviceCount": hub.connected_devices() }))
}

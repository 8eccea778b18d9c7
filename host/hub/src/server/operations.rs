//! What operators ask a hub: how it is, and what it counted.
//!
//! | Path | Answer |
//! | --- | --- |
//! | `/metrics` | the metrics, as OpenMetrics text |
//! | `/health/live` | 200 as long as the process serves requests |
//! | `/health/ready` | 200 when devices can be served, else 503 with the reasons |
//!
//! Nothing here tells of devices, so that it needs no credentials.

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::time::timeout;

use crate::hub::Hub;
use crate::metrics::METRICS_CONTENT_TYPE;
use crate::store::DocumentKey;

/// How long the store may take to answer before the hub counts as not ready.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// A key that is read to see whether the store answers; there is nothing under it.
const PROBE: &str = "health";

impl Hub {
    /// Metrics and health, to be served to operators; unknown paths are left to the router that it is merged into.
    pub fn operations(&self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/health/live", get(live))
            .route("/health/ready", get(ready))
            .with_state(self.clone())
    }

    /// Why devices cannot be served at the moment; nothing when they can.
    async fn unready(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if self.closing().is_cancelled() {
            reasons.push("the hub is closing");
        }
        if self.telemetry_status().failing {
            reasons.push("the disk takes no telemetry");
        }
        let probe = DocumentKey::setting(PROBE);
        match timeout(STORE_TIMEOUT, self.store().read(&probe)).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => reasons.push("the store fails"),
            Err(_) => reasons.push("the store does not answer"),
        }
        reasons
    }
}

async fn metrics(State(hub): State<Hub>) -> Response {
    let headers = [(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)];
    (headers, hub.metrics_text()).into_response()
}

async fn live() -> Response {
    Json(json!({ "status": "live" })).into_response()
}

async fn ready(State(hub): State<Hub>) -> Response {
    let reasons = hub.unready().await;
    if reasons.is_empty() {
        return Json(json!({ "status": "ready" })).into_response();
    }
    let body = json!({ "status": "not ready", "reasons": reasons });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

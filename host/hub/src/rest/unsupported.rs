//! What IoT Hub has and this hub has not: each path of it answers 501 with an error body, so that a
//! client is told what is missing and does not take the hub for another address.

use axum::Router;
use axum::routing::any;

use super::failure::Failure;
use crate::hub::Hub;

/// The paths, and what they would be for.
const PATHS: [(&str, &str); 10] = [
    ("/jobs", JOBS),
    ("/jobs/{*rest}", JOBS),
    ("/digitaltwins/{*rest}", "digital twins"),
    ("/devices/{device}/files", FILES),
    ("/devices/{device}/files/{*rest}", FILES),
    ("/devices/{device}/messages/{*rest}", MESSAGES),
    (
        "/devices/{device}/modules/{module}/messages/{*rest}",
        MESSAGES,
    ),
    (
        "/devices/{device}/modules/{module}/devicesAndModulesInTargetDeviceScope",
        SCOPES,
    ),
    (
        "/devices/{device}/modules/{module}/getDeviceAndModuleOnBehalfOf",
        SCOPES,
    ),
    ("/messages/{*rest}", "feedback and file notifications"),
];

const JOBS: &str = "jobs, imports and exports";
const SCOPES: &str = "devices behind other devices";
const FILES: &str = "uploads of files";
const MESSAGES: &str = "messages of devices over HTTP";

pub(super) fn routes() -> Router<Hub> {
    PATHS.iter().fold(Router::new(), |router, (path, what)| {
        router.route(path, any(async || Failure::not_supported(what)))
    })
}

//! Which right a request of the REST face needs.
//!
//! Owns the table of routes. A route that is not in it is served to nobody
//! over a network; a test walks all routes. Leaves checking to
//! the gate of the REST face.

use axum::http::Method;

use super::policy::{Right, Rights};
use super::throttle::Operation;

/// Who may make a request, besides the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    /// What a service needs; nobody over a network may, if there is nothing.
    pub(crate) rights: Option<Rights>,
    /// As what a device or module may make the request.
    pub(crate) own: Option<OwnCall>,
    /// As what it is throttled.
    pub(crate) operation: Option<Operation>,
}

/// What devices and modules may do for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnCall {
    /// A device manages its own modules.
    Modules,
    /// A device uploads a file; it is told that it cannot.
    Files,
    /// `$edgeHub` reads who lies in the scope of its device.
    Scope,
    /// A module calls a direct method of its device or of a module of it.
    Methods,
}

/// Stands for all methods.
const ANY: &str = "*";

const NONE: Rights = Rights::of(&[]);
const READ: Rights = Rights::of(&[Right::RegistryRead]);
const WRITE: Rights = Rights::of(&[Right::RegistryWrite]);
const SERVICE: Rights = Rights::of(&[Right::ServiceConnect]);
/// What changes both identities and twins.
const DEPLOY: Rights = Rights::of(&[Right::RegistryWrite, Right::ServiceConnect]);

const IDENTITY: Option<Operation> = Some(Operation::Identity);
const TWIN_READ: Option<Operation> = Some(Operation::TwinRead);
const TWIN_UPDATE: Option<Operation> = Some(Operation::TwinUpdate);
const QUERY: Option<Operation> = Some(Operation::Query);
/// The gate puts the length of the body in.
const METHOD: Option<Operation> = Some(Operation::Method { bytes: 0 });
const CONFIGURATION: Option<Operation> = Some(Operation::Configuration);

type Row = (
    &'static str,
    &'static str,
    Option<Rights>,
    Option<OwnCall>,
    Option<Operation>,
);

/// Method, path as it is routed, rights of services, call of devices and modules, throttle.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("GET", "/devices", Some(READ), None, IDENTITY),
    ("POST", "/devices", Some(WRITE), None, IDENTITY),
    ("POST", "/devices/query", Some(SERVICE), None, QUERY),
    ("GET", "/devices/{device}", Some(READ), None, IDENTITY),
    ("PUT", "/devices/{device}", Some(WRITE), None, IDENTITY),
    ("DELETE", "/devices/{device}", Some(WRITE), None, IDENTITY),
    ("GET", "/devices/{device}/modules", Some(READ), Some(OwnCall::Modules), IDENTITY),
    ("GET", "/devices/{device}/modules/{module}", Some(READ), Some(OwnCall::Modules), IDENTITY),
    ("PUT", "/devices/{device}/modules/{module}", Some(WRITE), Some(OwnCall::Modules), IDENTITY),
    ("DELETE", "/devices/{device}/modules/{module}", Some(WRITE), Some(OwnCall::Modules), IDENTITY),
    ("GET", "/devices/{device}/modules/{module}/devicesAndModulesInDeviceScope", Some(READ), Some(OwnCall::Scope), IDENTITY),
    ("GET", "/devices/{device}/modules/{module}/deviceAndModuleInDeviceScope", Some(READ), Some(OwnCall::Scope), IDENTITY),
    ("DELETE", "/devices/{device}/commands", Some(SERVICE), None, None),
    ("GET", "/statistics/devices", Some(READ), None, IDENTITY),
    ("GET", "/statistics/service", Some(SERVICE), None, None),
    ("GET", "/configurations", Some(READ), None, CONFIGURATION),
    ("GET", "/configurations/{id}", Some(READ), None, CONFIGURATION),
    ("PUT", "/configurations/{id}", Some(WRITE), None, CONFIGURATION),
    ("DELETE", "/configurations/{id}", Some(WRITE), None, CONFIGURATION),
    ("POST", "/configurations/testQueries", Some(READ), None, CONFIGURATION),
    ("POST", "/devices/{device}/applyConfigurationContent", Some(DEPLOY), None, CONFIGURATION),
    ("GET", "/twins/{device}", Some(SERVICE), None, TWIN_READ),
    ("PATCH", "/twins/{device}", Some(SERVICE), None, TWIN_UPDATE),
    ("PUT", "/twins/{device}", Some(SERVICE), None, TWIN_UPDATE),
    ("GET", "/twins/{device}/modules/{module}", Some(SERVICE), None, TWIN_READ),
    ("PATCH", "/twins/{device}/modules/{module}", Some(SERVICE), None, TWIN_UPDATE),
    ("PUT", "/twins/{device}/modules/{module}", Some(SERVICE), None, TWIN_UPDATE),
    ("POST", "/twins/{device}/methods", Some(SERVICE), Some(OwnCall::Methods), METHOD),
    ("POST", "/twins/{device}/modules/{module}/methods", Some(SERVICE), Some(OwnCall::Methods), METHOD),
    ("GET", "/wasm-edge/v1/telemetry", Some(SERVICE), None, None),
    ("GET", "/wasm-edge/v1/telemetry/status", Some(SERVICE), None, None),
    ("GET", "/wasm-edge/v1/twins/{device}/changes", Some(SERVICE), None, TWIN_READ),
    ("GET", "/wasm-edge/v1/twins/{device}/modules/{module}/changes", Some(SERVICE), None, TWIN_READ),
    ("POST", "/wasm-edge/v1/devices/{device}/messages/devicebound", Some(SERVICE), None, None),
    ("GET", "/wasm-edge/v1/events", Some(SERVICE), None, None),
    ("GET", "/wasm-edge/v1/consumers", Some(SERVICE), None, None),
    ("GET", "/wasm-edge/v1/consumers/{name}", Some(SERVICE), None, None),
    ("PUT", "/wasm-edge/v1/consumers/{name}", Some(SERVICE), None, None),
    ("DELETE", "/wasm-edge/v1/consumers/{name}", Some(SERVICE), None, None),
    // What IoT Hub has and this hub has not: whoever is let in is told so.
    (ANY, "/jobs", Some(NONE), None, None),
    (ANY, "/jobs/{*rest}", Some(NONE), None, None),
    (ANY, "/digitaltwins/{*rest}", Some(NONE), None, None),
    (ANY, "/devices/{device}/files", Some(NONE), Some(OwnCall::Files), None),
    (ANY, "/devices/{device}/files/{*rest}", Some(NONE), Some(OwnCall::Files), None),
    (ANY, "/devices/{device}/messages/{*rest}", Some(NONE), None, None),
    (ANY, "/devices/{device}/modules/{module}/messages/{*rest}", Some(NONE), None, None),
    (ANY, "/devices/{device}/modules/{module}/devicesAndModulesInTargetDeviceScope", Some(NONE), Some(OwnCall::Scope), None),
    (ANY, "/devices/{device}/modules/{module}/getDeviceAndModuleOnBehalfOf", Some(NONE), Some(OwnCall::Scope), None),
    (ANY, "/messages/{*rest}", Some(NONE), None, None),
    // Keys of all services.
    ("GET", "/wasm-edge/v1/access-policies", None, None, None),
];

/// The rule for a request, by its method and the path of its route; one slash at the end more or
/// less is the same route.
pub(crate) fn rule(method: &Method, path: &str) -> Option<Rule> {
    let path = path.strip_suffix('/').unwrap_or(path);
    // A route that answers GET answers HEAD.
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let row = TABLE.iter().find(|(row_method, row_path, ..)| {
        (*row_method == method.as_str() || *row_method == ANY) && *row_path == path
    })?;
    let &(_, _, rights, own, operation) = row;
    Some(Rule {
        rights,
        own,
        operation,
    })
}

#[cfg(test)]
mod tests;

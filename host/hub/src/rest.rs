//! The REST face: IoT Hub's service API, and what wasm-edge adds to it.
//!
//! Owns paths, headers and bodies, and the gate that stands before them on a
//! network. Leaves to [`crate::access`] who may ask for what (a route needs a
//! row in its table), and everything else to the hub. Errors look as IoT Hub's do.
//!
//! | Path | Verbs |
//! | --- | --- |
//! | `/devices` | GET, POST (bulk) |
//! | `/devices/{d}`, `/devices/{d}/modules/{m}` | GET, PUT, DELETE |
//! | `/devices/{d}/modules` | GET |
//! | `/devices/{d}/commands` | DELETE |
//! | `/devices/{d}/applyConfigurationContent` | POST |
//! | `/devices/query` | POST |
//! | `/devices/{d}/modules/$edgeHub/devicesAndModulesInDeviceScope`, `/devices/{d}/modules/$edgeHub/deviceAndModuleInDeviceScope` | GET |
//! | `/statistics/devices`, `/statistics/service` | GET |
//! | `/configurations` | GET |
//! | `/configurations/{id}` | GET, PUT, DELETE |
//! | `/configurations/testQueries` | POST |
//! | `/twins/{d}`, `/twins/{d}/modules/{m}` | GET, PATCH, PUT |
//! | `/twins/{d}/methods`, `/twins/{d}/modules/{m}/methods` | POST |
//! | `/wasm-edge/v1/access-policies` | GET |
//! | `/wasm-edge/v1/devices/{d}/messages/devicebound` | POST |
//! | `/wasm-edge/v1/telemetry` | GET, a stream |
//! | `/wasm-edge/v1/telemetry/status` | GET |
//! | `/wasm-edge/v1/events` | GET |
//! | `/wasm-edge/v1/consumers` | GET |
//! | `/wasm-edge/v1/consumers/{name}` | GET, PUT, DELETE |
//! | `/wasm-edge/v1/twins/{d}/changes`, `/wasm-edge/v1/twins/{d}/modules/{m}/changes` | GET, a stream |
//!
//! Ids in paths are percent-encoded (`%24edgeAgent`); a slash at the end is
//! passed over, and so are query parameters that are not known and the value
//! of `api-version`. What IoT Hub has beside these answers 501.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};

use crate::access::throttle::Throttled;
use crate::hub::Hub;

mod access;
mod bulk;
mod commands;
mod configurations;
mod devices;
mod events;
mod failure;
mod filter;
mod gate;
mod paths;
mod query;
mod request;
mod scope;
mod statistics;
mod streams;
mod twins;
mod unsupported;

use failure::Failure;

pub use access::ACCESS_POLICIES_PATH;
pub use events::{CONSUMERS_PATH, EVENTS_PATH};
pub use streams::{
    POSITION_HEADER, TELEMETRY_PATH, TELEMETRY_STATUS_PATH, TWIN_CHANGES_SUFFIX, TWINS_PATH,
};

/// Where queries are asked.
const QUERY_PATH: &str = "/devices/query";

/// Longest body of a request: a twin with every limit used, written wastefully; a deployment.
pub const BODY_MAX_BYTES: usize = 1024 * 1024;

/// How long a client should wait whose request found no room.
const NO_ROOM_RETRY: Duration = Duration::from_secs(1);

/// The answer to a request that there is no room for now.
pub(crate) fn no_room() -> Response {
    Failure::throttled(Throttled {
        retry_after: NO_ROOM_RETRY,
    })
}

/// Whether a request only reads, so that it may be asked again without harm.
pub(crate) fn only_reads(method: &Method, path: &str) -> bool {
    method.is_safe() || path.trim_end_matches('/') == QUERY_PATH
}

impl Hub {
    /// The hub's REST face.
    ///
    /// It asks nobody for credentials: mount it only where every caller may
    /// do everything, and [`Hub::rest_for_network`] elsewhere. It answers
    /// unknown paths itself; a router that it is merged into must not.
    pub fn rest(&self) -> Router {
        paths::around(self.routes())
    }

    /// The routes, without what happens around all of them.
    pub(crate) fn routes(&self) -> Router {
        let identities = Router::new()
            .route("/devices", get(devices::list).post(bulk::apply))
            .route(QUERY_PATH, post(query::query))
            .route(
                "/devices/{device}",
                get(devices::read)
                    .put(devices::write)
                    .delete(devices::delete),
            )
            .route("/devices/{device}/modules", get(devices::modules))
            .route(
                "/devices/{device}/modules/{module}",
                get(devices::read)
                    .put(devices::write)
                    .delete(devices::delete),
            )
            .route(
                "/devices/{device}/applyConfigurationContent",
                post(devices::apply),
            );
        let twins = Router::new()
            .route(
                "/twins/{device}",
                get(twins::read).patch(twins::patch).put(twins::replace),
            )
            .route(
                "/twins/{device}/modules/{module}",
                get(twins::read).patch(twins::patch).put(twins::replace),
            )
            .route("/twins/{device}/methods", post(twins::invoke))
            .route(
                "/twins/{device}/modules/{module}/methods",
                post(twins::invoke),
            );
        Router::new()
            .merge(identities)
            .merge(twins)
            .merge(configurations::routes())
            .route(ACCESS_POLICIES_PATH, get(access::policies))
            .merge(commands::routes())
            .merge(scope::routes())
            .merge(statistics::routes())
            .merge(unsupported::routes())
            .merge(streams::routes())
            .merge(events::routes())
            .fallback(failure::no_such_path)
            .method_not_allowed_fallback(failure::no_such_verb)
            .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
            .with_state(self.clone())
    }
}

#[cfg(test)]
mod tests;

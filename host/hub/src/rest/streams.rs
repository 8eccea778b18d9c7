//! What wasm-edge adds to the service API: telemetry and twin changes as they happen.
//!
//! Both are `application/x-ndjson`, one JSON object per line, until the
//! client or the hub closes. Nothing piles up for a slow client: telemetry is
//! read from disk, twin changes come as one.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::message::MessageFilter;

use super::failure::Failure;
use super::filter::Parameters;
use super::request::Owner;
use crate::error::HubError;
use crate::hub::twins::service_json;
use crate::hub::{Hub, TWIN_READERS_MAX};
use crate::store::{Change, ChangeFeed, DocumentKey};
use crate::telemetry::{StartAt, StartAtError, TelemetryEvent, TelemetryReader, TelemetryStatus};

/// Where telemetry is read; in the query, `device`, `module`, `property` and `where` choose which, `from` where it
/// begins.
pub const TELEMETRY_PATH: &str = "/wasm-edge/v1/telemetry";

/// Where what is kept of it is told.
pub const TELEMETRY_STATUS_PATH: &str = "/wasm-edge/v1/telemetry/status";

/// The header that tells the position with which a stream of telemetry begins, where that is known.
pub const POSITION_HEADER: HeaderName = HeaderName::from_static("wasm-edge-position");

/// Where twins are watched: this, the rest of a twin's path, and [`TWIN_CHANGES_SUFFIX`].
pub const TWINS_PATH: &str = "/wasm-edge/v1/twins";

/// The end of the path where a twin is watched.
pub const TWIN_CHANGES_SUFFIX: &str = "/changes";

pub(super) fn routes() -> Router<Hub> {
    let device = format!("{TWINS_PATH}/{{device}}{TWIN_CHANGES_SUFFIX}");
    let module = format!("{TWINS_PATH}/{{device}}/modules/{{module}}{TWIN_CHANGES_SUFFIX}");
    Router::new()
        .route(TELEMETRY_PATH, get(telemetry))
        .route(TELEMETRY_STATUS_PATH, get(telemetry_status))
        .route(&device, get(twin_changes))
        .route(&module, get(twin_changes))
}

async fn telemetry(
    State(hub): State<Hub>,
    Parameters(mut parameters): Parameters,
) -> Result<Response, Failure> {
    let from = parameters.take("from").map(|text| text.parse()).transpose();
    let from: Option<StartAt> =
        from.map_err(|err: StartAtError| Failure::invalid(err.to_string()))?;
    let filter = parameters.filter()?;
    let reader = hub.telemetry(from.unwrap_or_default())?;
    let begins_at = reader.begins_at();
    let mut response = lines(stream::unfold((reader, filter), next_telemetry));
    if let Some(position) = begins_at {
        let value = HeaderValue::from(position);
        response.headers_mut().insert(POSITION_HEADER, value);
    }
    Ok(response)
}

async fn telemetry_status(State(hub): State<Hub>) -> Json<TelemetryStatus> {
    Json(hub.telemetry_status())
}

type TelemetryState = (TelemetryReader, MessageFilter);

async fn next_telemetry((mut reader, filter): TelemetryState) -> Option<(Value, TelemetryState)> {
    loop {
        let line = match reader.next().await? {
            // Whose they were is not known any more.
            TelemetryEvent::Lost(lost) => json!({ "lost": lost }),
            TelemetryEvent::Message(telemetry)
                if filter.takes(&telemetry.source, &telemetry.message) =>
            {
                telemetry.to_json()
            }
            TelemetryEvent::Message(_) => continue,
        };
        return Some((line, (reader, filter)));
    }
}

async fn twin_changes(State(hub): State<Hub>, Owner(owner): Owner) -> Result<Response, Failure> {
    let limit = TWIN_READERS_MAX;
    let permit = Arc::clone(hub.twin_readers())
        .try_acquire_owned()
        .map_err(|_| HubError::TooManyReaders {
            what: "twins",
            limit,
        })?;
    // Listening before reading, so that no change falls in between.
    let feed = hub.changes(owner.device());
    // A client that asks for what is not there gets an error and not an empty stream.
    hub.identity(&owner).await?;
    let watch = TwinWatch {
        hub,
        owner,
        feed,
        shown: None,
        _permit: permit,
    };
    Ok(lines(stream::unfold(watch, TwinWatch::next)))
}

/// A client that watches a twin.
struct TwinWatch {
    hub: Hub,
    owner: TwinOwner,
    feed: ChangeFeed,
    /// What the twin was when it was shown last.
    shown: Option<Shown>,
    _permit: OwnedSemaphorePermit,
}

#[derive(PartialEq)]
struct Shown {
    generation_id: String,
    identity_etag: String,
    twin_version: u64,
}

impl TwinWatch {
    /// The twin when it differs from what was shown last; ends when it is gone or the hub closes.
    async fn next(mut self) -> Option<(Value, Self)> {
        let closing = self.hub.closing().clone();
        loop {
            let record = match self.hub.load(&self.owner).await {
                Ok(found) => found.record,
                Err(HubError::NotFound { .. }) => return None,
                Err(err) => {
                    tracing::warn!(owner = %self.owner, ?err, "a stream of twin changes ended");
                    return None;
                }
            };
            let now = Shown {
                generation_id: record.identity.generation_id.clone(),
                identity_etag: record.identity.etag(),
                twin_version: record.twin.version,
            };
            if self.shown.as_ref() != Some(&now) {
                self.shown = Some(now);
                let view = self.hub.view(&record.identity).await.unwrap_or_else(|err| {
                    tracing::warn!(owner = %self.owner, ?err, "nobody knows how many messages wait");
                    self.hub.view_with(&record.identity, 0)
                });
                return Some((service_json(&record, view), self));
            }
            tokio::select! {
                () = closing.cancelled() => return None,
                changed = next_change(&mut self.feed, &self.owner) => changed?,
            }
        }
    }
}

/// Waits until the document of `owner` may have changed; nothing when the feed ends.
async fn next_change(feed: &mut ChangeFeed, owner: &TwinOwner) -> Option<()> {
    let own = DocumentKey::of(owner);
    let device = DocumentKey::of(&TwinOwner::Device(owner.device().clone()));
    loop {
        match feed.next().await? {
            Change::Document(key) if key != own && key != device => {}
            Change::Document(_) | Change::Missed => return Some(()),
        }
    }
}

/// An answer of JSON lines.
fn lines(values: impl Stream<Item = Value> + Send + 'static) -> Response {
    let lines = values.map(|value| Ok::<_, Infallible>(Bytes::from(format!("{value}\n"))));
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from_stream(lines)).into_response()
}

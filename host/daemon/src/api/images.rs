//! `/v1/images`: what the image store has, and what an operator does with it.
//!
//! It stands alone, too: a command that finds a data folder without a process serves this part itself.

mod shown;
mod transfer;

use std::borrow::Cow;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use wasm_edge_images::store::error::StoreError;
use wasm_edge_images::store::lookup::{Found, LookupError};
use wasm_edge_images::store::{ImageStore, Prune, Pruned};

use super::ApiError;
use crate::clock;
use crate::images::{ImageSupply, SupplyError};

/// What is to be pruned.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct PruneBody {
    all: bool,
}

/// The images of a process, to be served beside the rest of the API or alone.
pub fn router(supply: ImageSupply) -> Router {
    Router::new()
        .route("/v1/images", get(list))
        .route("/v1/images/pull", post(transfer::pull))
        .route("/v1/images/prune", post(prune))
        .route("/v1/images/load", post(transfer::load))
        .route("/v1/images/save", get(transfer::save))
        .route("/v1/images/{image}", get(show).delete(remove))
        .with_state(supply)
}

/// The answer of `GET /v1/images`, for a store that is asked without a process. Blocks.
pub fn listed(store: &ImageStore) -> Value {
    shown::all(store)
}

/// With which status it is answered that an image cannot be had.
pub fn status_of_supply(err: &SupplyError) -> StatusCode {
    match err {
        SupplyError::Store { source, .. } if source.is_no_room() => {
            StatusCode::INSUFFICIENT_STORAGE
        }
        err if err.is_configured() => StatusCode::FORBIDDEN,
        err if err.is_passing() => StatusCode::SERVICE_UNAVAILABLE,
        err if err.is_missing() => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_GATEWAY,
    }
}

async fn list(State(supply): State<ImageSupply>) -> Result<Json<Value>, ApiError> {
    let store = supply.store().clone();
    Ok(Json(blocking(move || Ok(listed(&store))).await?))
}

async fn show(
    State(supply): State<ImageSupply>,
    Path(image): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let store = supply.store().clone();
    let found = find(&store, &image)?.image;
    let shown = blocking(move || shown::whole(&store, &found)).await?;
    Ok(Json(shown))
}

async fn remove(
    State(supply): State<ImageSupply>,
    Path(image): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let store = supply.store().clone();
    // By the name that was given, or all of it.
    let name = find(&store, &image)?.name;
    let gone = blocking(move || store.remove(&name)).await?;
    tracing::info!(image, "an image was removed by an operator");
    Ok(Json(removed(&gone)))
}

async fn prune(
    State(supply): State<ImageSupply>,
    body: axum::body::Bytes,
) -> Result<Json<Value>, ApiError> {
    let asked: PruneBody = match body.is_empty() {
        true => PruneBody::default(),
        false => serde_json::from_slice(&body)
            .map_err(|err| ApiError::bad_request(format!("the body is not understood: {err}")))?,
    };
    let which = match asked.all {
        true => Prune::Unheld,
        false => Prune::Expired,
    };
    let store = supply.store().clone();
    let gone = blocking(move || store.prune(which, clock::now())).await?;
    Ok(Json(removed(&gone)))
}

fn removed(gone: &Pruned) -> Value {
    let images: Vec<Value> = gone.images.iter().map(shown::image).collect();
    json!({ "removed": images, "freedBytes": gone.freed_bytes })
}

/// The image that a person means by a text.
fn find(store: &ImageStore, text: &str) -> Result<Found, ApiError> {
    store.find(text).map_err(|err| {
        let status = match &err {
            LookupError::Missing { .. } => StatusCode::NOT_FOUND,
            LookupError::Ambiguous { .. } => StatusCode::CONFLICT,
        };
        of_error(status, &err, Some(Cow::Owned(err.hint())))
    })
}

/// Runs on a thread where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done =
        done.map_err(|err| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, err.to_string()))?;
    done.map_err(|err| of_store(&err))
}

/// What the store could not do, as it is answered.
fn of_store(err: &StoreError) -> ApiError {
    of_error(status_of(err), err, err.hint().map(Cow::Borrowed))
}

/// The status of what the store could not do, whatever it was asked for.
fn status_of(err: &StoreError) -> StatusCode {
    match err {
        StoreError::Missing { .. } => StatusCode::NOT_FOUND,
        StoreError::Held { .. } | StoreError::Busy { .. } | StoreError::NotWhole { .. } => {
            StatusCode::CONFLICT
        }
        err if err.is_no_room() => StatusCode::INSUFFICIENT_STORAGE,
        StoreError::Manifest { .. } | StoreError::Digest { .. } | StoreError::Size { .. } => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An error with its causes, the nearest first.
fn of_error(
    status: StatusCode,
    err: &dyn std::error::Error,
    hint: Option<Cow<'static, str>>,
) -> ApiError {
    let causes = std::iter::successors(err.source(), |cause| cause.source());
    let causes = causes.map(ToString::to_string).collect();
    let answer = ApiError::new(status, err.to_string()).with_causes(causes);
    match hint {
        Some(hint) => answer.with_hint(hint),
        None => answer,
    }
}

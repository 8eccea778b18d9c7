//! Images that come from registries, and those that come and go as archives.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use wasm_edge_images::credentials::{Credentials, LoginSource};
use wasm_edge_images::digest::Digest;
use wasm_edge_images::layout::{self, error::LayoutError};
use wasm_edge_images::reference::Reference;
use wasm_edge_model::manifest::without_login;

use super::{Found, blocking, find, of_error, shown, status_of, status_of_supply};
use crate::api::ApiError;
use crate::clock;
use crate::images::{ImageSupply, MirrorFailed, Pulled, SupplyError};
use crate::pieces;

/// How often it is told how far a pull is.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Images that one archive may have.
const SAVED_MAX: usize = 100;

/// Images that may be kept while another one is pulled: as many as a store may have.
const KEPT_MAX: usize = 2000;

/// What is to be pulled.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PullBody {
    reference: String,
    credentials: Option<Login>,
    /// Digests of images that make no room for this one.
    #[serde(default)]
    keep: Vec<String>,
}

/// As whom.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Login {
    username: String,
    password: String,
    /// The `config.json` of Docker's that whoever asks has it from.
    docker_config: Option<PathBuf>,
}

/// How an archive is to be loaded.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoadQuery {
    name: Option<String>,
}

/// How far a pull is: bytes that are there, and all.
type Reached = (u64, u64);

/// A pull under way: it goes on as long as somebody reads the answer.
struct Pulling {
    work: BoxFuture<'static, Result<Pulled, SupplyError>>,
    reached: watch::Receiver<Reached>,
}

/// Pulls an image; lines tell how far it is, and the last one what came of it.
pub(super) async fn pull(
    State(supply): State<ImageSupply>,
    Json(body): Json<PullBody>,
) -> Result<Response, ApiError> {
    let reference: Reference = body.reference.parse().map_err(|err| {
        let what = format!(
            "`{}` names no image",
            without_login(&body.reference).escape_debug()
        );
        of_error(StatusCode::BAD_REQUEST, &err, None).under(what)
    })?;
    let credentials = match body.credentials {
        Some(login) => {
            let of_docker = login.docker_config.map(LoginSource::DockerConfig);
            let source = of_docker.unwrap_or(LoginSource::Request);
            Credentials::basic(login.username, login.password, source)
        }
        None => Credentials::Anonymous,
    };
    let keep = digests(&body.keep)?;
    let (tell, reached) = watch::channel((0, 0));
    let work = Box::pin(async move {
        let tell = move |done_bytes, size_bytes| {
            tell.send_replace((done_bytes, size_bytes));
        };
        let pulled = supply.pull(&reference, &credentials, keep, &tell).await;
        for MirrorFailed { mirror, problem } in
            pulled.iter().flat_map(|pulled| &pulled.mirrors_failed)
        {
            // Whoever asked for it is told.
            tracing::info!(mirror, problem, "a mirror did not serve");
        }
        pulled
    });
    let lines = stream::unfold(Some(Pulling { work, reached }), next_line);
    Ok((
        [(CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response())
}

fn digests(texts: &[String]) -> Result<BTreeSet<Digest>, ApiError> {
    if texts.len() > KEPT_MAX {
        let what = format!("`keep` has more than {KEPT_MAX} digests");
        return Err(ApiError::bad_request(what));
    }
    let parsed: Result<_, _> = texts.iter().map(|text| text.parse()).collect();
    parsed.map_err(|err| {
        of_error(StatusCode::BAD_REQUEST, &err, None)
            .under("`keep` has what is no digest".to_owned())
    })
}

async fn next_line(pulling: Option<Pulling>) -> Option<(io::Result<String>, Option<Pulling>)> {
    let mut pulling = pulling?;
    let further = async {
        // Who tells has ended with the pull, which is polled first.
        if pulling.reached.changed().await.is_err() {
            std::future::pending().await
        }
        tokio::time::sleep(TELL_EVERY).await;
        *pulling.reached.borrow_and_update()
    };
    let (line, rest) = tokio::select! {
        biased;
        done = &mut pulling.work => (last_line(done), None),
        (done_bytes, size_bytes) = further => {
            (json!({ "doneBytes": done_bytes, "sizeBytes": size_bytes }), Some(pulling))
        }
    };
    Some((Ok(format!("{line}\n")), rest))
}

fn last_line(done: Result<Pulled, SupplyError>) -> Value {
    match done {
        Ok(pulled) => json!({
            "image": shown::image(&pulled.image),
            "receivedBytes": pulled.received_bytes,
            "mirrorsFailed": pulled.mirrors_failed.iter().map(|failed| json!({
                "mirror": failed.mirror,
                "problem": failed.problem,
            })).collect::<Vec<_>>(),
        }),
        Err(err) => {
            let (status, answer) = of_supply(&err);
            json!({ "status": status.as_u16(), "failure": answer.to_json() })
        }
    }
}

fn of_supply(err: &SupplyError) -> (StatusCode, ApiError) {
    let status = status_of_supply(err);
    (status, of_error(status, err, err.hint().map(Cow::Owned)))
}

/// Takes the images of an archive: a tar of an OCI image layout.
pub(super) async fn load(
    State(supply): State<ImageSupply>,
    Query(query): Query<LoadQuery>,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let name = query
        .name
        .as_deref()
        .map(str::parse::<Reference>)
        .transpose();
    let name = name.map_err(|err| of_error(StatusCode::BAD_REQUEST, &err, None))?;
    let store = supply.store().clone();
    let (sender, reader) = pieces::reader();
    let loading = tokio::task::spawn_blocking(move || {
        layout::load_tar(&store, reader, name.as_ref(), clock::now())
    });
    let mut content = body.into_data_stream();
    while let Some(piece) = content.next().await {
        let is_last = piece.is_err();
        if sender.send(piece.map_err(io::Error::other)).await.is_err() || is_last {
            break;
        }
    }
    drop(sender);
    let loaded = loading.await;
    let loaded =
        loaded.map_err(|err| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, err.to_string()))?;
    let loaded = loaded.map_err(|err| {
        let status = match &err {
            // What the archive is not to blame for.
            LayoutError::Store { source, .. } => match status_of(source) {
                StatusCode::INSUFFICIENT_STORAGE => StatusCode::INSUFFICIENT_STORAGE,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            },
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        of_error(status, &err, err.hint().map(Cow::Borrowed))
    })?;
    Ok(Json(shown::loaded(&loaded)))
}

/// Gives images as an archive: a tar of an OCI image layout. They are named by `image`, which may be repeated.
pub(super) async fn save(
    State(supply): State<ImageSupply>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let store = supply.store().clone();
    let asked: Vec<String> = named(query.as_deref().unwrap_or_default()).collect();
    if asked.is_empty() || asked.len() > SAVED_MAX {
        let what = format!("`image` names the images, from 1 to {SAVED_MAX}");
        return Err(ApiError::bad_request(what));
    }
    let found = asked.iter().map(|image| {
        let Found { image, name } = find(&store, image)?;
        Ok((image, name))
    });
    let images = layout::selected(found.collect::<Result<Vec<_>, ApiError>>()?);
    // What cannot be read is said before the first byte: later there is nowhere to say it.
    let (checked, all) = (store.clone(), images.clone());
    blocking(move || {
        let mut all = all.iter();
        all.try_for_each(|image| checked.verify(image))
    })
    .await?;
    let content = pieces::written(move |writer| layout::save_tar(&store, &images, writer));
    Ok((
        [(CONTENT_TYPE, "application/x-tar")],
        Body::from_stream(content),
    )
        .into_response())
}

/// The values of `image` in a query.
fn named(query: &str) -> impl Iterator<Item = String> {
    let values = query
        .split('&')
        .filter_map(|part| part.strip_prefix("image="));
    values.filter_map(|value| {
        let decoded = percent_encoding::percent_decode_str(value).decode_utf8();
        decoded.ok().map(|text| text.into_owned())
    })
}

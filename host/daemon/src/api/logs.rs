//! `/v1/logs`: log lines as JSON, one a line, and those that follow.
//!
//! The logs are read by a blocking thread, which waits for a slow client; nothing is gathered here.

use std::convert::Infallible;
use std::ops::ControlFlow;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::time::Timestamp;

use super::{ApiError, ApiState, DeviceView};
use crate::logs::entry::{LogEntry, level_named};
use crate::logs::feed::{FeedEvent, LogFeed};
use crate::logs::filter::{LogFilter, Pattern};
use crate::logs::reader::{self, LogSnapshot};

/// The most lines that `tail` may ask for.
const TAIL_MAX: usize = 1_000_000;

/// Bytes of lines that are sent as one piece.
const CHUNK_BYTES: usize = 16 * 1024;

/// Pieces that may wait for the client.
const CHUNKS_MAX: usize = 2;

/// What may be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    device: Option<String>,
    module: Option<String>,
    tail: Option<usize>,
    since: Option<String>,
    until: Option<String>,
    level: Option<String>,
    grep: Option<String>,
    follow: Option<bool>,
}

/// The lines that are kept, and with `follow=true` all that come after.
pub(super) async fn read(
    State(state): State<ApiState>,
    Query(query): Query<LogQuery>,
) -> Result<Response, ApiError> {
    let filter = filter(&query)?;
    let tail = match query.tail {
        Some(tail) if tail > TAIL_MAX => {
            return Err(ApiError::bad_request(format!(
                "`tail` may be at most {TAIL_MAX}"
            )));
        }
        tail => tail,
    };
    let follows = query.follow.unwrap_or(false);
    if follows && filter.until.is_some() {
        let error = "`until` and `follow` exclude each other".to_owned();
        return Err(ApiError::bad_request(error));
    }
    let views = state.devices(query.device.as_deref())?;
    if let Some(module) = &filter.module
        && !views.iter().any(|view| is_known(view, module))
    {
        return Err(ApiError::not_found(format!(
            "there is no module `{module}`"
        )));
    }
    let mut snapshots = Vec::new();
    let mut feeds = Vec::new();
    for view in views {
        if follows {
            let followed = view.logs.snapshot_and_follow(filter.module.clone());
            let (snapshot, feed) = followed
                .map_err(|err| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, err.to_string()))?;
            snapshots.push(snapshot);
            feeds.push(feed);
        } else {
            snapshots.push(view.logs.snapshot());
        }
    }
    let followed = feeds
        .into_iter()
        .map(|feed| follow(feed, filter.clone()).boxed());
    let followed = stream::select_all(followed.collect::<Vec<_>>());
    let lines = kept(snapshots, filter, tail).chain(followed);
    let body = Body::from_stream(lines.map(Ok::<_, Infallible>));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn is_known(view: &DeviceView, module: &ModuleId) -> bool {
    let reports = view.supervisor.reports();
    reports.iter().any(|report| report.module() == module) || view.logs.knows(module)
}

fn filter(query: &LogQuery) -> Result<LogFilter, ApiError> {
    let refuse = |err: &dyn std::fmt::Display| ApiError::bad_request(err.to_string());
    let time = |text: &Option<String>| match text {
        Some(text) => text
            .parse::<Timestamp>()
            .map(Some)
            .map_err(|err| refuse(&err)),
        None => Ok(None),
    };
    let level = match &query.level {
        Some(name) => Some(level_named(name).ok_or_else(|| {
            let known = "expected `trace`, `debug`, `info`, `warn` or `error`";
            ApiError::bad_request(format!("`{name}` is no level; {known}"))
        })?),
        None => None,
    };
    Ok(LogFilter {
        module: query
            .module
            .as_deref()
            .map(ModuleId::new)
            .transpose()
            .map_err(|err| refuse(&err))?,
        since: time(&query.since)?,
        until: time(&query.until)?,
        level,
        severity: None,
        pattern: query
            .grep
            .as_deref()
            .map(Pattern::new)
            .transpose()
            .map_err(|err| refuse(&err))?,
    })
}

/// The lines of the snapshots, in pieces.
fn kept(
    snapshots: Vec<LogSnapshot>,
    filter: LogFilter,
    tail: Option<usize>,
) -> impl Stream<Item = Bytes> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    tokio::task::spawn_blocking(move || {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let read = reader::read(&snapshots, &filter, tail, |entry| {
            push(&mut chunk, &entry.to_json());
            if chunk.len() < CHUNK_BYTES && !sender.is_closed() {
                return ControlFlow::Continue(());
            }
            // Nobody reads any more: there is nothing left to do.
            match sender.blocking_send(Bytes::from(std::mem::take(&mut chunk))) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        match read {
            Ok(summary) if summary.damaged > 0 => {
                push(&mut chunk, &json!({ "damaged": summary.damaged }));
            }
            Ok(_) => {}
            Err(err) => {
                tracing::warn!(%err, "the logs cannot be read to their end");
                push(
                    &mut chunk,
                    &json!({ "error": format!("the logs cannot be read to their end: {err}") }),
                );
            }
        }
        let _ = sender.blocking_send(Bytes::from(chunk));
    });
    stream::unfold(receiver, |mut receiver| async move {
        let chunk = receiver.recv().await?;
        Some((chunk, receiver))
    })
}

/// The wanted lines of a feed, in pieces.
fn follow(feed: LogFeed, filter: LogFilter) -> impl Stream<Item = Bytes> {
    stream::unfold((feed, filter), |(mut feed, filter)| async move {
        loop {
            let first = feed.next().await?;
            let mut events = vec![first];
            events.extend(feed.drain());
            let chunk = match filter.pattern {
                None => chunk_of(&events, &filter),
                // A pattern may take long on a long line.
                Some(_) => {
                    let filter = filter.clone();
                    let chunk = tokio::task::spawn_blocking(move || chunk_of(&events, &filter));
                    chunk.await.ok()?
                }
            };
            if !chunk.is_empty() {
                return Some((Bytes::from(chunk), (feed, filter)));
            }
        }
    })
}

fn chunk_of(events: &[FeedEvent], filter: &LogFilter) -> Vec<u8> {
    let mut chunk = Vec::new();
    for event in events {
        match event {
            FeedEvent::Line(entry) if filter.wants(entry) => {
                push(&mut chunk, &LogEntry::to_json(entry))
            }
            FeedEvent::Line(_) => {}
            FeedEvent::Missed(lines) => push(&mut chunk, &json!({ "lost": lines })),
        }
    }
    chunk
}

fn push(chunk: &mut Vec<u8>, value: &Value) {
    chunk.extend_from_slice(value.to_string().as_bytes());
    chunk.push(b'\n');
}

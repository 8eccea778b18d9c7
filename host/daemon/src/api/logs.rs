//! `/v1/logs`: log lines as JSON, one a line, and those that follow.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use wasm_edge_model::identity::ModuleId;

use super::{ApiError, ApiState};
use crate::logs::LogEntry;

/// What may be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    device: Option<String>,
    module: Option<String>,
    tail: Option<usize>,
    follow: Option<bool>,
}

/// The newest lines, and with `follow=true` all that come after.
pub(super) async fn read(
    State(state): State<ApiState>,
    Query(query): Query<LogQuery>,
) -> Result<Response, ApiError> {
    let module = match &query.module {
        None => None,
        Some(id) => Some(ModuleId::new(id).map_err(|err| ApiError::bad_request(err.to_string()))?),
    };
    let views = state.devices(query.device.as_deref())?;
    if let Some(module) = &module {
        let known = views.iter().any(|view| {
            view.supervisor
                .reports()
                .iter()
                .any(|report| report.module() == module)
        });
        if !known {
            return Err(ApiError::not_found(format!(
                "there is no module `{module}`"
            )));
        }
    }
    let tail = query.tail.unwrap_or(usize::MAX);
    let mut kept = Vec::new();
    let mut feeds = Vec::new();
    for view in views {
        let (lines, feed) = view.logs.read(module.as_ref(), tail);
        kept.extend(lines);
        feeds.push(feed);
    }
    kept.sort_by_key(|entry| entry.time);
    let first = kept.len().saturating_sub(tail);
    let lines = stream::iter(kept.split_off(first)).map(|entry| json_line(&entry));
    let body = if query.follow.unwrap_or(false) {
        let followed = feeds
            .into_iter()
            .map(|feed| follow(feed, module.clone()).boxed());
        Body::from_stream(lines.chain(stream::select_all(followed)))
    } else {
        Body::from_stream(lines)
    };
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn follow(
    feed: Receiver<Arc<LogEntry>>,
    module: Option<ModuleId>,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    stream::unfold((feed, module), |(mut feed, module)| async move {
        loop {
            match feed.recv().await {
                Ok(entry) if module.as_ref().is_none_or(|module| *module == entry.module) => {
                    return Some((json_line(&entry), (feed, module)));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(lost)) => {
                    let line = format!("{}\n", json!({ "lost": lost }));
                    return Some((Ok(Bytes::from(line)), (feed, module)));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

fn json_line(entry: &LogEntry) -> Result<Bytes, std::convert::Infallible> {
    Ok(Bytes::from(format!("{}\n", entry.to_json())))
}

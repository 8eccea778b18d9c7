//! Telemetry for those who go on where they left off: named consumers, and reading in portions.
//!
//! A client reads, deals with what it got, and puts the position that it was told; what it did not put comes again.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;

use super::failure::Failure;
use super::filter::Parameters;
use super::request::Body;
use crate::hub::Hub;
use crate::telemetry::consumer::{ConsumerName, EVENTS_MAX, EVENTS_WAIT_MAX, Reading};
use crate::telemetry::{StartAt, StartAtError};

/// Messages of a reading that asks for no number.
const EVENTS_DEFAULT: u64 = 100;

/// Where telemetry is read in portions.
pub const EVENTS_PATH: &str = "/wasm-edge/v1/events";

/// Where consumers are.
pub const CONSUMERS_PATH: &str = "/wasm-edge/v1/consumers";

pub(super) fn routes() -> Router<Hub> {
    Router::new()
        .route(EVENTS_PATH, get(read))
        .route(CONSUMERS_PATH, get(list))
        .route(
            &format!("{CONSUMERS_PATH}/{{name}}"),
            get(one).put(set).delete(delete),
        )
}

async fn read(
    State(hub): State<Hub>,
    Parameters(mut parameters): Parameters,
) -> Result<Json<Value>, Failure> {
    let consumer = parameters.take("consumer");
    let from = parameters.take("from");
    let max = parameters.number("max", 1..=EVENTS_MAX as u64)?;
    let wait = parameters.number("wait", 0..=EVENTS_WAIT_MAX.as_secs())?;
    let reading = Reading {
        max: usize::try_from(max.unwrap_or(EVENTS_DEFAULT)).unwrap_or(EVENTS_MAX),
        wait: Duration::from_secs(wait.unwrap_or_default()),
        filter: parameters.filter()?,
    };
    let events = match (consumer, from) {
        (Some(name), None) => hub.consumer_events(&any_name(&name)?, &reading).await?,
        (None, Some(from)) => {
            let position = hub.position_of(start(&from)?)?;
            hub.events(position, &reading).await?
        }
        _ => return Err(Failure::invalid("one of `consumer` and `from` is needed")),
    };
    Ok(Json(events.to_json()))
}

async fn list(State(hub): State<Hub>) -> Result<Json<Value>, Failure> {
    let consumers = hub.consumers().await?;
    Ok(Json(
        consumers
            .iter()
            .map(|consumer| consumer.to_json())
            .collect(),
    ))
}

async fn one(State(hub): State<Hub>, Path(name): Path<String>) -> Result<Json<Value>, Failure> {
    Ok(Json(hub.consumer(&any_name(&name)?).await?.to_json()))
}

/// A position as a number, or as a text that may be `earliest` or `latest` too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    position: Value,
}

async fn set(
    State(hub): State<Hub>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<Value>, Failure> {
    // Those of the hub move by themselves.
    let name = ConsumerName::new(&name).map_err(|err| Failure::invalid(err.to_string()))?;
    let Position { position } = body.object()?;
    let at = match position {
        Value::String(text) => start(&text)?,
        Value::Number(number) => start(&number.to_string())?,
        _ => {
            return Err(Failure::invalid(
                "`position` is neither a text nor a number",
            ));
        }
    };
    Ok(Json(hub.set_consumer(&name, at).await?.to_json()))
}

async fn delete(State(hub): State<Hub>, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    hub.delete_consumer(&any_name(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn any_name(text: &str) -> Result<ConsumerName, Failure> {
    ConsumerName::any(text).map_err(|err| Failure::invalid(err.to_string()))
}

fn start(text: &str) -> Result<StartAt, Failure> {
    text.parse()
        .map_err(|err: StartAtError| Failure::invalid(err.to_string()))
}

//! Messages to devices over REST: sending one, and throwing away those that wait.
//!
//! IoT Hub takes them over AMQP alone, so that sending has a path of our own;
//! the official one empties the queue.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{delete, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use wasm_edge_model::message::MessageLine;
use wasm_edge_model::time::TimestampError;

use super::failure::Failure;
use super::request::{Body, Owner};
use crate::command::CommandOptions;
use crate::hub::Hub;

pub(super) fn routes() -> Router<Hub> {
    Router::new()
        .route(
            "/wasm-edge/v1/devices/{device}/messages/devicebound",
            post(send),
        )
        .route("/devices/{device}/commands", delete(purge))
}

/// How a message is sent; what is not given is as [`CommandOptions`] has it.
#[derive(Deserialize)]
struct SendQuery {
    ack: Option<String>,
    expiry: Option<String>,
}

impl SendQuery {
    fn options(&self) -> Result<CommandOptions, Failure> {
        let ack = self.ack.as_deref().map(str::parse).transpose()?;
        let expires_at = self.expiry.as_deref().map(str::parse).transpose();
        let expires_at = expires_at
            .map_err(|err: TimestampError| Failure::invalid(format!("`expiry`: {err}")))?;
        Ok(CommandOptions {
            ack: ack.unwrap_or_default(),
            expires_at,
        })
    }
}

/// Takes a message as a line of `monitor` has it; its body is of [`MessageLine`].
async fn send(
    State(hub): State<Hub>,
    Owner(owner): Owner,
    query: Result<Query<SendQuery>, QueryRejection>,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let Query(query) = query.map_err(|err| Failure::invalid(err.to_string()))?;
    let options = query.options()?;
    let line = MessageLine::parse(body.text()?)
        .map_err(|err| Failure::invalid(format!("the body cannot be read: {err}")))?;
    if line.input.is_some() || line.output.is_some() {
        return Err(Failure::invalid(
            "a message to a device has no `input` and no `output`",
        ));
    }
    let receipt = hub
        .send_command(owner.device(), line.message, options)
        .await?;
    Ok((StatusCode::CREATED, Json(receipt.to_json())))
}

async fn purge(State(hub): State<Hub>, Owner(owner): Owner) -> Result<Json<Value>, Failure> {
    let purged = hub.purge_commands(owner.device()).await?;
    Ok(Json(json!({
        "totalMessagesPurged": purged,
        "deviceId": owner.device(),
        "moduleId": null,
    })))
}

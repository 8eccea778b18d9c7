//! Configurations over REST: `/configurations/…`.

use std::collections::BTreeMap;

use axum::Json;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::Value;

use super::failure::Failure;
use super::request::{Body, Condition};
use crate::error::HubError;
use crate::hub::Hub;
use crate::hub::configurations::{CONFIGURATIONS_MAX, ConfigurationId, ConfigurationRequest};

pub(super) fn routes() -> Router<Hub> {
    Router::new()
        .route("/configurations", get(list))
        .route("/configurations/testQueries", post(test_queries))
        .route("/configurations/{id}", get(read).put(write).delete(delete))
}

#[derive(Deserialize)]
struct ListQuery {
    top: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TestInput {
    target_condition: Option<String>,
    custom_metric_queries: Option<BTreeMap<String, String>>,
}

async fn list(
    State(hub): State<Hub>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Value>, Failure> {
    let Query(query) = query.map_err(|err| Failure::invalid(err.to_string()))?;
    let limit = query.top.unwrap_or(CONFIGURATIONS_MAX);
    Ok(Json(hub.configurations_json(limit).await?.into()))
}

async fn read(State(hub): State<Hub>, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    Ok(Json(hub.configuration_json(&checked(&id)?).await?))
}

/// Creates without `If-Match`, updates with it.
async fn write(
    State(hub): State<Hub>,
    Path(id): Path<String>,
    Condition(condition): Condition,
    body: Body,
) -> Result<Json<Value>, Failure> {
    let id = checked(&id)?;
    // Read as a document first, in which no key occurs twice.
    let document = body.document()?;
    if !document.is_object() {
        return Err(Failure::invalid("the body is no JSON object"));
    }
    let request: ConfigurationRequest = serde_json::from_value(document)
        .map_err(|err| Failure::invalid(format!("the body cannot be read: {err}")))?;
    Ok(Json(match condition {
        None => hub.create_configuration(&id, request).await?,
        Some(if_match) => hub.update_configuration(&id, request, if_match).await?,
    }))
}

async fn delete(
    State(hub): State<Hub>,
    Path(id): Path<String>,
    condition: Condition,
) -> Result<StatusCode, Failure> {
    hub.delete_configuration(&checked(&id)?, condition.or_any())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn test_queries(body: Body) -> Result<Json<Value>, Failure> {
    let input: TestInput = body.object()?;
    let metrics = input.custom_metric_queries.unwrap_or_default();
    let target = input.target_condition.as_deref();
    let faults = Hub::test_configuration_queries(target, &metrics);
    Ok(Json(faults.to_json()))
}

fn checked(id: &str) -> Result<ConfigurationId, Failure> {
    ConfigurationId::new(id).map_err(|err| HubError::from(err).into())
}

//! Queries over REST: `/devices/query`.
//!
//! Source: Azure IoT Hub, REST reference, "Query - Get Twins".

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::failure::Failure;
use super::request::Body;
use crate::hub::Hub;
use crate::hub::queries::{PAGE_ITEMS_MAX, PageRequest};

/// What the items of the answer are.
const ITEM_TYPE: HeaderName = HeaderName::from_static("x-ms-item-type");

/// In a request the token of the page before, in an answer that of this page, if there are more.
const CONTINUATION: HeaderName = HeaderName::from_static("x-ms-continuation");

/// How many items a page may have.
const MAX_ITEM_COUNT: HeaderName = HeaderName::from_static("x-ms-max-item-count");

#[derive(Deserialize)]
struct QuerySpecification {
    query: String,
}

pub(super) async fn query(
    State(hub): State<Hub>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let specification: QuerySpecification = body.object()?;
    let request = PageRequest {
        max_items: max_items(&headers)?,
        continuation: text(&headers, &CONTINUATION)?.map(str::to_owned),
    };
    let page = hub.query(&specification.query, request).await?;
    let mut response = page.items.into_response();
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(ITEM_TYPE, HeaderValue::from_static(page.kind.name()));
    if let Some(token) = page.continuation {
        let token = HeaderValue::try_from(token);
        headers.insert(CONTINUATION, token.expect("a token is base64"));
    }
    Ok(response)
}

/// How many items are asked for; 0 and nothing mean as many as may be.
fn max_items(headers: &HeaderMap) -> Result<Option<usize>, Failure> {
    let Some(text) = text(headers, &MAX_ITEM_COUNT)? else {
        return Ok(None);
    };
    // A client that asks for more gets as much as there may be.
    match text.parse::<u32>() {
        Ok(0) => Ok(None),
        Ok(count) => Ok(Some(usize::try_from(count).unwrap_or(PAGE_ITEMS_MAX))),
        Err(_) => Err(Failure::invalid(format!(
            "`{MAX_ITEM_COUNT}` is `{}`; expected a number from 1 to {PAGE_ITEMS_MAX}",
            text.escape_debug()
        ))),
    }
}

/// A header's text; an empty one counts as none.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Failure> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .map_err(|_| Failure::invalid(format!("`{name}` is not text")))?;
    Ok(Some(text.trim()).filter(|text| !text.is_empty()))
}

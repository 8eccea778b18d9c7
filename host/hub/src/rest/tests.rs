use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use tower_service::Service as _;

use super::*;
use crate::hub::tests::{hub, hub_with_module, module};

async fn send(hub: &Hub, request: Request<Body>) -> Response {
    hub.rest().call(request).await.unwrap()
}

fn request(method: Method, path: &str, if_match: Option<&str>, body: Value) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(etag) = if_match {
        request = request.header(header::IF_MATCH, etag);
    }
    let body = if body.is_null() {
        Body::empty()
    } else {
        Body::from(body.to_string())
    };
    request.body(body).unwrap()
}

async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn ask(hub: &Hub, method: Method, path: &str, body: Value) -> (u16, Value) {
    answer(send(hub, request(method, path, None, body)).await).await
}

async fn get_json(hub: &Hub, path: &str) -> Value {
    let (status, body) = ask(hub, Method::GET, path, Value::Null).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// Asks for an error: status, code's name in the header, and the message behind it.
async fn check_failure(hub: &Hub, request: Request<Body>, expected: (u16, &str, &str)) {
    let path = request.uri().to_string();
    let response = send(hub, request).await;
    let name = response.headers()["iothub-errorcode"]
        .to_str()
        .unwrap()
        .to_owned();
    let (status, body) = answer(response).await;
    let message = body["Message"].as_str().unwrap();
    let prefix = format!("ErrorCode:{name};");
    let text = message
        .strip_prefix(&prefix)
        .unwrap_or_else(|| panic!("{path}: {message}"));
    assert_eq!((status, &*name, text), expected, "{path}");
    assert!(
        body["ExceptionMessage"]
            .as_str()
            .unwrap()
            .starts_with("Tracking ID:")
    );
}

fn get_request(path: &str) -> Request<Body> {
    request(Method::GET, path, None, Value::Null)
}

mod around;
mod bulk;
mod commands;
mod identities;
mod methods;
mod queries;
mod streams;
mod twins;

//! `/v1/methods`: direct methods of modules, called without the hub.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::routing::{MethodRouter, post};
use serde::Deserialize;
use serde_json::{Value, json};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_runtime::guest::{
    Invocation, METHOD_NAME_MAX_BYTES, METHOD_PAYLOAD_MAX_BYTES, MethodTarget,
};

use super::{ApiError, ApiState};
use crate::methods::CallError;

/// How long the answer may take where nothing is said, as at IoT Hub.
const RESPONSE_TIMEOUT_DEFAULT_SECS: u64 = 30;

/// The least and the most that can be said of it (IoT Hub, direct methods).
const RESPONSE_TIMEOUT_SECS: std::ops::RangeInclusive<u64> = 5..=300;

/// The most of the wait for a module that takes no methods yet.
const CONNECT_TIMEOUT_MAX_SECS: u64 = 300;

/// The longest body: a payload written with spaces, and what stands around it.
const BODY_MAX_BYTES: usize = 512 * 1024;

/// The form of IoT Hub's service API.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallRequest {
    method_name: String,
    #[serde(default)]
    payload: Value,
    response_timeout_in_seconds: Option<u64>,
    connect_timeout_in_seconds: Option<u64>,
}

/// The path's verbs, with the limit of its bodies.
pub(super) fn route() -> MethodRouter<ApiState> {
    post(call).layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
}

async fn call(
    State(state): State<ApiState>,
    Path((device, module)): Path<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let body = body.map_err(|err| ApiError::new(err.status(), err.to_string()))?;
    let view = state.devices(Some(&device))?.remove(0);
    let not_found = || ApiError::not_found(format!("device `{device}` has no module `{module}`"));
    let target = ModuleId::new(&module).map_err(|_| not_found())?;
    if view.twins.known(&target).is_none() {
        return Err(not_found());
    }
    let call = read(&body, target.clone())?;
    let name = call.name.clone();
    let answer = view.methods.call(&target, call).await.map_err(|err| {
        let status = match err {
            CallError::Absent => StatusCode::NOT_FOUND,
            CallError::Full => StatusCode::TOO_MANY_REQUESTS,
            CallError::Timeout | CallError::Ended => StatusCode::GATEWAY_TIMEOUT,
        };
        let cause = err.told(&target);
        ApiError::new(status, format!("`{name}` got no answer: {cause}"))
    })?;
    // What modules answer was checked to be JSON; where it is not, it is shown as the text that it is.
    let payload = serde_json::from_str(&answer.payload).unwrap_or(Value::from(answer.payload));
    Ok(Json(json!({ "status": answer.status, "payload": payload })))
}

fn read(body: &[u8], target: ModuleId) -> Result<Invocation, ApiError> {
    let request: CallRequest = serde_json::from_slice(body)
        .map_err(|err| ApiError::bad_request(format!("the request is no method call: {err}")))?;
    let CallRequest {
        method_name: name,
        payload,
        response_timeout_in_seconds: response,
        connect_timeout_in_seconds: connect,
    } = request;
    if name.is_empty() || name.len() > METHOD_NAME_MAX_BYTES {
        let problem = format!("a method has a name of 1 to {METHOD_NAME_MAX_BYTES} bytes");
        return Err(ApiError::bad_request(problem));
    }
    let payload = payload.to_string();
    if payload.len() > METHOD_PAYLOAD_MAX_BYTES {
        let problem = format!("the payload has more than {METHOD_PAYLOAD_MAX_BYTES} bytes");
        return Err(ApiError::bad_request(problem));
    }
    let response = response.unwrap_or(RESPONSE_TIMEOUT_DEFAULT_SECS);
    if !RESPONSE_TIMEOUT_SECS.contains(&response) {
        let (least, most) = (RESPONSE_TIMEOUT_SECS.start(), RESPONSE_TIMEOUT_SECS.end());
        return Err(ApiError::bad_request(format!(
            "`responseTimeoutInSeconds` is from {least} to {most}"
        )));
    }
    let connect = connect.unwrap_or_default();
    if connect > CONNECT_TIMEOUT_MAX_SECS {
        return Err(ApiError::bad_request(format!(
            "`connectTimeoutInSeconds` is at most {CONNECT_TIMEOUT_MAX_SECS}"
        )));
    }
    Ok(Invocation {
        target: MethodTarget::Module(target),
        name,
        payload,
        response_timeout: Duration::from_secs(response),
        connect_timeout: Duration::from_secs(connect),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: Value, expected: Result<(u64, u64), &str>) {
        let read = read(
            body.to_string().as_bytes(),
            ModuleId::new("m").expect("valid"),
        );
        let found = read.map(|call| {
            (
                call.response_timeout.as_secs(),
                call.connect_timeout.as_secs(),
            )
        });
        match expected {
            Ok(expected) => assert_eq!(found.expect("a call"), expected),
            Err(expected) => {
                let err = found.expect_err("no call");
                assert!(err.error.contains(expected), "{}", err.error);
            }
        }
    }

    #[test]
    fn the_limits_are_those_of_a_hub() {
        check(json!({"methodName": "m"}), Ok((30, 0)));
        let all = |response: u64, connect: u64| {
            json!({
                "methodName": "m", "payload": {"a": 1},
                "responseTimeoutInSeconds": response, "connectTimeoutInSeconds": connect,
            })
        };
        check(all(5, 300), Ok((5, 300)));
        check(all(4, 0), Err("from 5 to 300"));
        check(all(301, 0), Err("from 5 to 300"));
        check(all(30, 301), Err("at most 300"));
        check(json!({"methodName": ""}), Err("a name of 1 to 100 bytes"));
        check(json!({"methodName": "x".repeat(101)}), Err("a name of"));
        check(json!({"payload": 1}), Err("methodName"));
        let large = json!({"methodName": "m", "payload": "x".repeat(METHOD_PAYLOAD_MAX_BYTES)});
        check(large, Err("the payload has more than"));
    }
}

//! `methods`: calls of other modules, which answer as the test says.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::bindings::generated::wasm_edge::module::methods as wit;
use crate::methods::InvokeError as Error;
use crate::testing::record::Invoked;
use crate::testing::world;

pub use wit::{InvokeError, InvokeOptions, Response, Target};

/// Longest name of a method, and largest payload each way, in bytes.
const NAME_MAX_BYTES: usize = 100;
const PAYLOAD_MAX_BYTES: usize = 128 * 1024;

/// Allowed `response-timeout-ms`, and the longest `connect-timeout-ms`.
const RESPONSE_TIMEOUT_MS: std::ops::RangeInclusive<u32> = 5_000..=300_000;
const CONNECT_TIMEOUT_MAX_MS: u32 = 300_000;

pub fn invoke(
    target: &Target,
    name: &str,
    payload: &str,
    options: InvokeOptions,
) -> Result<Response, InvokeError> {
    let payload = check(name, payload, options).map_err(InvokeError::Invalid)?;
    let payload = serde_json::from_str(&payload).expect("it was checked to be JSON");
    let world = world::current();
    let timeout = |ms: u32| Duration::from_millis(ms.into());
    let invoked = Invoked {
        module: match target {
            Target::Module(id) => Some(id.clone()),
            Target::Device => None,
        },
        method: name.to_owned(),
        payload,
        response_timeout: timeout(options.response_timeout_ms),
        connect_timeout: timeout(options.connect_timeout_ms),
    };
    let callee = {
        let mut state = world.lock();
        state.record.invoked.push(invoked.clone());
        let Target::Module(id) = target else {
            return Err(InvokeError::NotFound);
        };
        if *id == state.identity.module {
            return Err(InvokeError::Busy);
        }
        state.callees.get(id).map(Arc::clone)
    };
    let answer = match callee {
        // Not under the world's lock: it may well use a harness of its own.
        Some(callee) => {
            let mut callee = callee.lock().unwrap_or_else(PoisonError::into_inner);
            callee(name, invoked.payload)
        }
        None => Err(Error::NotFound),
    };
    let waited = match &answer {
        Err(Error::Timeout) => invoked.response_timeout,
        Err(Error::NotFound) => invoked.connect_timeout,
        _ => Duration::ZERO,
    };
    world.lock().now += waited;
    match answer {
        Ok(response) => Ok(checked_response(response.into()).into()),
        Err(err) => Err(err.into()),
    }
}

fn check(name: &str, payload: &str, options: InvokeOptions) -> Result<String, String> {
    if name.is_empty() || name.len() > NAME_MAX_BYTES {
        return Err(format!(
            "a method's name has 1 to {NAME_MAX_BYTES} bytes, this one {}",
            name.len()
        ));
    }
    if !RESPONSE_TIMEOUT_MS.contains(&options.response_timeout_ms) {
        return Err(format!(
            "response-timeout-ms is 5000 to 300000, not {}",
            options.response_timeout_ms
        ));
    }
    if options.connect_timeout_ms > CONNECT_TIMEOUT_MAX_MS {
        return Err(format!(
            "connect-timeout-ms is 0 to 300000, not {}",
            options.connect_timeout_ms
        ));
    }
    checked_payload(payload.to_owned())
}

fn checked_payload(payload: String) -> Result<String, String> {
    if payload.is_empty() {
        return Ok("null".to_owned());
    }
    if payload.len() > PAYLOAD_MAX_BYTES {
        return Err(format!(
            "the payload has {} bytes, at most {PAYLOAD_MAX_BYTES} are allowed",
            payload.len()
        ));
    }
    // Read whole, so that the depth is held to as well.
    match serde_json::from_str::<Value>(&payload) {
        Ok(_) => Ok(payload),
        Err(err) => Err(format!("the payload is not JSON: {err}")),
    }
}

/// An answer as the device passes it on: one that cannot be becomes status 500 with the reason.
pub(in crate::testing) fn checked_response(response: Response) -> crate::methods::Response {
    match checked_payload(response.payload) {
        Ok(payload) => crate::methods::Response {
            status: response.status,
            payload,
        },
        Err(reason) => crate::methods::Response::error(500, reason),
    }
}

impl From<Error> for InvokeError {
    fn from(err: Error) -> Self {
        match err {
            Error::NotFound => Self::NotFound,
            Error::Timeout => Self::Timeout,
            Error::Busy => Self::Busy,
            Error::Invalid(text) => Self::Invalid(text),
            Error::Other(text) => Self::Other(text),
        }
    }
}

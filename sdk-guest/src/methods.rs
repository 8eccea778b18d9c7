//! Direct methods: a question to a module or to the device, and its answer.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::methods as raw;
use crate::failure::millis;

/// How long [`Call`] waits for an answer unless told otherwise.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The answer to a direct method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The callee's own verdict, by custom as in HTTP.
    pub status: u32,
    /// JSON text, at most 128 KiB; empty is `null`.
    pub payload: String,
}

impl Response {
    /// An answer with any status. A value that cannot be written as JSON is answered as status 500 with the reason.
    pub fn new(status: u32, payload: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_string(payload) {
            Ok(payload) => Self { status, payload },
            Err(err) => Self::error(500, err),
        }
    }

    /// Status 200.
    pub fn ok(payload: &(impl Serialize + ?Sized)) -> Self {
        Self::new(200, payload)
    }

    /// Status 404, for a name that the module does not know.
    pub fn unknown_method(name: &str) -> Self {
        Self::error(404, format_args!("no method `{name}`"))
    }

    /// Any status, with `{"error": TEXT}`.
    pub fn error(status: u32, error: impl std::fmt::Display) -> Self {
        let payload = serde_json::json!({ "error": error.to_string() }).to_string();
        Self { status, payload }
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// Where it does not have the form of `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        let text = if self.payload.is_empty() {
            "null"
        } else {
            &self.payload
        };
        serde_json::from_str(text)
    }
}

/// A call of a direct method: `Call::module("filter", "ping").payload(&value).invoke()?`.
#[must_use = "nothing is called before `invoke`"]
#[derive(Clone, Debug)]
pub struct Call {
    target: raw::Target,
    name: String,
    payload: Value,
    response_timeout: Duration,
    connect_timeout: Duration,
}

impl Call {
    /// Calls a method of a module of this device, by the module's id.
    pub fn module(module: impl Into<String>, method: impl Into<String>) -> Self {
        Self::new(raw::Target::Module(module.into()), method.into())
    }

    /// Calls a method of this device itself.
    pub fn device(method: impl Into<String>) -> Self {
        Self::new(raw::Target::Device, method.into())
    }

    fn new(target: raw::Target, name: String) -> Self {
        Self {
            target,
            name,
            payload: Value::Null,
            response_timeout: RESPONSE_TIMEOUT,
            connect_timeout: Duration::ZERO,
        }
    }

    /// What to hand over, at most 128 KiB of JSON; `null` unless told.
    pub fn payload(mut self, payload: Value) -> Self {
        self.payload = payload;
        self
    }

    /// How long to wait for the answer, 5 to 300 s; 30 s unless told.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// How long to wait for a callee that is not there, at most 300 s; not at all unless told.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Calls, and waits for the answer. Waiting does not count as the module's own running time.
    ///
    /// # Errors
    /// [`InvokeError`], whose variants say when.
    pub fn invoke(self) -> Result<Response, InvokeError> {
        let options = raw::InvokeOptions {
            response_timeout_ms: millis(self.response_timeout),
            connect_timeout_ms: millis(self.connect_timeout),
        };
        let answer = raw::invoke(&self.target, &self.name, &self.payload.to_string(), options);
        answer.map(Response::from).map_err(InvokeError::from)
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvokeError {
    /// There is no such module, or it takes no methods, and none came in time.
    #[error("no such module takes methods")]
    NotFound,
    /// No answer came in time. The method may have run.
    #[error("no answer in time")]
    Timeout,
    /// The call would wait for itself: the callee is this module, or is waiting for it.
    #[error("the callee waits for this module")]
    Busy,
    /// The name or the payload is not allowed; the text says which.
    #[error("call refused: {0}")]
    Invalid(String),
    /// Anything else: 16 calls wait for the callee already, or it ended or dropped the call before it answered; the text
    /// says which.
    #[error("call failed: {0}")]
    Other(String),
}

impl From<raw::InvokeError> for InvokeError {
    fn from(error: raw::InvokeError) -> Self {
        match error {
            raw::InvokeError::NotFound => Self::NotFound,
            raw::InvokeError::Timeout => Self::Timeout,
            raw::InvokeError::Busy => Self::Busy,
            raw::InvokeError::Invalid(text) => Self::Invalid(text),
            raw::InvokeError::Other(text) => Self::Other(text),
        }
    }
}

impl From<raw::Response> for Response {
    fn from(response: raw::Response) -> Self {
        let raw::Response { status, payload } = response;
        Self { status, payload }
    }
}

impl From<Response> for raw::Response {
    fn from(response: Response) -> Self {
        let Response { status, payload } = response;
        Self { status, payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_method_is_answered_as_in_http() {
        let response = Response::unknown_method("x");
        assert_eq!(response.status, 404);
        assert_eq!(response.payload, r#"{"error":"no method `x`"}"#);
    }

    #[test]
    fn an_empty_payload_reads_as_null() {
        let response = Response {
            status: 200,
            payload: String::new(),
        };
        assert_eq!(
            response.json::<Option<u32>>().expect("null is `None`"),
            None
        );
    }
}

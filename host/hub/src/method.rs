//! Direct methods: a call, the request that reaches its target, the answer.
//!
//! Owns their form and limits. Leaves finding the target and waiting to the
//! hub, and what a method does to the device or module.
//!
//! Source: Azure IoT Hub, "Understand and invoke direct methods".

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Number, Value, json};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::error::HubError;

/// Longest name of a method, in characters.
pub const METHOD_NAME_MAX_CHARS: usize = 100;

/// Longest payload each way, as JSON text.
pub const METHOD_PAYLOAD_MAX_BYTES: usize = 128 * 1024;

/// How long an answer may take when the caller does not say.
pub const RESPONSE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// The shortest time that a caller may allow for an answer.
pub const RESPONSE_TIMEOUT_MIN: Duration = Duration::from_secs(5);

/// The longest time that a caller may allow for an answer, or wait for the target to connect.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// Calls that one device or module may have under way at once.
pub const CALLS_PER_TARGET_MAX: usize = 16;

/// A call of a direct method; checked.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodCall {
    name: String,
    payload: Value,
    response_timeout: Duration,
    connect_timeout: Duration,
}

/// The body of a request of the service API.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallRequest {
    method_name: String,
    #[serde(default)]
    payload: Value,
    response_timeout_in_seconds: Option<Number>,
    connect_timeout_in_seconds: Option<Number>,
}

impl MethodCall {
    /// A call that waits [`RESPONSE_TIMEOUT_DEFAULT`] for the answer and not for the target.
    ///
    /// # Errors
    /// [`HubError::Invalid`] when name or payload are too long, or there is no name.
    pub fn new(name: &str, payload: Value) -> Result<Self, HubError> {
        Self::checked(name, payload, RESPONSE_TIMEOUT_DEFAULT, Duration::ZERO)
    }

    /// The same call with other limits: for the answer ([`RESPONSE_TIMEOUT_MIN`] to
    /// [`TIMEOUT_MAX`]) and for the target to connect (up to [`TIMEOUT_MAX`]).
    ///
    /// # Errors
    /// [`HubError::Invalid`] when a time is out of range.
    pub fn with_timeouts(self, response: Duration, connect: Duration) -> Result<Self, HubError> {
        Self::checked(&self.name, self.payload, response, connect)
    }

    /// Reads the body of a request: `methodName`, `payload`, `responseTimeoutInSeconds`,
    /// `connectTimeoutInSeconds`.
    ///
    /// # Errors
    /// [`HubError::Invalid`].
    pub fn from_json(body: &[u8]) -> Result<Self, HubError> {
        let request: CallRequest = serde_json::from_slice(body)
            .map_err(|err| invalid(format!("the request is no method call: {err}")))?;
        // What is no whole number of seconds is out of range, whatever else it is.
        let seconds = |given: Option<Number>, default| {
            given.map_or(default, |number| {
                number.as_u64().map_or(Duration::MAX, Duration::from_secs)
            })
        };
        Self::checked(
            &request.method_name,
            request.payload,
            seconds(
                request.response_timeout_in_seconds,
                RESPONSE_TIMEOUT_DEFAULT,
            ),
            seconds(request.connect_timeout_in_seconds, Duration::ZERO),
        )
    }

    /// The name of the method.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long the answer may take.
    pub fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// How long to wait for a target that is not connected.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    fn checked(
        name: &str,
        payload: Value,
        response_timeout: Duration,
        connect_timeout: Duration,
    ) -> Result<Self, HubError> {
        if name.is_empty() || name.chars().count() > METHOD_NAME_MAX_CHARS {
            let problem = format!("a method has a name of 1 to {METHOD_NAME_MAX_CHARS} characters");
            return Err(invalid(problem));
        }
        if !(RESPONSE_TIMEOUT_MIN..=TIMEOUT_MAX).contains(&response_timeout) {
            return Err(invalid(
                "`responseTimeoutInSeconds` is not from 5 to 300".to_owned(),
            ));
        }
        if connect_timeout > TIMEOUT_MAX {
            return Err(invalid(
                "`connectTimeoutInSeconds` is not from 0 to 300".to_owned(),
            ));
        }
        if payload.to_string().len() > METHOD_PAYLOAD_MAX_BYTES {
            let problem = format!("the payload has more than {METHOD_PAYLOAD_MAX_BYTES} bytes");
            return Err(invalid(problem));
        }
        Ok(Self {
            name: name.to_owned(),
            payload,
            response_timeout,
            connect_timeout,
        })
    }

    /// The request for the target, and where its answer arrives.
    pub(crate) fn request(&self) -> (MethodRequest, oneshot::Receiver<MethodResult>) {
        let (answer, answered) = oneshot::channel();
        let (name, payload) = (self.name.clone(), self.payload.clone());
        (
            MethodRequest {
                name,
                payload,
                answer,
            },
            answered,
        )
    }
}

/// What the target answered.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodResult {
    /// The target's own number; 200 means by custom that all is well.
    pub status: i32,
    /// What it has to say.
    pub payload: Value,
}

impl MethodResult {
    /// The answer as the service API gives it.
    pub fn to_json(&self) -> Value {
        json!({ "status": self.status, "payload": self.payload })
    }
}

/// A method that the target is asked to run; dropping it tells the caller that no answer came.
#[derive(Debug)]
pub struct MethodRequest {
    /// The name of the method.
    pub name: String,
    /// What the caller gave it.
    pub payload: Value,
    answer: oneshot::Sender<MethodResult>,
}

/// Why an answer did not reach the caller.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RespondError {
    /// The payload is too long; the caller is told that no answer came.
    #[error(
        "the answer of the method has {size_bytes} bytes, more than {METHOD_PAYLOAD_MAX_BYTES}"
    )]
    TooLarge {
        /// The length of the payload as JSON text.
        size_bytes: usize,
    },
    /// The caller does not wait any more.
    #[error("the caller of the method does not wait any more")]
    Late,
}

impl MethodRequest {
    /// Waits until the caller does not wait any more.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn given_up(&mut self) {
        self.answer.closed().await;
    }

    /// Whether the caller does not wait any more: then there is no use in running the method.
    pub fn is_given_up(&self) -> bool {
        self.answer.is_closed()
    }

    /// Answers the caller.
    ///
    /// # Errors
    /// [`RespondError`].
    pub fn respond(self, status: i32, payload: Value) -> Result<(), RespondError> {
        let size_bytes = payload.to_string().len();
        if size_bytes > METHOD_PAYLOAD_MAX_BYTES {
            return Err(RespondError::TooLarge { size_bytes });
        }
        self.answer
            .send(MethodResult { status, payload })
            .map_err(|_| RespondError::Late)
    }
}

fn invalid(problem: String) -> HubError {
    HubError::Invalid { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: Value, expected: Result<(u64, u64), &str>) {
        let parsed = MethodCall::from_json(body.to_string().as_bytes());
        let found = parsed
            .map(|call| {
                (
                    call.response_timeout().as_secs(),
                    call.connect_timeout().as_secs(),
                )
            })
            .map_err(|err| err.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{body}");
    }

    #[test]
    fn a_call_has_defaults_and_limits() {
        check(json!({ "methodName": "x" }), Ok((30, 0)));
        check(
            json!({ "methodName": "x", "payload": "", "responseTimeoutInSeconds": 5 }),
            Ok((5, 0)),
        );
        check(
            json!({ "methodName": "x", "connectTimeoutInSeconds": 300 }),
            Ok((30, 300)),
        );
        let response = "`responseTimeoutInSeconds` is not from 5 to 300";
        check(
            json!({ "methodName": "x", "responseTimeoutInSeconds": 4 }),
            Err(response),
        );
        check(
            json!({ "methodName": "x", "responseTimeoutInSeconds": 301 }),
            Err(response),
        );
        for odd in [json!(-1), json!(7.5), json!(1e300)] {
            check(
                json!({ "methodName": "x", "responseTimeoutInSeconds": odd }),
                Err(response),
            );
        }
        let connect = "`connectTimeoutInSeconds` is not from 0 to 300";
        check(
            json!({ "methodName": "x", "connectTimeoutInSeconds": 301 }),
            Err(connect),
        );
        let name = "a method has a name of 1 to 100 characters";
        check(json!({ "methodName": "" }), Err(name));
        check(json!({ "methodName": "ä".repeat(100) }), Ok((30, 0)));
        check(json!({ "methodName": "x".repeat(101) }), Err(name));
        let payload = "x".repeat(METHOD_PAYLOAD_MAX_BYTES - 1);
        check(
            json!({ "methodName": "x", "payload": payload }),
            Err("the payload has more than 131072 bytes"),
        );
    }

    #[test]
    fn a_body_that_is_no_call_is_refused() {
        let err = MethodCall::from_json(b"{}").unwrap_err();
        assert!(
            err.to_string()
                .starts_with("the request is no method call: "),
            "{err}"
        );
    }
}

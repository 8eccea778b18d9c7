//! What is said to the device provisioning service and what its answers mean.
//!
//! Pure. The service is not trusted: every text of its answers is bounded, and an answer is of a known form or is none.
//!
//! Source: Azure IoT Hub Device Provisioning Service, "Communicate with your DPS using the MQTT protocol", and the
//! runtime registration API of version 2019-03-31.

use std::time::Duration;

use hmac::HMAC_SHA256;
use percent_encoding::utf8_percent_encode;
use ring::hmac;
use serde_json::{Value, json};
use wasm_edge_model::connection_string::HostAddress;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_model::percent::RESERVED;
use wasm_edge_model::shared_access::SharedKey;

/// What answers come on.
pub(super) const ANSWERS: &str = "$dps/registrations/res/#";

/// Where they begin.
const ANSWER: &str = "$dps/registrations/res/";

/// The version of the protocol.
const API_VERSION: &str = "2019-03-31";

/// The name in whose name a registration's token is signed.
pub(super) const POLICY: &str = "registration";

/// The longest wait that the service may ask for before the next question; a longer one would only make a device late.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// The wait where it asks for none, as the official SDKs have it.
const RETRY_AFTER: Duration = Duration::from_secs(3);

/// The longest id of an operation; the service's have 55 bytes.
const OPERATION_MAX_BYTES: usize = 256;

/// How much of the service's words is repeated.
const WORDS_MAX_CHARS: usize = 200;

/// Who registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Registrant<'a> {
    pub(super) id_scope: &'a str,
    pub(super) registration_id: &'a str,
}

/// What the service assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::provisioning) struct Assigned {
    pub(in crate::provisioning) hub: HostAddress,
    pub(in crate::provisioning) device: DeviceId,
}

/// What an answer of the service's comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is at work; it is to be asked how far after a while.
    Assigning { operation: String, after: Duration },
    /// It is done.
    Assigned(Assigned),
    /// It cannot now; the same may work after a while.
    Later { after: Duration, cause: String },
    /// It will not.
    Refused { cause: String },
}

impl Registrant<'_> {
    /// The user name to connect with.
    pub(super) fn user_name(&self) -> String {
        let Self {
            id_scope,
            registration_id,
        } = self;
        let version = encode(concat!("wasm-edge/", env!("CARGO_PKG_VERSION")));
        format!(
            "{id_scope}/registrations/{registration_id}/api-version={API_VERSION}&ClientVersion={version}"
        )
    }

    /// What a token is made for.
    pub(super) fn resource(&self) -> String {
        format!("{}/registrations/{}", self.id_scope, self.registration_id)
    }

    /// The body of a request to register.
    pub(super) fn body(&self) -> Vec<u8> {
        json!({ "registrationId": self.registration_id })
            .to_string()
            .into_bytes()
    }
}

/// The key of a registration, by that of its enrolment group: HMAC-SHA256 over the registration's id.
pub(in crate::provisioning) fn key_of_group(group: &SharedKey, registration_id: &str) -> SharedKey {
    let key = hmac::Key::new(HMAC_SHA256, &group.decode());
    let tag = hmac::sign(&key, registration_id.as_bytes());
    SharedKey::from_bytes(tag.as_ref()).expect("32 bytes are a key")
}

/// Where a request to register goes.
pub(super) fn register(request_id: u64) -> String {
    format!("$dps/registrations/PUT/iotdps-register/?$rid={request_id}")
}

/// Where the question goes how far an operation is.
pub(super) fn status(request_id: u64, operation: &str) -> String {
    let operation = encode(operation);
    format!(
        "$dps/registrations/GET/iotdps-get-operationstatus/?$rid={request_id}&operationId={operation}"
    )
}

/// What an answer to the request `request_id` says; nothing if it is none, or that to another.
pub(super) fn answer(topic: &str, body: &[u8], request_id: u64) -> Option<Answer> {
    let (status, query) = topic.strip_prefix(ANSWER)?.split_once("/?")?;
    let status = number(status)?;
    if parameter(query, "$rid").and_then(number) != Some(request_id) {
        return None;
    }
    let after = parameter(query, "retry-after").and_then(number);
    let after = after.map_or(RETRY_AFTER, Duration::from_secs);
    let after = after.clamp(Duration::from_secs(1), RETRY_AFTER_MAX);
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    Some(match status {
        200..=299 => done(&body, after),
        429 | 500..=599 => Answer::Later {
            after,
            cause: fault(status, &body),
        },
        _ => Answer::Refused {
            cause: fault(status, &body),
        },
    })
}

/// What an answer says that is no fault.
fn done(body: &Value, after: Duration) -> Answer {
    let odd = |what: &str| Answer::Later {
        after,
        cause: format!("the service sent {what}"),
    };
    let state = &body["registrationState"];
    match body["status"].as_str() {
        Some("assigning") => match body["operationId"].as_str() {
            Some(operation) if (1..=OPERATION_MAX_BYTES).contains(&operation.len()) => {
                Answer::Assigning {
                    operation: operation.to_owned(),
                    after,
                }
            }
            _ => odd("no id of its operation"),
        },
        Some("assigned") => {
            let hub = state["assignedHub"].as_str().and_then(HostAddress::parse);
            let device = state["deviceId"].as_str().map(DeviceId::new);
            match (hub, device) {
                (Some(hub), Some(Ok(device))) => Answer::Assigned(Assigned { hub, device }),
                _ => odd("an assignment without a hub or a device"),
            }
        }
        Some("failed") => Answer::Refused {
            cause: format!(
                "the registration failed: {}",
                words(&state["errorCode"], &state["errorMessage"])
            ),
        },
        Some("disabled") => Answer::Refused {
            cause: "the enrolment is disabled".to_owned(),
        },
        // An enrolment that was taken back, or waits for an operator.
        Some("unassigned") => Answer::Refused {
            cause: "the registration is not assigned to a hub".to_owned(),
        },
        _ => odd("an answer of an unknown form"),
    }
}

fn fault(status: u64, body: &Value) -> String {
    match (&body["errorCode"], &body["message"]) {
        (Value::Null, Value::Null) => format!("status {status}"),
        (code, message) => words(code, message),
    }
}

/// A code and what it means in the service's words, so far as they can be shown.
fn words(code: &Value, message: &Value) -> String {
    let shown = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let text = format!("{} {}", shown(code), shown(message));
    let text = text.trim().chars().take(WORDS_MAX_CHARS);
    text.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(key, value)| (key == name).then_some(value))
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests;

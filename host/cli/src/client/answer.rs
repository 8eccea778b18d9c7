//! Error answers, in the two forms that a device and a hub give them.
//!
//! The management API answers `{"error", "causes", "hint"}`; IoT Hub's REST interface answers `{"Message"}`, whose
//! text is `ErrorCode:Name;text` or JSON again, with the name in the header `iothub-errorcode`.

use std::fmt;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::Peer;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::escape::harmless;

/// The longest text that is taken over from an answer, in characters.
const TEXT_LENGTH_MAX: usize = 4096;
/// The most causes that are taken over.
const CAUSES_MAX: usize = 16;
/// The code of a direct method that was refused because too many are under way.
const TOO_MANY_CALLS: &str = "DeviceMaximumActiveDirectMethodInvocationsExceeded";

/// What a device or a hub said when it did not do what was asked.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    /// The name of IoT Hub's error code.
    code: Option<String>,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    /// Whether it is in the form of the management API.
    is_explained: bool,
}

/// What to do about credentials that a hub does not take.
const NOT_AUTHORIZED: &str =
    "the connection string's key is not one of the hub's, or its policy lacks the right";

#[derive(Deserialize)]
struct ManagementError {
    error: String,
    #[serde(default)]
    causes: Vec<String>,
    #[serde(default)]
    hint: Option<String>,
}

#[derive(Deserialize)]
struct HubError {
    #[serde(rename = "Message")]
    message: String,
}

impl Refusal {
    /// Understands the body as far as it can; an unreadable one leaves the status.
    pub(crate) fn parse(peer: Peer, status: StatusCode, code: Option<String>, body: &[u8]) -> Self {
        if let Ok(error) = serde_json::from_slice::<ManagementError>(body) {
            return Self {
                status,
                code,
                message: tame(&error.error),
                causes: error
                    .causes
                    .iter()
                    .take(CAUSES_MAX)
                    .map(|cause| tame(cause))
                    .collect(),
                hint: error.hint.as_deref().map(tame),
                is_explained: true,
            };
        }
        let (message, of_hub) = match serde_json::from_slice::<HubError>(body) {
            Ok(error) => (hub_message(&error.message, code.as_deref()), true),
            Err(_) => match &code {
                Some(code) => (code.clone(), true),
                None => ("without an explanation".to_owned(), false),
            },
        };
        // In the process of a device there is a hub too, which has its own form of errors.
        let who = if of_hub {
            "hub".to_owned()
        } else {
            peer.to_string()
        };
        let message = format!("the {who} answered {}: {}", status.as_u16(), tame(&message));
        Self {
            status,
            code,
            message,
            causes: Vec::new(),
            hint: (status == StatusCode::UNAUTHORIZED).then(|| NOT_AUTHORIZED.to_owned()),
            is_explained: false,
        }
    }

    fn exit_status(&self) -> ExitStatus {
        match self.status {
            StatusCode::FORBIDDEN if self.code.as_deref() == Some(TOO_MANY_CALLS) => {
                ExitStatus::TryLater
            }
            // A hub forbids for reasons of its own.
            StatusCode::FORBIDDEN if !self.is_explained => ExitStatus::Failure,
            status => exit_status(status),
        }
    }
}

/// What trying out a deployment ends with by this status: what it says is a manifest.
#[cfg(feature = "compiler")]
pub(crate) fn exit_status_of_deployment(status: StatusCode) -> ExitStatus {
    match exit_status(status) {
        ExitStatus::InvalidInput => ExitStatus::BadConfig,
        status => status,
    }
}

/// What a command ends with by this status of a device.
fn exit_status(status: StatusCode) -> ExitStatus {
    match status {
        StatusCode::NOT_FOUND => ExitStatus::NotFound,
        StatusCode::PRECONDITION_FAILED => ExitStatus::PreconditionFailed,
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => ExitStatus::InvalidInput,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT
        | StatusCode::INSUFFICIENT_STORAGE => ExitStatus::TryLater,
        // What its configuration forbids it.
        StatusCode::FORBIDDEN => ExitStatus::BadConfig,
        _ => ExitStatus::Failure,
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let mut failure = Self::new(refusal.exit_status(), refusal.message);
        let causes = refusal.causes.into_iter().rev();
        if let Some(cause) =
            causes.fold(None, |source, text| Some(Box::new(Cause { text, source })))
        {
            failure = failure.caused_by(cause as Box<dyn std::error::Error + Send + Sync>);
        }
        match refusal.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// A cause that was told by the device; the chain of them prints like one of our own.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Cause {
    text: String,
    #[source]
    source: Option<Box<Cause>>,
}

/// The readable part of IoT Hub's `Message`, with the error's name where there is one.
fn hub_message(message: &str, code: Option<&str>) -> String {
    if let Ok(Value::Object(inner)) = serde_json::from_str(message)
        && let Some(text) = inner.get("message").and_then(Value::as_str)
    {
        return text.to_owned();
    }
    match message
        .strip_prefix("ErrorCode:")
        .and_then(|rest| rest.split_once(';'))
    {
        Some((name, text)) => format!("{} ({})", text.trim(), name.trim()),
        None => match code {
            Some(code) => format!("{message} ({code})"),
            None => message.to_owned(),
        },
    }
}

/// Cuts and disarms a text, so that it can neither flood a terminal nor look like several lines of ours.
fn tame(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(TEXT_LENGTH_MAX) {
        Some((end, _)) => format!("{}…", harmless(&text[..end])),
        None => harmless(text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure;

    fn check(status: u16, code: Option<&str>, body: &str, expected: &str, exit: ExitStatus) {
        let status = StatusCode::from_u16(status).unwrap();
        let failure = Failure::from(Refusal::parse(
            Peer::Device,
            status,
            code.map(str::to_owned),
            body.as_bytes(),
        ));
        let error = anyhow::Error::from(failure);
        assert_eq!(format!("{error:#}"), expected);
        assert_eq!(failure::exit_status(&error), exit);
    }

    #[test]
    fn the_management_api_explains_itself() {
        let body = r#"{"error":"no module `x`","causes":["first","second"],"hint":"look"}"#;
        check(
            404,
            None,
            body,
            "no module `x`: first: second",
            ExitStatus::NotFound,
        );
        let statuses = [
            (500, ExitStatus::Failure),
            (507, ExitStatus::TryLater),
            (403, ExitStatus::BadConfig),
        ];
        for (status, exit) in statuses {
            check(status, None, r#"{"error":"broken"}"#, "broken", exit);
        }
    }

    #[test]
    fn both_forms_of_the_hub_are_understood() {
        let body = r#"{"Message":"ErrorCode:DeviceNotFound;no such device","ExceptionMessage":""}"#;
        let expected = "the hub answered 404: no such device (DeviceNotFound)";
        check(
            404,
            Some("DeviceNotFound"),
            body,
            expected,
            ExitStatus::NotFound,
        );
        let body = r#"{"Message":"{\"errorCode\":412001,\"message\":\"the etag differs\"}"}"#;
        let expected = "the hub answered 412: the etag differs";
        check(
            412,
            Some("PreconditionFailed"),
            body,
            expected,
            ExitStatus::PreconditionFailed,
        );
        let expected = "the hub answered 400: too deep (ArgumentInvalid)";
        check(
            400,
            Some("ArgumentInvalid"),
            r#"{"Message":"too deep"}"#,
            expected,
            ExitStatus::InvalidInput,
        );
    }

    #[test]
    fn an_unreadable_answer_leaves_the_status() {
        let expected = "the device answered 503: without an explanation";
        for body in ["", "<html>", "[]", r#"{"error":5}"#] {
            check(503, None, body, expected, ExitStatus::TryLater);
        }
        check(
            429,
            Some("ThrottlingException"),
            "",
            "the hub answered 429: ThrottlingException",
            ExitStatus::TryLater,
        );
        let refused = "the hub answered 403: DeviceDisabled";
        check(
            403,
            Some("DeviceDisabled"),
            "",
            refused,
            ExitStatus::Failure,
        );
        let too_many = format!("the hub answered 403: {TOO_MANY_CALLS}");
        check(
            403,
            Some(TOO_MANY_CALLS),
            "",
            &too_many,
            ExitStatus::TryLater,
        );
    }

    #[test]
    fn a_hostile_explanation_is_cut_and_disarmed() {
        let body = serde_json::json!({"error": format!("a\x1b[2J\nhint: {}", "x".repeat(10_000))})
            .to_string();
        let refusal = Refusal::parse(Peer::Device, StatusCode::CONFLICT, None, body.as_bytes());
        assert!(refusal.message.starts_with("a\\u{1b}[2J\\nhint: xxx"));
        assert!(refusal.message.ends_with("x…"));
        assert!(refusal.message.len() < TEXT_LENGTH_MAX + 40);
    }
}

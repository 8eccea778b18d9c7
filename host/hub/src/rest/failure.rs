//! Errors as IoT Hub writes them: a status, a header with the code's name, a body with `Message`.
//!
//! Source: Azure IoT Hub, "Understand and resolve errors".

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};
use wasm_edge_model::error::chain;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::time::Timestamp;

use crate::access::throttle::Throttled;
use crate::error::HubError;
use crate::hub::configurations::ConfigurationError;
use crate::hub::queries::QueryFailure;

/// The header that names the error's code.
const ERROR_CODE_HEADER: HeaderName = HeaderName::from_static("iothub-errorcode");

/// An error on its way to the client.
#[derive(Debug)]
pub(super) struct Failure {
    code: Code,
    message: String,
    form: Form,
}

/// What the client is told, beside the answer: for those who expect it in another form.
#[derive(Debug, Clone)]
pub(super) struct Told(pub(super) String);

/// How the body of an error reads.
#[derive(Debug)]
enum Form {
    /// `Message` is a text.
    Classic,
    /// `Message` is a text that holds JSON: that of direct methods, with the time waited in `info`.
    Method { timeout: Option<Duration> },
}

/// IoT Hub's error codes: status, number and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(StatusCode, u32, &'static str);

pub(super) const ARGUMENT_INVALID: Code = Code(StatusCode::BAD_REQUEST, 400_004, "ArgumentInvalid");
const CONFIGURATION: Code = Code(
    StatusCode::BAD_REQUEST,
    400_402,
    "InvalidConfigurationContent",
);
const CONFIGURATION_NOT_FOUND: Code = Code(StatusCode::NOT_FOUND, 404_401, "ConfigurationNotFound");
const CONFIGURATION_EXISTS: Code =
    Code(StatusCode::CONFLICT, 409_401, "ConfigurationAlreadyExists");
const TOO_MANY_CONFIGURATIONS: Code = Code(
    StatusCode::FORBIDDEN,
    403_401,
    "ConfigurationCountLimitExceeded",
);
const SYSTEM_MODULE: Code = Code(
    StatusCode::UNAUTHORIZED,
    401_100,
    "SystemModuleModifyUnauthorizedAccess",
);
const UNAUTHORIZED: Code = Code(
    StatusCode::UNAUTHORIZED,
    401_002,
    "IotHubUnauthorizedAccess",
);
const QUEUE_FULL: Code = Code(
    StatusCode::FORBIDDEN,
    403_004,
    "DeviceMaximumQueueDepthExceeded",
);
const DEVICE_DISABLED: Code = Code(StatusCode::FORBIDDEN, 403_012, "DeviceDisabled");
const TOO_MANY_CALLS: Code = Code(
    StatusCode::FORBIDDEN,
    403_800,
    "DeviceMaximumActiveDirectMethodInvocationsExceeded",
);
const PATH: Code = Code(StatusCode::NOT_FOUND, 404_000, "NotFound");
const CONSUMER_NOT_FOUND: Code = Code(StatusCode::NOT_FOUND, 404_000, "ConsumerNotFound");
const TOO_MANY_CONSUMERS: Code = Code(StatusCode::FORBIDDEN, 403_000, "TooManyConsumers");
const DEVICE_NOT_FOUND: Code = Code(StatusCode::NOT_FOUND, 404_001, "DeviceNotFound");
const MODULE_NOT_FOUND: Code = Code(StatusCode::NOT_FOUND, 404_010, "ModuleNotFound");
const NOT_ONLINE: Code = Code(StatusCode::NOT_FOUND, 404_103, "DeviceNotOnline");
const VERB: Code = Code(StatusCode::METHOD_NOT_ALLOWED, 405_000, "MethodNotAllowed");
const DEVICE_EXISTS: Code = Code(StatusCode::CONFLICT, 409_001, "DeviceAlreadyExists");
const MODULE_EXISTS: Code = Code(StatusCode::CONFLICT, 409_301, "ModuleAlreadyExistsOnDevice");
const PRECONDITION: Code = Code(
    StatusCode::PRECONDITION_FAILED,
    412_001,
    "PreconditionFailed",
);
const MESSAGE_TOO_LARGE: Code = Code(StatusCode::PAYLOAD_TOO_LARGE, 413_001, "MessageTooLarge");
const BODY_TOO_LARGE: Code = Code(
    StatusCode::PAYLOAD_TOO_LARGE,
    413_001,
    "RequestEntityTooLarge",
);
const TOO_MANY_MODULES: Code = Code(
    StatusCode::PAYLOAD_TOO_LARGE,
    413_003,
    "TooManyModulesOnDevice",
);
const THROTTLED: Code = Code(
    StatusCode::TOO_MANY_REQUESTS,
    429_001,
    "ThrottlingException",
);
const SERVER: Code = Code(StatusCode::INTERNAL_SERVER_ERROR, 500_001, "ServerError");
const NOT_IMPLEMENTED: Code = Code(StatusCode::NOT_IMPLEMENTED, 501_000, "NotImplemented");
const UNAVAILABLE: Code = Code(
    StatusCode::SERVICE_UNAVAILABLE,
    503_001,
    "ServiceUnavailable",
);
const TIMEOUT: Code = Code(StatusCode::GATEWAY_TIMEOUT, 504_101, "GatewayTimeout");

impl Failure {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ARGUMENT_INVALID, message)
    }

    pub(super) fn body_too_large(limit_bytes: usize) -> Self {
        Self::new(
            BODY_TOO_LARGE,
            format!("the body has more than {limit_bytes} bytes"),
        )
    }

    fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            form: Form::Classic,
        }
    }

    /// The answer to what IoT Hub has and this hub has not.
    pub(super) fn not_supported(what: &str) -> Self {
        Self::new(NOT_IMPLEMENTED, format!("this hub has no {what}"))
    }

    /// The name of the code.
    pub(super) fn name(&self) -> &'static str {
        self.code.2
    }

    /// What a person reads.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// What everybody hears who may not do what he asks for, whatever the reason.
    pub(super) fn unauthorized() -> Self {
        Self::new(UNAUTHORIZED, "Unauthorized")
    }

    /// The answer to what came too often.
    pub(super) fn throttled(throttled: Throttled) -> Response {
        let seconds = throttled.retry_after.as_secs_f64().ceil().to_string();
        let mut response = Self::new(THROTTLED, throttled.to_string()).into_response();
        let seconds = HeaderValue::from_str(&seconds).expect("digits can be in a header");
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
        response
    }

    /// A failure about a call of a direct method before it is on its way.
    pub(super) fn of_method(err: HubError) -> Self {
        Self {
            form: Form::Method { timeout: None },
            ..Self::from(err)
        }
    }
}

/// What all paths that are not known answer.
pub(super) async fn no_such_path() -> Failure {
    Failure::new(PATH, "there is nothing under this path")
}

/// What all verbs that a path does not know answer.
pub(super) async fn no_such_verb() -> Failure {
    Failure::new(VERB, "this path does not know this method")
}

impl From<HubError> for Failure {
    fn from(err: HubError) -> Self {
        let code = code(&err);
        let message = match code {
            // What a fault of the hub is about stays in its log.
            SERVER => {
                tracing::error!(error = chain(&err), "a request failed");
                "the hub failed; its log says why".to_owned()
            }
            _ => chain(&err),
        };
        let form = match err {
            HubError::NotOnline { waited, .. } => Form::Method {
                timeout: Some(waited),
            },
            HubError::NoAnswer { timeout, .. } => Form::Method {
                timeout: Some(timeout),
            },
            HubError::Unanswered { .. } | HubError::TooManyCalls { .. } => {
                Form::Method { timeout: None }
            }
            _ => Form::Classic,
        };
        Self {
            code,
            message,
            form,
        }
    }
}

fn code(err: &HubError) -> Code {
    let by_owner = |owner: &TwinOwner, device, module| match owner {
        TwinOwner::Device(_) => device,
        TwinOwner::Module(_) => module,
    };
    match err {
        HubError::NotFound { owner } => by_owner(owner, DEVICE_NOT_FOUND, MODULE_NOT_FOUND),
        HubError::AlreadyExists { owner } => by_owner(owner, DEVICE_EXISTS, MODULE_EXISTS),
        HubError::PreconditionFailed { .. } => PRECONDITION,
        HubError::TooManyModules { .. } => TOO_MANY_MODULES,
        HubError::SystemModule { .. } => SYSTEM_MODULE,
        HubError::Disabled { .. } => DEVICE_DISABLED,
        HubError::Identity {
            source: crate::identity::IdentityError::Random,
            ..
        } => SERVER,
        HubError::Identity { .. } | HubError::Twin { .. } | HubError::Invalid { .. } => {
            ARGUMENT_INVALID
        }
        HubError::Query(QueryFailure::TooMany { .. }) => THROTTLED,
        HubError::Query(_) => ARGUMENT_INVALID,
        HubError::InvalidConfiguration { .. } => CONFIGURATION,
        HubError::Configuration(err) => configuration_code(err),
        HubError::NotOnline { .. } => NOT_ONLINE,
        HubError::NoAnswer { .. } | HubError::Unanswered { .. } => TIMEOUT,
        HubError::TooManyCalls { .. } => TOO_MANY_CALLS,
        HubError::NoSuchConsumer { .. } => CONSUMER_NOT_FOUND,
        HubError::TooManyConsumers { .. } => TOO_MANY_CONSUMERS,
        HubError::TooManyCommands { .. } => QUEUE_FULL,
        HubError::CommandTooLarge { .. } => MESSAGE_TOO_LARGE,
        HubError::TooManyReaders { .. } | HubError::Contended { .. } | HubError::Busy => THROTTLED,
        HubError::Record { .. }
        | HubError::Consumer { .. }
        | HubError::Policies { .. }
        | HubError::Store(_)
        | HubError::Telemetry(_)
        | HubError::Folder { .. }
        | HubError::Thread { .. } => SERVER,
        HubError::Closed => UNAVAILABLE,
    }
}

fn configuration_code(err: &ConfigurationError) -> Code {
    match err {
        ConfigurationError::NotFound { .. } => CONFIGURATION_NOT_FOUND,
        ConfigurationError::AlreadyExists { .. } => CONFIGURATION_EXISTS,
        ConfigurationError::PreconditionFailed { .. } => PRECONDITION,
        ConfigurationError::TooMany { .. } => TOO_MANY_CONFIGURATIONS,
        ConfigurationError::Content { .. } => CONFIGURATION,
        ConfigurationError::Id { .. }
        | ConfigurationError::Invalid { .. }
        | ConfigurationError::Target(_)
        | ConfigurationError::Metric { .. } => ARGUMENT_INVALID,
        ConfigurationError::Contended { .. } => THROTTLED,
        ConfigurationError::Damaged { .. } => SERVER,
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Code(status, _, name) = self.code;
        let body = match self.form {
            Form::Method { timeout } => method_body(&self, timeout),
            Form::Classic => json!({
                "Message": format!("ErrorCode:{name};{}", self.message),
                "ExceptionMessage": format!("Tracking ID:{}-TimeStamp:{}", tracking_id(), now()),
            }),
        };
        let mut response = (status, Json(body)).into_response();
        response
            .headers_mut()
            .insert(ERROR_CODE_HEADER, HeaderValue::from_static(name));
        response.extensions_mut().insert(Told(self.message));
        response
    }
}

/// The message of failed methods is a text that holds JSON.
fn method_body(failure: &Failure, timeout: Option<Duration>) -> Value {
    let mut inner = json!({
        "errorCode": failure.code.1,
        "trackingId": tracking_id(),
        "message": failure.message,
        "info": {},
        "timestampUtc": now().to_string(),
    });
    if let Some(timeout) = timeout {
        inner["info"] = json!({ "timeout": clock(timeout.as_secs()) });
    }
    json!({ "Message": inner.to_string(), "ExceptionMessage": "" })
}

/// Seconds as IoT Hub writes them: `00:00:30`.
fn clock(seconds: u64) -> String {
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Lets a person find the request again; without randomness there is none, and no harm.
fn tracking_id() -> String {
    let mut random = [0; 16];
    let _ = SystemRandom::new().fill(&mut random);
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now() -> Timestamp {
    Timestamp::from(jiff::Timestamp::now())
}

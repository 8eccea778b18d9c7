//! Reading requests: ids in the path, `If-Match`, bodies.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};
use wasm_edge_model::json::{self, JsonLimits};

use super::BODY_MAX_BYTES;
use super::failure::Failure;
use crate::hub::IfMatch;

/// Limits of a document: deeper than any twin may be, so that the twin's own rules name what is too deep.
const DOCUMENT_LIMITS: JsonLimits = JsonLimits {
    size_max_bytes: BODY_MAX_BYTES,
    depth_max: 64,
    values_max: 128 * 1024,
};

/// The device or module that the path names.
pub(super) struct Owner(pub(super) TwinOwner);

#[derive(Deserialize)]
struct Ids {
    device: String,
    module: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Owner {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(ids) = Path::<Ids>::from_request_parts(parts, state)
            .await
            .map_err(|err| Failure::invalid(format!("the path cannot be read: {err}")))?;
        let device = DeviceId::new(&ids.device)
            .map_err(|err| Failure::invalid(format!("the path names no device: {err}")))?;
        let Some(module) = ids.module else {
            return Ok(Self(TwinOwner::Device(device)));
        };
        let module = ModuleId::new(&module)
            .map_err(|err| Failure::invalid(format!("the path names no module: {err}")))?;
        Ok(Self(TwinOwner::Module(ModuleIdentity { device, module })))
    }
}

/// The `If-Match` header, if there is one.
pub(super) struct Condition(pub(super) Option<IfMatch>);

impl Condition {
    /// The condition; without a header, none.
    pub(super) fn or_any(self) -> IfMatch {
        self.0.unwrap_or_default()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Condition {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else {
            return Ok(Self(None));
        };
        let text = value
            .to_str()
            .map_err(|_| Failure::invalid("`If-Match` is not text"))?;
        Ok(Self(Some(IfMatch::parse(text))))
    }
}

/// The body of a request, bounded.
pub(super) struct Body(Bytes);

impl Body {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The body as what a JSON object stands for.
    ///
    /// A list of the members' values is refused, which a structure could be read from as well.
    pub(super) fn object<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let read = serde_json::from_slice(&self.0)
            .map_err(|err| Failure::invalid(format!("the body cannot be read: {err}")))?;
        // It is JSON, so its first character tells what it is.
        match self.0.trim_ascii_start().starts_with(b"{") {
            true => Ok(read),
            false => Err(Failure::invalid("the body is no JSON object")),
        }
    }

    pub(super) fn text(&self) -> Result<&str, Failure> {
        std::str::from_utf8(&self.0)
            .map_err(|err| Failure::invalid(format!("the body cannot be read: {err}")))
    }

    /// The body as JSON in which no object has a key twice: which one was meant nobody knows.
    pub(super) fn document(&self) -> Result<Value, Failure> {
        let document = json::read(self.text()?, DOCUMENT_LIMITS)
            .map_err(|err| Failure::invalid(format!("the body cannot be read: {err}")))?;
        match document.repeated_keys.first() {
            Some(repeated) => Err(Failure::invalid(format!(
                "the key `{}` occurs twice",
                repeated.path.as_str().trim_start_matches("$.")
            ))),
            None => Ok(document.root.to_value()),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(err) => Err(rejected(&err)),
        }
    }
}

fn rejected(err: &BytesRejection) -> Failure {
    match err.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Failure::body_too_large(BODY_MAX_BYTES),
        _ => Failure::invalid(format!("the body cannot be read: {err}")),
    }
}

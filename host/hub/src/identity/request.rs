//! What a caller asks an identity to be: read from the service API's JSON, checked, made real.

use serde::Deserialize;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::shared_access::SharedKey;

use super::{
    Authentication, AuthenticationKind, IdentityError, IdentityStatus, NOTE_MAX_BYTES,
    SymmetricKeys, THUMBPRINT_MAX_BYTES, Thumbprints,
};

/// The length of a SHA-1 thumbprint in hexadecimal digits.
const THUMBPRINT_SHORT_BYTES: usize = 40;

/// The body of a request to create or update an identity, as the service SDKs send it.
///
/// Members that the hub alone sets (etag, connection state and so on) are
/// passed over: clients send back what they were given.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IdentityRequest {
    device_id: Option<String>,
    module_id: Option<String>,
    status: Option<IdentityStatus>,
    status_reason: Option<String>,
    managed_by: Option<String>,
    capabilities: Option<CapabilitiesRequest>,
    authentication: Option<AuthenticationRequest>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CapabilitiesRequest {
    iot_edge: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AuthenticationRequest {
    #[serde(rename = "type")]
    kind: Option<AuthenticationKind>,
    symmetric_key: Option<KeysRequest>,
    #[serde(rename = "x509Thumbprint")]
    thumbprints: Option<Thumbprints>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct KeysRequest {
    primary_key: Option<String>,
    secondary_key: Option<String>,
}

/// Not derived, so that keys do not get into logs.
impl std::fmt::Debug for KeysRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeysRequest(..)")
    }
}

/// What an identity shall be; checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdentitySpec {
    /// Whether it may connect.
    pub status: IdentityStatus,
    /// What a person writes about the status.
    pub status_reason: Option<String>,
    /// Whether a device may run modules; nothing for modules.
    pub edge: bool,
    /// Who manages a module.
    pub managed_by: Option<String>,
    /// How it shows who it is.
    pub authentication: KeyRequest,
}

/// How an identity shall show who it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KeyRequest {
    /// As it did; by new keys if it is new.
    #[default]
    Keep,
    /// By new keys.
    Generate,
    /// So.
    Use(Authentication),
}

impl IdentityRequest {
    /// Checks the request for the identity `owner`.
    ///
    /// Keys that are missing or empty are asked to be made.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn check(self, owner: &TwinOwner) -> Result<IdentitySpec, IdentityError> {
        check_id("deviceId", self.device_id, Some(owner.device().as_str()))?;
        check_id(
            "moduleId",
            self.module_id,
            owner.module().map(|module| module.as_str()),
        )?;
        Ok(IdentitySpec {
            status: self.status.unwrap_or_default(),
            status_reason: note("statusReason", self.status_reason)?,
            edge: owner.module().is_none() && self.capabilities.unwrap_or_default().iot_edge,
            managed_by: note("managedBy", self.managed_by)?,
            authentication: match self.authentication {
                None => KeyRequest::Keep,
                Some(authentication) => authentication.check()?,
            },
        })
    }
}

impl AuthenticationRequest {
    fn check(self) -> Result<KeyRequest, IdentityError> {
        let thumbprints = self.thumbprints.unwrap_or_default();
        check_thumbprint("primaryThumbprint", thumbprints.primary.as_deref())?;
        check_thumbprint("secondaryThumbprint", thumbprints.secondary.as_deref())?;
        let kind = match self.kind {
            Some(kind) => kind,
            None if thumbprints.primary.is_some() => AuthenticationKind::SelfSigned,
            None => AuthenticationKind::Sas,
        };
        if kind != AuthenticationKind::Sas {
            return Ok(KeyRequest::Use(Authentication {
                kind,
                symmetric_key: None,
                thumbprints,
            }));
        }
        let keys = self.symmetric_key.unwrap_or_default();
        let given = |key: Option<String>| key.filter(|key| !key.is_empty());
        let symmetric_key = match (given(keys.primary_key), given(keys.secondary_key)) {
            (None, None) => return Ok(KeyRequest::Generate),
            (Some(primary), Some(secondary)) => SymmetricKeys {
                primary: key("primaryKey", &primary)?,
                secondary: key("secondaryKey", &secondary)?,
            },
            (Some(_), None) => {
                return Err(IdentityError::OneKey {
                    missing: "secondaryKey",
                });
            }
            (None, Some(_)) => {
                return Err(IdentityError::OneKey {
                    missing: "primaryKey",
                });
            }
        };
        let symmetric_key = Some(symmetric_key);
        Ok(KeyRequest::Use(Authentication {
            kind,
            symmetric_key,
            thumbprints,
        }))
    }
}

impl KeyRequest {
    /// The authentication to store, given what the identity had.
    ///
    /// # Errors
    /// [`IdentityError::Random`].
    pub(crate) fn resolve(
        self,
        present: Option<&Authentication>,
    ) -> Result<Authentication, IdentityError> {
        match (self, present) {
            (Self::Use(authentication), _) => Ok(authentication),
            (Self::Keep, Some(present)) => Ok(present.clone()),
            (Self::Keep, None) | (Self::Generate, _) => Authentication::generate(),
        }
    }
}

fn check_id(
    name: &'static str,
    found: Option<String>,
    expected: Option<&str>,
) -> Result<(), IdentityError> {
    match found {
        Some(found) if Some(found.as_str()) != expected => Err(IdentityError::OtherId {
            name,
            found,
            expected: expected.unwrap_or_default().to_owned(),
        }),
        _ => Ok(()),
    }
}

fn key(name: &'static str, text: &str) -> Result<SharedKey, IdentityError> {
    SharedKey::new(text).map_err(|_| IdentityError::Key { name })
}

fn note(name: &'static str, text: Option<String>) -> Result<Option<String>, IdentityError> {
    match text {
        Some(text) if text.len() > NOTE_MAX_BYTES => Err(IdentityError::Note { name }),
        text => Ok(text),
    }
}

fn check_thumbprint(name: &'static str, text: Option<&str>) -> Result<(), IdentityError> {
    let is_right = text.is_none_or(|text| {
        matches!(text.len(), THUMBPRINT_SHORT_BYTES | THUMBPRINT_MAX_BYTES)
            && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    if is_right {
        Ok(())
    } else {
        Err(IdentityError::Thumbprint { name })
    }
}

//! What a caller asks an identity to be: read from the service API's JSON, checked, made real.

use serde::{Deserialize, Deserializer};
use wasm_edge_model::identity::{DeviceId, TwinOwner};
use wasm_edge_model::shared_access::SharedKey;

use super::{
    Authentication, AuthenticationKind, Identity, IdentityError, IdentityStatus, NOTE_MAX_BYTES,
    SCOPE_PREFIX, SymmetricKeys, THUMBPRINT_MAX_BYTES, Thumbprints,
};

/// The length of a SHA-1 thumbprint in hexadecimal digits.
const THUMBPRINT_SHORT_BYTES: usize = 40;

/// The body of a request to create or update an identity, as the service SDKs send it.
///
/// What it leaves out is as it was, or as it is by default at a new identity.
/// Members that the hub alone sets (etag, connection state and so on) are
/// passed over: clients send back what they were given.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IdentityRequest {
    device_id: Option<String>,
    module_id: Option<String>,
    status: Option<IdentityStatus>,
    #[serde(deserialize_with = "given")]
    status_reason: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    managed_by: Option<Option<String>>,
    capabilities: Option<CapabilitiesRequest>,
    #[serde(deserialize_with = "given")]
    device_scope: Option<Option<String>>,
    parent_scopes: Option<Vec<String>>,
    authentication: Option<AuthenticationRequest>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CapabilitiesRequest {
    iot_edge: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AuthenticationRequest {
    #[serde(rename = "type")]
    kind: Option<AuthenticationKind>,
    symmetric_key: Option<KeysRequest>,
    #[serde(rename = "x509Thumbprint")]
    thumbprints: Option<Thumbprints>,
}

#[derive(Clone, Default, Deserialize)]
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
    /// The scope of the device behind which a device is to be.
    pub parent: Option<String>,
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
    /// Checks the request for the new identity `owner`.
    ///
    /// Keys that are missing or empty are asked to be made.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn check(&self, owner: &TwinOwner) -> Result<IdentitySpec, IdentityError> {
        self.over(owner, IdentitySpec::default())
    }

    /// Checks the request for a change of `present`: what it leaves out stays as it is, and null
    /// takes a text away.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub(crate) fn check_update(&self, present: &Identity) -> Result<IdentitySpec, IdentityError> {
        let spec = IdentitySpec {
            status: present.status,
            status_reason: present.status_reason.clone(),
            edge: present.edge,
            managed_by: present.managed_by.clone(),
            parent: present.parent.clone(),
            authentication: KeyRequest::Keep,
        };
        self.over(&present.owner, spec)
    }

    /// The scope of the device behind which the device is to be, given the present one.
    ///
    /// A device that runs modules has a scope of its own as `deviceScope`, and its parent in
    /// `parentScopes` alone; other devices have that of their parent in both.
    fn parent(&self, owner: &TwinOwner, edge: bool, present: Option<String>) -> Option<String> {
        let device_scope = self.device_scope.as_ref().filter(|_| !edge);
        let is_named = device_scope.is_some() || self.parent_scopes.is_some();
        let named = device_scope.cloned().flatten();
        let first = || self.parent_scopes.as_ref()?.first().cloned();
        let parent = if is_named {
            named.filter(|scope| !scope.is_empty()).or_else(first)
        } else {
            present
        };
        // Its own scope is what a device that ran modules had before.
        let is_own = |scope: &String| scope_of(scope).is_some_and(|(id, _)| id == *owner.device());
        parent.filter(|scope| !scope.is_empty() && !is_own(scope) && owner.module().is_none())
    }

    /// What `spec` becomes by what the request says.
    fn over(&self, owner: &TwinOwner, spec: IdentitySpec) -> Result<IdentitySpec, IdentityError> {
        check_id(
            "deviceId",
            self.device_id.as_deref(),
            Some(owner.device().as_str()),
        )?;
        check_id(
            "moduleId",
            self.module_id.as_deref(),
            owner.module().map(|module| module.as_str()),
        )?;
        let edge = self.capabilities.as_ref().and_then(|all| all.iot_edge);
        let edge = owner.module().is_none() && edge.unwrap_or(spec.edge);
        Ok(IdentitySpec {
            status: self.status.unwrap_or(spec.status),
            status_reason: note("statusReason", &self.status_reason, spec.status_reason)?,
            edge,
            parent: self.parent(owner, edge, spec.parent),
            managed_by: note("managedBy", &self.managed_by, spec.managed_by)?,
            authentication: match &self.authentication {
                None => spec.authentication,
                Some(authentication) => authentication.clone().check()?,
            },
        })
    }
}

impl AuthenticationRequest {
    fn check(self) -> Result<KeyRequest, IdentityError> {
        // The SDKs send an empty text for what was not given.
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let thumbprints = self.thumbprints.unwrap_or_default();
        let thumbprints = Thumbprints {
            primary: given(thumbprints.primary),
            secondary: given(thumbprints.secondary),
        };
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

/// The id and generation of the device that has this scope.
pub(crate) fn scope_of(scope: &str) -> Option<(DeviceId, &str)> {
    let (device, generation_id) = scope.strip_prefix(SCOPE_PREFIX)?.rsplit_once('-')?;
    Some((DeviceId::new(device).ok()?, generation_id))
}

/// A member that is there, be it null: unlike one that is left out.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn check_id(
    name: &'static str,
    found: Option<&str>,
    expected: Option<&str>,
) -> Result<(), IdentityError> {
    match found {
        Some(found) if Some(found) != expected => Err(IdentityError::OtherId {
            name,
            found: found.to_owned(),
            expected: expected.unwrap_or_default().to_owned(),
        }),
        _ => Ok(()),
    }
}

fn key(name: &'static str, text: &str) -> Result<SharedKey, IdentityError> {
    SharedKey::new(text).map_err(|_| IdentityError::Key { name })
}

/// The text that is given, or else the present one.
fn note(
    name: &'static str,
    given: &Option<Option<String>>,
    present: Option<String>,
) -> Result<Option<String>, IdentityError> {
    let Some(text) = given else {
        return Ok(present);
    };
    match text {
        Some(text) if text.len() > NOTE_MAX_BYTES => Err(IdentityError::Note { name }),
        text => Ok(text.clone()),
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

//! Identities of devices and modules: keys, generation, status, and their JSON.
//!
//! Owns what the identity registry knows about one device or module and how
//! the service API shows it and asks for it. Leaves storing to the registry
//! and checking of credentials to the faces of the hub.
//!
//! Source: Azure IoT Hub, REST reference of devices and modules.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::shared_access::{KEY_MAX_BYTES, KEY_MIN_BYTES, SharedKey};
use wasm_edge_model::time::Timestamp;

mod request;

pub(crate) use request::scope_of;
pub use request::{IdentityRequest, IdentitySpec, KeyRequest};

/// Length of a key that the hub makes.
pub const KEY_BYTES: usize = 32;

/// Longest text that a person writes into an identity: the reason of its status, who manages it.
pub const NOTE_MAX_BYTES: usize = 128;

/// Longest certificate thumbprint: SHA-256 in hexadecimal digits.
pub const THUMBPRINT_MAX_BYTES: usize = 64;

/// What the scope of a device begins with; its id, `-` and its generation id follow.
pub const SCOPE_PREFIX: &str = "ms-azure-iot-edge://";

/// Why an identity cannot be as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// A key is not base64 of a fitting length.
    #[error("`{name}` is not base64 of {KEY_MIN_BYTES} to {KEY_MAX_BYTES} bytes")]
    Key {
        /// The key's name in the request.
        name: &'static str,
    },
    /// One key is given and the other is not.
    #[error("`{missing}` is missing: give both keys, or none to have them made")]
    OneKey {
        /// The missing one's name in the request.
        missing: &'static str,
    },
    /// A thumbprint is not one.
    #[error("`{name}` is not a thumbprint of 40 or {THUMBPRINT_MAX_BYTES} hexadecimal digits")]
    Thumbprint {
        /// Its name in the request.
        name: &'static str,
    },
    /// A device is to be behind one that is not there, or that runs no modules.
    #[error("there is no device that runs modules with the scope `{}`", .scope.escape_debug())]
    Parent {
        /// The scope as it was given, cut to a readable length.
        scope: String,
    },
    /// A text is too long.
    #[error("`{name}` has more than {NOTE_MAX_BYTES} bytes")]
    Note {
        /// Its name in the request.
        name: &'static str,
    },
    /// The request names another identity than its path.
    #[error("`{name}` is `{found}`, the path says `{expected}`")]
    OtherId {
        /// Its name in the request.
        name: &'static str,
        /// What the request says.
        found: String,
        /// What the path says.
        expected: String,
    },
    /// The system gave no random bytes.
    #[error("the system has no random numbers for a key")]
    Random,
}

/// What the registry knows about a device or module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Which device or module.
    pub owner: TwinOwner,
    /// Differs from that of any earlier identity of the same id.
    pub generation_id: String,
    /// Counts the changes of the identity; shown as [`Identity::etag`].
    pub etag_counter: u64,
    /// Whether it may connect. Modules follow their device.
    pub status: IdentityStatus,
    /// What a person wrote about the status.
    pub status_reason: Option<String>,
    /// When the status changed last.
    pub status_updated: Timestamp,
    /// How it shows who it is.
    pub authentication: Authentication,
    /// Whether a device may run modules of IoT Edge. Modules: `false`.
    pub edge: bool,
    /// Who manages a module, free text.
    pub managed_by: Option<String>,
    /// The scope of the device behind which a device is, if it is behind one.
    pub parent: Option<String>,
}

/// Whether a device may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IdentityStatus {
    /// It may.
    #[default]
    Enabled,
    /// It may not, and neither may its modules.
    Disabled,
}

/// How an identity shows who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authentication {
    /// In which way.
    #[serde(rename = "type")]
    pub kind: AuthenticationKind,
    /// Its keys, when it is by [`AuthenticationKind::Sas`].
    pub symmetric_key: Option<SymmetricKeys>,
    /// The certificates, when it is by [`AuthenticationKind::SelfSigned`].
    #[serde(rename = "x509Thumbprint")]
    pub thumbprints: Thumbprints,
}

/// The way in which an identity shows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuthenticationKind {
    /// By tokens signed with a shared key.
    #[default]
    Sas,
    /// By a certificate with a known thumbprint.
    SelfSigned,
    /// By a certificate of a known authority.
    CertificateAuthority,
    /// Not at all: it cannot connect.
    None,
}

/// The two keys of an identity; either is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymmetricKeys {
    /// The first.
    #[serde(rename = "primaryKey")]
    pub primary: SharedKey,
    /// The second, so that keys can be changed one at a time.
    #[serde(rename = "secondaryKey")]
    pub secondary: SharedKey,
}

impl SymmetricKeys {
    /// Two new random keys.
    ///
    /// # Errors
    /// [`IdentityError::Random`].
    pub fn generate() -> Result<Self, IdentityError> {
        Ok(Self {
            primary: new_key()?,
            secondary: new_key()?,
        })
    }

    /// Whether `key` is one of the two.
    pub(crate) fn contains(&self, key: &SharedKey) -> bool {
        self.primary == *key || self.secondary == *key
    }
}

fn new_key() -> Result<SharedKey, IdentityError> {
    let mut key = [0; KEY_BYTES];
    SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| IdentityError::Random)?;
    Ok(SharedKey::from_bytes(&key).expect("a key of this length is one"))
}

/// Thumbprints of the two certificates of a self-signed identity.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thumbprints {
    /// The first.
    #[serde(rename = "primaryThumbprint")]
    pub primary: Option<String>,
    /// The second.
    #[serde(rename = "secondaryThumbprint")]
    pub secondary: Option<String>,
}

/// What is known of an identity beside its own document: its connection, and what waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionView {
    /// Whether it has a session now.
    pub connected: bool,
    /// When that changed last, since the hub was started.
    pub updated: Timestamp,
    /// When it was heard of last, since the hub was started.
    pub last_activity: Timestamp,
    /// How many messages wait for it; none for a module.
    pub commands: usize,
}

impl ConnectionView {
    /// Nothing was heard of it.
    pub const NEVER: Self = Self {
        connected: false,
        updated: Timestamp::UNSET,
        last_activity: Timestamp::UNSET,
        commands: 0,
    };

    /// `Connected` or `Disconnected`.
    pub fn state(self) -> &'static str {
        if self.connected {
            "Connected"
        } else {
            "Disconnected"
        }
    }
}

impl Identity {
    /// The etag: base64 of the counter's decimal digits.
    pub fn etag(&self) -> String {
        BASE64.encode(self.etag_counter.to_string())
    }

    /// The scope of a device: its own if it runs modules, where its modules and children belong,
    /// else that of the device that it is behind, if any.
    pub fn device_scope(&self) -> Option<String> {
        if !self.edge {
            return self.parent.clone();
        }
        let device = self.owner.device();
        Some(format!("{SCOPE_PREFIX}{device}-{}", self.generation_id))
    }

    /// The scopes of the devices behind which a device is: one at most.
    pub fn parent_scopes(&self) -> &[String] {
        self.parent.as_slice()
    }

    /// The identity as the service API shows it, keys included.
    pub fn to_json(&self, connection: ConnectionView) -> Value {
        let mut json = json!({
            "deviceId": self.owner.device(),
            "generationId": self.generation_id,
            "etag": self.etag(),
            "connectionState": connection.state(),
            "connectionStateUpdatedTime": connection.updated,
            "lastActivityTime": connection.last_activity,
            "cloudToDeviceMessageCount": connection.commands,
            "authentication": self.authentication.to_json(),
        });
        match self.owner.module() {
            Some(module) => {
                json["moduleId"] = json!(module);
                json["managedBy"] = json!(self.managed_by);
            }
            None => {
                json["status"] = json!(self.status);
                json["statusReason"] = json!(self.status_reason);
                json["statusUpdatedTime"] = json!(self.status_updated);
                json["capabilities"] = json!({ "iotEdge": self.edge });
                json["parentScopes"] = json!(self.parent_scopes());
                if let Some(scope) = self.device_scope() {
                    json["deviceScope"] = json!(scope);
                }
            }
        }
        json
    }

    /// Whether the identity stands for the module `$edgeAgent` or `$edgeHub`.
    pub fn is_system_module(&self) -> bool {
        self.owner.module().is_some_and(|module| module.is_system())
    }
}

impl Authentication {
    /// By two new random keys.
    ///
    /// # Errors
    /// [`IdentityError::Random`].
    pub fn generate() -> Result<Self, IdentityError> {
        Ok(Self {
            kind: AuthenticationKind::Sas,
            symmetric_key: Some(SymmetricKeys::generate()?),
            thumbprints: Thumbprints::default(),
        })
    }

    fn to_json(&self) -> Value {
        let keys = self.symmetric_key.as_ref();
        json!({
            "symmetricKey": {
                "primaryKey": keys.map(|keys| keys.primary.as_base64()),
                "secondaryKey": keys.map(|keys| keys.secondary.as_base64()),
            },
            "x509Thumbprint": self.thumbprints,
            "type": self.kind,
        })
    }
}

/// A generation id: the time in ticks of 100 ns since the year 1, as IoT Hub writes it, with its
/// last digits random, so that two in the same instant differ.
pub(crate) fn new_generation_id(now: Timestamp) -> Result<String, IdentityError> {
    const TICKS_PER_MILLISECOND: i64 = 10_000;
    let mut random = [0; 4];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| IdentityError::Random)?;
    let since_year_1 = now.unix_millis() - Timestamp::UNSET.unix_millis();
    let random = i64::from(u32::from_be_bytes(random)) % TICKS_PER_MILLISECOND;
    Ok((since_year_1 * TICKS_PER_MILLISECOND + random).to_string())
}

#[cfg(test)]
mod tests;

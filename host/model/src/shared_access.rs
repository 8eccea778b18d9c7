//! Shared access signatures: how somebody who holds a key shows it without sending it.
//!
//! Owns keys and tokens: reading a token strictly, checking its signature in
//! constant time, making one. Leaves to others whose key it is, what the
//! token may be used for and whether it has expired: the hub decides that,
//! with the time in hand. The hub reads tokens; whoever talks to a hub makes
//! them.
//!
//! Source: Azure IoT Hub, "Control access to IoT Hub with shared access
//! signatures".

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use ring::hmac;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::percent::RESERVED;
use crate::time::Timestamp;

pub mod resource;

use resource::Resource;

/// Shortest key.
pub const KEY_MIN_BYTES: usize = 16;

/// Longest key.
pub const KEY_MAX_BYTES: usize = 64;

/// Longest token: a host name and two ids of the greatest length with every character encoded, twice over.
pub const TOKEN_MAX_BYTES: usize = 4096;

/// The word that a token begins with; it is also the scheme of its `Authorization` header.
pub const SCHEME: &str = "SharedAccessSignature";

/// Most digits of an expiry: more than any time needs.
const EXPIRY_MAX_DIGITS: usize = 15;

/// Length of a signature: that of HMAC-SHA256.
const SIGNATURE_BYTES: usize = 32;

/// A key that a hub shares with a device, a module or a service: base64 of 16 to 64 bytes.
///
/// Its text is unique: no other text means the same bytes. It is not shown by
/// `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SharedKey(String);

/// A text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a key is base64 of {KEY_MIN_BYTES} to {KEY_MAX_BYTES} bytes")]
pub struct SharedKeyError;

impl SharedKey {
    /// Checks a text and makes it a key.
    ///
    /// # Errors
    /// [`SharedKeyError`].
    pub fn new(text: &str) -> Result<Self, SharedKeyError> {
        match BASE64.decode(text) {
            Ok(key) if (KEY_MIN_BYTES..=KEY_MAX_BYTES).contains(&key.len()) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(SharedKeyError),
        }
    }

    /// The key of these bytes.
    ///
    /// # Errors
    /// [`SharedKeyError`] when they are too few or too many.
    pub fn from_bytes(key: &[u8]) -> Result<Self, SharedKeyError> {
        Self::new(&BASE64.encode(key))
    }

    /// The key as it is written in connection strings.
    pub fn as_base64(&self) -> &str {
        &self.0
    }

    /// The key itself, to sign with.
    pub fn decode(&self) -> Vec<u8> {
        BASE64
            .decode(&self.0)
            .expect("the constructors let only base64 through")
    }

    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.decode())
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(..)")
    }
}

impl<'de> Deserialize<'de> for SharedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It is too long.
    #[error("the token has more than {TOKEN_MAX_BYTES} bytes")]
    TooLong,
    /// It does not begin with [`SCHEME`] and a space.
    #[error("the token does not begin with `{SCHEME}`")]
    Scheme,
    /// A part is not of the form `name=value`.
    #[error("a part of the token has no `=`")]
    Form,
    /// A field is missing.
    #[error("the token has no `{name}`")]
    Missing {
        /// The field.
        name: &'static str,
    },
    /// A field stands there twice.
    #[error("the token has `{name}` twice")]
    Repeated {
        /// The field.
        name: &'static str,
    },
    /// A field cannot be decoded.
    #[error("`{name}` of the token is not {expected}")]
    Field {
        /// The field.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

/// A token as it was received: what it is for, until when, and a signature over both.
///
/// That a token could be read says nothing about who made it: ask
/// [`SharedAccessSignature::is_signed_with`].
#[derive(Clone, PartialEq, Eq)]
pub struct SharedAccessSignature<'a> {
    signed_resource: &'a str,
    signed_expiry: &'a str,
    resource: Resource,
    expiry_seconds: u64,
    signature: [u8; SIGNATURE_BYTES],
    policy: Option<String>,
}

impl<'a> SharedAccessSignature<'a> {
    /// Reads `SharedAccessSignature sr={resource}&sig={signature}&se={expiry}[&skn={policy}]`.
    ///
    /// The fields may come in any order, each once; others are passed over,
    /// for nothing depends on them. Percent-encoding has to be whole, and a
    /// plus sign is a plus sign.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > TOKEN_MAX_BYTES {
            return Err(TokenError::TooLong);
        }
        let fields = match text.split_once(' ') {
            Some((SCHEME, fields)) => Fields::parse(fields)?,
            _ => return Err(TokenError::Scheme),
        };
        let signed_resource = fields.resource.ok_or(missing("sr"))?;
        let signed_expiry = fields.expiry.ok_or(missing("se"))?;
        Ok(Self {
            signed_resource,
            signed_expiry,
            resource: Resource::parse(signed_resource)?,
            expiry_seconds: expiry(signed_expiry)?,
            signature: signature(fields.signature.ok_or(missing("sig"))?)?,
            policy: policy(fields.policy.unwrap_or_default())?,
        })
    }

    /// What the token is for.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The resource as it stands in the token, over which it was signed.
    pub fn signed_resource(&self) -> &str {
        self.signed_resource
    }

    /// When the token expires; a time that is out of range is the nearest in range.
    pub fn expires_at(&self) -> Timestamp {
        let millis = self.expiry_seconds.saturating_mul(1000);
        Timestamp::from_unix_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    /// The shared access policy whose key signed the token, if it names one.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// Whether the token was signed with `key`; takes as long for any signature.
    ///
    /// What is signed is the resource as it stands in the token: clients
    /// differ in how they encode it.
    pub fn is_signed_with(&self, key: &SharedKey) -> bool {
        let signed = to_sign(self.signed_resource, self.signed_expiry);
        hmac::verify(&key.hmac(), signed.as_bytes(), &self.signature).is_ok()
    }
}

/// Not derived, so that signatures do not get into logs.
impl fmt::Debug for SharedAccessSignature<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedAccessSignature")
            .field("resource", &self.signed_resource)
            .field("expiry_seconds", &self.expiry_seconds)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Makes a token: for `resource` as it is, not encoded, such as `hub.example/devices/d1`; until
/// `expires_at`, in whole seconds; in the name of a shared access policy, if its key signs.
pub fn sign(
    key: &SharedKey,
    resource: &str,
    expires_at: Timestamp,
    policy: Option<&str>,
) -> String {
    let resource = encode(resource);
    let expiry = expires_at.unix_millis().div_euclid(1000).max(0).to_string();
    let signature = hmac::sign(&key.hmac(), to_sign(&resource, &expiry).as_bytes());
    let signature = encode(&BASE64.encode(signature));
    let mut token = format!("{SCHEME} sr={resource}&sig={signature}&se={expiry}");
    if let Some(policy) = policy {
        token.push_str("&skn=");
        token.push_str(&encode(policy));
    }
    token
}

fn to_sign(resource: &str, expiry: &str) -> String {
    format!("{resource}\n{expiry}")
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The fields of a token as they stand there.
#[derive(Default)]
struct Fields<'a> {
    resource: Option<&'a str>,
    signature: Option<&'a str>,
    expiry: Option<&'a str>,
    policy: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Result<Self, TokenError> {
        let mut fields = Self::default();
        for part in text.split('&') {
            let (name, value) = part.split_once('=').ok_or(TokenError::Form)?;
            let (name, slot) = match name {
                "sr" => ("sr", &mut fields.resource),
                "sig" => ("sig", &mut fields.signature),
                "se" => ("se", &mut fields.expiry),
                "skn" => ("skn", &mut fields.policy),
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(TokenError::Repeated { name });
            }
        }
        Ok(fields)
    }
}

fn missing(name: &'static str) -> TokenError {
    TokenError::Missing { name }
}

fn expiry(text: &str) -> Result<u64, TokenError> {
    let is_number = text.len() <= EXPIRY_MAX_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok()).flatten();
    number.ok_or(TokenError::Field {
        name: "se",
        expected: "a number of seconds since 1970",
    })
}

fn signature(text: &str) -> Result<[u8; SIGNATURE_BYTES], TokenError> {
    let bytes = percent_decode(text).and_then(|text| BASE64.decode(text).ok());
    let signature = bytes.and_then(|bytes| bytes.try_into().ok());
    signature.ok_or(TokenError::Field {
        name: "sig",
        expected: "base64 of 32 bytes",
    })
}

/// An empty name is none: some clients always send the field.
fn policy(text: &str) -> Result<Option<String>, TokenError> {
    let name = percent_decode(text).ok_or(TokenError::Field {
        name: "skn",
        expected: "percent-encoded text",
    })?;
    Ok(Some(name).filter(|name| !name.is_empty()))
}

/// Decodes what is encoded as a whole: each `%` has its two digits, and what comes out is text.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || bytes.next().is_some_and(|b| b.is_ascii_hexdigit());
        if byte == b'%' && !(digit() && digit()) {
            return None;
        }
    }
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests;

//! Who this module is, and what its keys can do.
//!
//! Keys stay in the host: a module can use them, never read them.

use crate::bindings::identity as raw;

/// The device's id, such as `Hannover01`.
pub fn device_id() -> String {
    raw::device_id()
}

/// The module's id on that device, such as `insight`.
pub fn module_id() -> String {
    raw::module_id()
}

/// The host name of the hub that holds this identity; `localhost` for the hub inside `wasm-edge run`.
pub fn hub_host_name() -> String {
    raw::hub_host_name()
}

/// Text that changes when the identity is deleted and created again under the same name.
pub fn generation_id() -> String {
    raw::generation_id()
}

/// Signs at most 64 KiB with the identity's primary key: HMAC-SHA256, 32 bytes.
///
/// # Errors
/// [`CryptoError::TooLarge`], [`CryptoError::Other`].
pub fn sign(data: &[u8]) -> Result<Vec<u8>, CryptoError> {
    raw::sign(data).map_err(CryptoError::from)
}

/// Encrypts and authenticates at most 64 KiB for this identity on this device: AES-256-GCM. The result is 29 bytes longer.
///
/// # Errors
/// [`CryptoError::TooLarge`], [`CryptoError::Other`].
pub fn encrypt(plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
    raw::encrypt(plaintext).map_err(CryptoError::from)
}

/// Gives back what [`encrypt`] was given.
///
/// # Errors
/// [`CryptoError::InvalidCiphertext`] for what was changed since or comes from elsewhere, [`CryptoError::TooLarge`], [`CryptoError::Other`].
pub fn decrypt(ciphertext: &[u8]) -> Result<Vec<u8>, CryptoError> {
    raw::decrypt(ciphertext).map_err(CryptoError::from)
}

/// Why a use of a key failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    /// The input is longer than the function takes.
    #[error("input is too large")]
    TooLarge,
    /// The input was not made by [`encrypt`] of this identity, or was changed since.
    #[error("ciphertext is not of this identity, or was changed")]
    InvalidCiphertext,
    /// Keys cannot be used now.
    #[error("keys cannot be used: {0}")]
    Other(String),
}

impl From<raw::CryptoError> for CryptoError {
    fn from(error: raw::CryptoError) -> Self {
        match error {
            raw::CryptoError::TooLarge => Self::TooLarge,
            raw::CryptoError::InvalidCiphertext => Self::InvalidCiphertext,
            raw::CryptoError::Other(text) => Self::Other(text),
        }
    }
}

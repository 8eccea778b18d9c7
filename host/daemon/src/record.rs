//! Why the bytes of a record in the device's database cannot be used.
//!
//! Leaves the forms, their versions and what to do about it to those who keep something there: twins, changes made on
//! the device, identities of a device without a hub.

/// The stored bytes are no record in a known form.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// They were cut off, or written by something else.
    #[error("it is not the JSON that was written: {0}")]
    Json(#[from] serde_json::Error),
    /// They are of another time.
    #[error("it has version {found}, and {known} is the newest that is known")]
    Version {
        /// What they have.
        found: u32,
        /// What is read.
        known: u32,
    },
    /// They are damaged, or another device's.
    #[error("it was not sealed by this device, or is damaged")]
    Sealed,
}

impl RecordError {
    /// Whether a record of version `found` can be read where `known` is the only one.
    ///
    /// # Errors
    /// [`RecordError::Version`].
    pub(crate) fn check_version(found: u32, known: u32) -> Result<(), Self> {
        match found == known {
            true => Ok(()),
            false => Err(Self::Version { found, known }),
        }
    }
}

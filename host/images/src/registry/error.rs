//! Why a registry gave no image, or took none.

use thiserror::Error;

/// Why a registry gave no image, or took none. None shows a password or a token.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The device's policy does not name the registry.
    #[error("the policy of this device does not allow the registry `{host}`")]
    NotAllowed {
        /// The registry.
        host: String,
    },
}

impl RegistryError {
    /// Whether it may end differently another time: the registry is out of reach, or cannot answer now.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NotAllowed { .. } => false,
        }
    }

    /// What to do about it: a sentence without a final period.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotAllowed { .. } => {
                "add it to `registries` of `[policy]` in the configuration, or use an image of a registry that is there"
            }
        }
    }
}

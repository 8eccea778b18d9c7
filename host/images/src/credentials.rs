//! How to sign in to a registry, and where that is said.
//!
//! Pure. Owns the order of the sources and reading Docker's `config.json`. No password is in an error or in debug
//! output. Leaves reading files to the callers, and sending passwords to [`crate::registry`].

mod docker;

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use wasm_edge_model::manifest::RegistryCredential;
use zeroize::Zeroizing;

pub use self::docker::{
    DOCKER_CONFIG_BYTES_MAX, DockerConfig, DockerConfigError, EntryFault, NoLogin,
};

use crate::reference::RegistryHost;

/// As whom a registry is asked.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// As nobody.
    #[default]
    Anonymous,
    /// As a user with a password, or with what a registry gave in place of one.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Zeroizing<String>,
        /// Where they stand.
        source: LoginSource,
    },
}

/// Where a login stands, so that whoever has to correct it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginSource {
    /// In the deployment's `registryCredentials`.
    Deployment,
    /// In `[registries]` of the configuration.
    Configuration,
    /// In `[registries]` of the configuration, the password in a file.
    PasswordFile(PathBuf),
    /// In a `config.json` of Docker's.
    DockerConfig(PathBuf),
    /// In what the management API was asked.
    Request,
}

impl Credentials {
    /// As a user with a password, which stand there.
    pub fn basic(
        username: impl Into<String>,
        password: impl Into<String>,
        source: LoginSource,
    ) -> Self {
        Self::Basic {
            username: username.into(),
            password: Zeroizing::new(password.into()),
            source,
        }
    }

    /// Those that a deployment's `registryCredentials` have for a registry: the first whose address is its host.
    pub fn of_manifest(entries: &[RegistryCredential], host: &RegistryHost) -> Self {
        let is_for = |entry: &&RegistryCredential| {
            docker::host_of(&entry.address).is_some_and(|address| address == *host)
        };
        match entries.iter().find(is_for) {
            Some(entry) => Self::basic(&entry.username, &entry.password, LoginSource::Deployment),
            None => Self::Anonymous,
        }
    }

    /// Whether nobody is named.
    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }

    /// These, or others where they name nobody.
    #[must_use]
    pub fn or(self, others: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Anonymous => others(),
            named => named,
        }
    }

    /// The value of a header `Authorization` (RFC 7617).
    pub(crate) fn header(&self) -> Option<Zeroizing<String>> {
        let Self::Basic {
            username, password, ..
        } = self
        else {
            return None;
        };
        let plain = Zeroizing::new(format!("{username}:{}", password.as_str()));
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(plain.as_bytes()));
        Some(Zeroizing::new(format!("Basic {}", encoded.as_str())))
    }
}

/// Without the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic {
                username, source, ..
            } => f
                .debug_struct("Basic")
                .field("username", username)
                .field("source", source)
                .finish_non_exhaustive(),
        }
    }
}

/// As a person is told.
impl fmt::Display for LoginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployment => f.write_str("`registryCredentials` of the deployment"),
            Self::Configuration => f.write_str("`[registries.\"HOST\"]` of the configuration"),
            Self::PasswordFile(path) => write!(
                f,
                "`[registries.\"HOST\"]` of the configuration and its password file `{}`",
                path.display()
            ),
            Self::DockerConfig(path) => write!(f, "Docker's `{}`", path.display()),
            Self::Request => f.write_str("what this device was asked with"),
        }
    }
}

#[cfg(test)]
mod tests;

//! Docker's `config.json`: what `docker login`, `podman login`, `oras login` and `skopeo login` leave behind.
//!
//! Passwords that stand in it are used. Programs that it names to ask for passwords are not run: a daemon on a board
//! has none, and starting programs that a file names is nothing that pulling an image should do. An entry that is
//! malformed matters to its own registry alone: several tools write the file, and each registry is a matter of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Credentials, LoginSource};
use crate::reference::{Reference, RegistryHost};

/// The largest file that is read: thousands of registries.
pub const DOCKER_CONFIG_BYTES_MAX: usize = 1024 * 1024;

/// The user name that goes with a token in place of a password.
const TOKEN_USER: &str = "<token>";

/// How much of a key is shown, in characters.
const KEY_SHOWN_MAX: usize = 80;

/// What of Docker's `config.json` says how to sign in.
#[derive(Debug, Clone, Default)]
pub struct DockerConfig {
    path: PathBuf,
    /// By host, and by host and the first parts of a repository.
    entries: BTreeMap<String, Entry>,
    /// The program for a host.
    helpers: BTreeMap<String, Result<String, EntryFault>>,
    /// The program for all others.
    store: Option<String>,
}

/// A text is no [`DockerConfig`]. It says where and never what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DockerConfigError {
    /// It is too long.
    #[error("it has more than {DOCKER_CONFIG_BYTES_MAX} bytes")]
    TooLarge,
    /// It is not JSON of this form.
    #[error("it is not the JSON of a `config.json`, see line {line}, column {column}")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
    },
}

/// What is wrong with an entry. It says which and never what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// An `auth` is malformed.
    #[error("`auth` of `{}` is not `user:password` in Base64", .key.escape_debug())]
    Auth {
        /// The key of the entry, its first 80 characters.
        key: String,
    },
    /// It is of another form.
    #[error("the entry `{}` is not of the form that `docker login` writes", .key.escape_debug())]
    Form {
        /// The key of the entry, its first 80 characters.
        key: String,
    },
}

/// Why there is no login for a registry of which something is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoLogin {
    /// The password is with a program that Docker would ask and that is not run here, or is a token of a kind that is
    /// not taken: which.
    Helper(String),
    /// What is said of it is malformed.
    Malformed(EntryFault),
}

#[derive(Debug, Clone)]
enum Entry {
    Login {
        username: String,
        password: Zeroizing<String>,
    },
    /// A token in place of a password, which only Docker's own way of signing in takes.
    IdentityToken,
    Malformed(EntryFault),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    auths: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, Value>>,
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct RawEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl DockerConfig {
    /// Reads the text of the file at a path, which is told with what stands in it.
    ///
    /// # Errors
    /// Any [`DockerConfigError`]: the text as a whole is none. What is wrong with single entries is in
    /// [`Self::faults`].
    pub fn read(path: &Path, text: &str) -> Result<Self, DockerConfigError> {
        if text.len() > DOCKER_CONFIG_BYTES_MAX {
            return Err(DockerConfigError::TooLarge);
        }
        let raw: Raw = serde_json::from_str(text).map_err(|err| DockerConfigError::Json {
            line: err.line(),
            column: err.column(),
        })?;
        let mut config = Self {
            path: path.to_owned(),
            store: raw.creds_store.filter(|name| !name.is_empty()),
            ..Self::default()
        };
        for (key, entry) in raw.auths.into_iter().flatten() {
            if let Some(canonical) = canonical(&key)
                && let Some(entry) = Entry::read(&key, entry)
            {
                config.entries.insert(canonical, entry);
            }
        }
        for (key, program) in raw.cred_helpers.into_iter().flatten() {
            if let Some(canonical) = canonical(&key) {
                let program = match program {
                    Value::String(program) => Ok(program),
                    _ => Err(EntryFault::Form { key: shown(&key) }),
                };
                config.helpers.insert(canonical, program);
            }
        }
        Ok(config)
    }

    /// Where it stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with its entries.
    pub fn faults(&self) -> impl Iterator<Item = &EntryFault> {
        let entries = self.entries.values().filter_map(|entry| match entry {
            Entry::Malformed(fault) => Some(fault),
            Entry::Login { .. } | Entry::IdentityToken => None,
        });
        let helpers = self.helpers.values();
        entries.chain(helpers.filter_map(|program| program.as_ref().err()))
    }

    /// As whom the registry of a reference is asked. An entry for a host and the first parts of a repository counts
    /// before one for the host, the longest first.
    ///
    /// # Errors
    /// [`NoLogin`].
    pub fn credentials(&self, reference: &Reference) -> Result<Credentials, NoLogin> {
        let host = reference.registry().as_str();
        let mut key = format!("{host}/{}", reference.repository());
        loop {
            match self.entries.get(&key) {
                Some(Entry::Login { username, password }) => {
                    let source = LoginSource::DockerConfig(self.path.clone());
                    return Ok(Credentials::basic(username, password.as_str(), source));
                }
                Some(Entry::IdentityToken) => {
                    return Err(NoLogin::Helper("identitytoken".to_owned()));
                }
                Some(Entry::Malformed(fault)) => return Err(NoLogin::Malformed(fault.clone())),
                None => {}
            }
            match key.rfind('/') {
                Some(slash) => key.truncate(slash),
                None => break,
            }
        }
        let program = match self.helpers.get(host) {
            Some(Err(fault)) => return Err(NoLogin::Malformed(fault.clone())),
            Some(Ok(program)) => Some(program),
            None => self.store.as_ref(),
        };
        match program {
            Some(program) => Err(NoLogin::Helper(format!("docker-credential-{program}"))),
            None => Ok(Credentials::Anonymous),
        }
    }
}

impl Entry {
    /// What an entry says; none if it says nothing, as entries do whose password is with a program.
    fn read(key: &str, entry: Value) -> Option<Self> {
        if entry.is_null() {
            return None;
        }
        let form = || Self::Malformed(EntryFault::Form { key: shown(key) });
        let Ok(entry) = serde_json::from_value::<RawEntry>(entry) else {
            return Some(form());
        };
        if entry.identitytoken.is_some_and(|token| !token.is_empty()) {
            return Some(Self::IdentityToken);
        }
        if let Some(auth) = entry.auth.filter(|auth| !auth.is_empty()) {
            let fault = || Self::Malformed(EntryFault::Auth { key: shown(key) });
            return Some(Self::of_auth(&auth).unwrap_or_else(fault));
        }
        match (entry.username, entry.password) {
            (Some(username), Some(password)) if !username.is_empty() => Some(Self::Login {
                username,
                password: Zeroizing::new(password),
            }),
            _ => None,
        }
    }

    /// What `user:password` in Base64 says; none if it is malformed.
    fn of_auth(auth: &str) -> Option<Self> {
        let decoded = Zeroizing::new(BASE64_STANDARD.decode(auth.as_bytes()).ok()?);
        let (username, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        if username.is_empty() || username == TOKEN_USER {
            return Some(Self::IdentityToken);
        }
        // Docker itself pads the text with zeros.
        let password = password.trim_end_matches('\0');
        Some(Self::Login {
            username: username.to_owned(),
            password: Zeroizing::new(password.to_owned()),
        })
    }
}

/// The registry that an address names, as it stands in a `config.json` or in `registryCredentials`: with a scheme and
/// a path or without.
pub(super) fn host_of(address: &str) -> Option<RegistryHost> {
    let key = canonical(address)?;
    let host = key.split('/').next().unwrap_or(&key);
    RegistryHost::parse(host).ok()
}

/// The key that an entry is found by: `host[:port][/repository]`. The addresses of the interfaces of old and new
/// registries, as `https://index.docker.io/v1/`, are those of their hosts.
fn canonical(key: &str) -> Option<String> {
    let rest = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let rest = rest.trim_end_matches('/');
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = RegistryHost::parse(host).ok()?;
    Some(match path {
        "" | "v1" | "v2" => host.to_string(),
        path => format!("{host}/{path}"),
    })
}

fn shown(key: &str) -> String {
    key.chars().take(KEY_SHOWN_MAX).collect()
}

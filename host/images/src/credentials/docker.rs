//! Docker's `config.json`: what `docker login`, `podman login`, `oras login` and `skopeo login` leave behind.
//!
//! Passwords that stand in it are used. Programs that it names to ask for passwords are not run: a daemon on a board
//! has none, and starting programs that a file names is nothing that pulling an image should do.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Credentials;
use crate::reference::{Reference, RegistryHost};

/// The largest file that is read: thousands of registries.
pub const DOCKER_CONFIG_BYTES_MAX: usize = 1024 * 1024;

/// The user name that goes with a token in place of a password.
const TOKEN_USER: &str = "<token>";

/// What of Docker's `config.json` says how to sign in.
#[derive(Debug, Clone, Default)]
pub struct DockerConfig {
    /// By host, and by host and the first parts of a repository.
    entries: BTreeMap<String, Entry>,
    /// The program for a host.
    helpers: BTreeMap<String, String>,
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
    /// An `auth` is malformed.
    #[error("`auth` of `{}` is not `user:password` in Base64", .host.escape_debug())]
    Auth {
        /// The key of the entry, its first 80 characters.
        host: String,
    },
}

/// A program that Docker would ask for a password, and that is not run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper(pub String);

#[derive(Debug, Clone)]
enum Entry {
    Credentials(Credentials),
    /// A token in place of a password, which only Docker's own way of signing in takes.
    IdentityToken,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    auths: BTreeMap<String, RawEntry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
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
    /// Reads the text of the file.
    ///
    /// # Errors
    /// Any [`DockerConfigError`].
    pub fn read(text: &str) -> Result<Self, DockerConfigError> {
        if text.len() > DOCKER_CONFIG_BYTES_MAX {
            return Err(DockerConfigError::TooLarge);
        }
        let raw: Raw = serde_json::from_str(text).map_err(|err| DockerConfigError::Json {
            line: err.line(),
            column: err.column(),
        })?;
        let mut config = Self {
            store: raw.creds_store.filter(|name| !name.is_empty()),
            ..Self::default()
        };
        for (key, entry) in raw.auths {
            if let Some(read) = entry.read(&key)?
                && let Some(key) = canonical(&key)
            {
                config.entries.insert(key, read);
            }
        }
        let helpers = raw.cred_helpers.into_iter();
        config.helpers = helpers
            .filter_map(|(key, program)| Some((canonical(&key)?, program)))
            .collect();
        Ok(config)
    }

    /// As whom the registry of a reference is asked. An entry for a host and the first parts of a repository counts
    /// before one for the host, the longest first.
    ///
    /// # Errors
    /// [`Helper`]: the program, or the kind of token, that the password would have to be had from.
    pub fn credentials(&self, reference: &Reference) -> Result<Credentials, Helper> {
        let host = reference.registry().as_str();
        let mut key = format!("{host}/{}", reference.repository());
        loop {
            match self.entries.get(&key) {
                Some(Entry::Credentials(credentials)) => return Ok(credentials.clone()),
                Some(Entry::IdentityToken) => return Err(Helper("identitytoken".to_owned())),
                None => {}
            }
            match key.rfind('/') {
                Some(slash) => key.truncate(slash),
                None => break,
            }
        }
        let program = self.helpers.get(host).or(self.store.as_ref());
        match program {
            Some(program) => Err(Helper(format!("docker-credential-{program}"))),
            None => Ok(Credentials::Anonymous),
        }
    }
}

impl RawEntry {
    /// What it says; none if it says nothing, as entries do whose password is with a program.
    fn read(self, key: &str) -> Result<Option<Entry>, DockerConfigError> {
        let malformed = || DockerConfigError::Auth {
            host: key.chars().take(80).collect(),
        };
        if self.identitytoken.is_some_and(|token| !token.is_empty()) {
            return Ok(Some(Entry::IdentityToken));
        }
        if let Some(auth) = self.auth.filter(|auth| !auth.is_empty()) {
            let decoded = BASE64_STANDARD.decode(auth.as_bytes());
            let decoded = Zeroizing::new(decoded.map_err(|_| malformed())?);
            let text = std::str::from_utf8(&decoded).map_err(|_| malformed())?;
            let (username, password) = text.split_once(':').ok_or_else(malformed)?;
            if username.is_empty() || username == TOKEN_USER {
                return Ok(Some(Entry::IdentityToken));
            }
            // Docker itself pads the text with zeros.
            let password = password.trim_end_matches('\0');
            let credentials = Credentials::basic(username, password);
            return Ok(Some(Entry::Credentials(credentials)));
        }
        Ok(match (self.username, self.password) {
            (Some(username), Some(password)) if !username.is_empty() => {
                Some(Entry::Credentials(Credentials::basic(username, password)))
            }
            _ => None,
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

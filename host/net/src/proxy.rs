//! The HTTP proxy that what leaves the device goes through, if there is one.
//!
//! Owns its address, what is reached without it, and asking it for a tunnel (`CONNECT`). The password is in no error
//! and no debug output. Leaves connecting to it to [`crate::dial`].
//!
//! Source: RFC 9110 section 9.3.6 (CONNECT), RFC 7617 (Basic).

mod tunnel;

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use thiserror::Error;
use wasm_edge_model::connection_string::HostAddress;
use zeroize::Zeroizing;

pub(crate) use tunnel::open;
pub use tunnel::{TunnelError, answer};

/// Longest address of a proxy, with user name and password.
pub const PROXY_MAX_BYTES: usize = 2048;

/// Longest user name, and longest password.
const LOGIN_MAX_BYTES: usize = 512;

/// Most hosts that are reached without the proxy; a machine's environment has some ten.
const EXCEPTIONS_MAX: usize = 256;

/// The port of a proxy whose address names none: that of HTTP.
const PORT: u16 = 80;

/// A proxy, and what is reached without it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    address: HostAddress,
    login: Option<Login>,
    exceptions: Exceptions,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: Zeroizing<String>,
}

/// Hosts that are reached without the proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exceptions {
    /// All are.
    all: bool,
    /// Names in small letters without a dot before them: they and all below them.
    names: Vec<String>,
}

/// A text is no [`Proxy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProxyError {
    /// It is too long.
    #[error("the address of a proxy has at most {PROXY_MAX_BYTES} bytes")]
    TooLong,
    /// It is for something else than HTTP without TLS to the proxy itself.
    #[error("the address of a proxy begins with `http://`")]
    Scheme,
    /// User name or password cannot be read.
    #[error(
        "user name and password of a proxy are percent-encoded text, `user:password@`, of at most {LOGIN_MAX_BYTES} bytes each"
    )]
    Login,
    /// Host or port are none.
    #[error(
        "the proxy's host and port are not of the form `host:port`, `host` or `[address]:port`"
    )]
    Host,
    /// There are too many exceptions.
    #[error("at most {EXCEPTIONS_MAX} hosts can be reached without the proxy")]
    Exceptions,
}

impl Proxy {
    /// The proxy that the environment names: `https_proxy` or `HTTPS_PROXY`, and `no_proxy` or `NO_PROXY`; none if
    /// there is none.
    ///
    /// # Errors
    /// Any [`ProxyError`].
    pub fn from_env() -> Result<Option<Self>, ProxyError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// The same, of variables of the caller's.
    ///
    /// # Errors
    /// Any [`ProxyError`].
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ProxyError> {
        let first = |names: [&str; 2]| names.into_iter().find_map(&variable);
        let Some(address) = first(["https_proxy", "HTTPS_PROXY"]).filter(|text| !text.is_empty())
        else {
            return Ok(None);
        };
        let exceptions = first(["no_proxy", "NO_PROXY"]).unwrap_or_default();
        // Programs take it without a scheme from the environment.
        let address = match address.contains("://") {
            true => address,
            false => format!("http://{address}"),
        };
        let proxy: Self = address.parse()?;
        Ok(Some(
            proxy.except(Exceptions::parse(exceptions.split(','))?),
        ))
    }

    /// The same proxy, without which these hosts are reached.
    pub fn except(self, exceptions: Exceptions) -> Self {
        Self { exceptions, ..self }
    }

    /// Where it is.
    pub fn host(&self) -> &HostAddress {
        &self.address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port().unwrap_or(PORT)
    }

    /// Whether this host is reached through it.
    pub fn is_for(&self, host: &HostAddress) -> bool {
        !self.exceptions.has(host)
    }

    /// Whether it is told a password.
    pub fn has_password(&self) -> bool {
        self.login.is_some()
    }

    pub(crate) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }
}

impl Exceptions {
    /// Reads names of hosts, each for itself and all below it, with or without a dot before it; `*` is for all.
    ///
    /// # Errors
    /// [`ProxyError::Exceptions`].
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, ProxyError> {
        let mut exceptions = Self::default();
        for name in names {
            let name = name.trim();
            let name = name.strip_prefix("*.").unwrap_or(name);
            let name = name.trim_start_matches(['.', '[']).trim_end_matches(']');
            let name = name.to_ascii_lowercase();
            match name.as_str() {
                "" => {}
                "*" => exceptions.all = true,
                _ => exceptions.names.push(name),
            }
            if exceptions.names.len() > EXCEPTIONS_MAX {
                return Err(ProxyError::Exceptions);
            }
        }
        Ok(exceptions)
    }

    fn has(&self, host: &HostAddress) -> bool {
        let host = host.bare().to_ascii_lowercase();
        let below = |name: &String| {
            let rest = host.strip_suffix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.all || self.names.iter().any(below)
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        if text.len() > PROXY_MAX_BYTES {
            return Err(ProxyError::TooLong);
        }
        let rest = text.strip_prefix("http://").ok_or(ProxyError::Scheme)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, host) = match rest.rsplit_once('@') {
            Some((login, host)) => (Some(Login::parse(login)?), host),
            None => (None, rest),
        };
        Ok(Self {
            address: HostAddress::parse(host).ok_or(ProxyError::Host)?,
            login,
            exceptions: Exceptions::default(),
        })
    }
}

impl Login {
    fn parse(text: &str) -> Result<Self, ProxyError> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let user = decoded(user)?;
        // Basic ends the user name there.
        if user.contains(':') {
            return Err(ProxyError::Login);
        }
        Ok(Self {
            user,
            password: Zeroizing::new(decoded(password)?),
        })
    }
}

/// Without user name and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.address.name(), self.port())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

fn decoded(text: &str) -> Result<String, ProxyError> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| ProxyError::Login)?;
    match decoded.len() <= LOGIN_MAX_BYTES && !decoded.chars().any(char::is_control) {
        true => Ok(decoded.into_owned()),
        false => Err(ProxyError::Login),
    }
}

#[cfg(test)]
mod tests;

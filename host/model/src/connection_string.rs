//! Connection strings: where a hub is, as whom to speak to it, and with which key.
//!
//! Owns reading and writing them as IoT Hub and its SDKs do. Leaves making
//! tokens to [`crate::shared_access`] and connecting to the callers: the
//! command line, and whoever else speaks to a hub over a network.
//!
//! A connection string holds a secret: no error repeats a value, and nothing
//! here shows a key but [`ConnectionString::reveal`].

use std::fmt::{self, Write as _};
use std::str::FromStr;

use thiserror::Error;

use crate::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};
use crate::shared_access::SharedKey;

/// Longest connection string: two host names, two ids and a key of the greatest length, with room.
pub const CONNECTION_STRING_MAX_BYTES: usize = 2048;

/// Longest name of a host, as in the domain name system.
pub const HOST_NAME_MAX_BYTES: usize = 253;

/// Longest name of a shared access policy.
pub const POLICY_MAX_BYTES: usize = 64;

/// Longest key of a part that an error repeats; longer text may be a secret at the wrong place.
const SHOWN_KEY_MAX_BYTES: usize = 24;

const HOST: &str = "HostName";
const GATEWAY: &str = "GatewayHostName";
const DEVICE: &str = "DeviceId";
const MODULE: &str = "ModuleId";
const SHARED_KEY: &str = "SharedAccessKey";
const POLICY: &str = "SharedAccessKeyName";
const X509: &str = "x509";

/// Where a hub is and as whom to speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionString {
    /// The hub, by the name it knows itself by.
    pub host: HostAddress,
    /// Where to connect instead, when the hub is reached through a gateway.
    pub gateway: Option<HostAddress>,
    /// As whom.
    pub party: Party,
}

/// As whom somebody speaks to a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// As a device or module.
    Identity {
        /// Which.
        owner: TwinOwner,
        /// How it shows that it is.
        credential: Credential,
    },
    /// As a service, under a shared access policy.
    Policy {
        /// The policy's name.
        name: String,
        /// One of its keys.
        key: SharedKey,
    },
}

/// How a device or module shows who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// By tokens signed with this key.
    Key(SharedKey),
    /// By a certificate that is kept elsewhere.
    Certificate,
}

/// The name of a host, or its address, with a port if it is not the usual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAddress {
    name: String,
    port: Option<u16>,
}

/// What is wrong with a connection string; says which part and never its value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectionStringError {
    /// The text is too long.
    #[error("a connection string has at most {CONNECTION_STRING_MAX_BYTES} bytes")]
    TooLong,
    /// A part is not of the form `key=value`.
    #[error("part {number} of the connection string is not of the form `key=value`")]
    Form {
        /// Which part, counted from 1.
        number: usize,
    },
    /// A key is not known.
    #[error(
        "part {number} of the connection string has the unknown key{}; known are `{HOST}`, `{DEVICE}`, `{MODULE}`, `{SHARED_KEY}`, `{POLICY}`, `{GATEWAY}` and `{X509}`",
        shown(.key.as_deref())
    )]
    Unknown {
        /// Which part, counted from 1.
        number: usize,
        /// Its key, unless it is so long or odd that it may be a secret.
        key: Option<String>,
    },
    /// A key stands there twice.
    #[error("`{key}` occurs twice in the connection string")]
    Repeated {
        /// The key.
        key: &'static str,
    },
    /// A key is missing.
    #[error("`{key}` is missing in the connection string")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// Two keys do not go together.
    #[error("`{key}` and `{other}` do not go together in a connection string")]
    Conflict {
        /// The key.
        key: &'static str,
        /// What excludes it.
        other: &'static str,
    },
    /// A value is not what it should be.
    #[error("`{key}` of the connection string is not {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What its value should be.
        expected: &'static str,
    },
}

fn shown(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| format!(" `{key}`"))
}

impl HostAddress {
    /// Reads `name`, `name:port`, `1.2.3.4:port` or `[::1]:port`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !text.ends_with(']') => (name, Some(port)),
            _ => (text, None),
        };
        let port = match port {
            None => None,
            Some(port) => Some(port_number(port)?),
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_name = match name.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')
                .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok()),
            None => !name.is_empty() && name.bytes().all(allowed),
        };
        (is_name && name.len() <= HOST_NAME_MAX_BYTES).then(|| Self {
            name: name.to_owned(),
            port,
        })
    }

    /// The name without the port; an IPv6 address stands in brackets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name as resolvers and certificates have it: an IPv6 address without its brackets.
    pub fn bare(&self) -> &str {
        let inner = self.name.strip_prefix('[');
        let inner = inner.and_then(|name| name.strip_suffix(']'));
        inner.unwrap_or(&self.name)
    }

    /// The port, if it is not the usual one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => f.write_str(&self.name),
            Some(port) => write!(f, "{}:{port}", self.name),
        }
    }
}

impl ConnectionString {
    /// Where to connect: the gateway, if there is one.
    pub fn address(&self) -> &HostAddress {
        self.gateway.as_ref().unwrap_or(&self.host)
    }

    /// The connection string as text, with its secret.
    pub fn reveal(&self) -> String {
        let mut text = format!("{HOST}={}", self.host);
        let mut add = |key: &str, value: &str| {
            write!(text, ";{key}={value}").expect("writing to a `String` cannot fail");
        };
        match &self.party {
            Party::Identity { owner, credential } => {
                add(DEVICE, owner.device().as_str());
                if let Some(module) = owner.module() {
                    add(MODULE, module.as_str());
                }
                match credential {
                    Credential::Key(key) => add(SHARED_KEY, key.as_base64()),
                    Credential::Certificate => add(X509, "true"),
                }
            }
            Party::Policy { name, key } => {
                add(POLICY, name);
                add(SHARED_KEY, key.as_base64());
            }
        }
        if let Some(gateway) = &self.gateway {
            add(GATEWAY, &gateway.to_string());
        }
        text
    }
}

impl FromStr for ConnectionString {
    type Err = ConnectionStringError;

    /// Reads `key=value` parts with `;` between them, in any order.
    fn from_str(text: &str) -> Result<Self, ConnectionStringError> {
        let text = text.trim();
        if text.len() > CONNECTION_STRING_MAX_BYTES {
            return Err(ConnectionStringError::TooLong);
        }
        let parts = Parts::parse(text)?;
        let host = host(HOST, parts.host.ok_or(missing(HOST))?)?;
        let gateway = parts.gateway.map(|text| self::host(GATEWAY, text));
        Ok(Self {
            host,
            gateway: gateway.transpose()?,
            party: parts.party()?,
        })
    }
}

/// The values as they stand there.
#[derive(Default)]
struct Parts<'a> {
    host: Option<&'a str>,
    gateway: Option<&'a str>,
    device: Option<&'a str>,
    module: Option<&'a str>,
    key: Option<&'a str>,
    policy: Option<&'a str>,
    x509: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn parse(text: &'a str) -> Result<Self, ConnectionStringError> {
        let mut parts = Self::default();
        let text = text.strip_suffix(';').unwrap_or(text);
        for (index, part) in text.split(';').enumerate() {
            let number = index + 1;
            let (key, value) = part
                .split_once('=')
                .ok_or(ConnectionStringError::Form { number })?;
            let (key, slot) = match key.trim() {
                HOST => (HOST, &mut parts.host),
                GATEWAY => (GATEWAY, &mut parts.gateway),
                DEVICE => (DEVICE, &mut parts.device),
                MODULE => (MODULE, &mut parts.module),
                SHARED_KEY => (SHARED_KEY, &mut parts.key),
                POLICY => (POLICY, &mut parts.policy),
                X509 => (X509, &mut parts.x509),
                other => return Err(unknown(number, other)),
            };
            if slot.replace(value).is_some() {
                return Err(ConnectionStringError::Repeated { key });
            }
        }
        Ok(parts)
    }

    fn party(&self) -> Result<Party, ConnectionStringError> {
        match (self.policy, self.device) {
            (Some(_), Some(_)) => Err(conflict(POLICY, DEVICE)),
            (Some(name), None) => self.service(name),
            (None, Some(device)) => self.identity(device),
            // Nothing in it is a device's alone: it is a service's whose policy was forgotten.
            (None, None) if self.module.is_none() && self.x509.is_none() => Err(missing(POLICY)),
            (None, None) => Err(missing(DEVICE)),
        }
    }

    fn service(&self, name: &str) -> Result<Party, ConnectionStringError> {
        for (key, value) in [(MODULE, self.module), (X509, self.x509)] {
            if value.is_some() {
                return Err(conflict(POLICY, key));
            }
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if name.is_empty() || name.len() > POLICY_MAX_BYTES || !name.bytes().all(allowed) {
            return Err(wrong(POLICY, "the name of a shared access policy"));
        }
        Ok(Party::Policy {
            name: name.to_owned(),
            key: key(self.key.ok_or(missing(SHARED_KEY))?)?,
        })
    }

    fn identity(&self, device: &str) -> Result<Party, ConnectionStringError> {
        let device = DeviceId::new(device).map_err(|_| wrong(DEVICE, "the id of a device"))?;
        let owner = match self.module.map(ModuleId::new) {
            None => TwinOwner::Device(device),
            Some(Ok(module)) => TwinOwner::Module(ModuleIdentity { device, module }),
            Some(Err(_)) => return Err(wrong(MODULE, "the id of a module")),
        };
        let credential = match (self.key, self.x509) {
            (Some(text), None) => Credential::Key(key(text)?),
            (None, Some(text)) if text.eq_ignore_ascii_case("true") => Credential::Certificate,
            (None, Some(_)) => return Err(wrong(X509, "`true`")),
            (Some(_), Some(_)) => return Err(conflict(SHARED_KEY, X509)),
            (None, None) => return Err(missing(SHARED_KEY)),
        };
        Ok(Party::Identity { owner, credential })
    }
}

/// As it is written: no sign, no zero before it.
fn port_number(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    is_number.then(|| text.parse().ok()).flatten()
}

fn host(key: &'static str, text: &str) -> Result<HostAddress, ConnectionStringError> {
    HostAddress::parse(text).ok_or(wrong(key, "the name of a host, with a port or without"))
}

fn key(text: &str) -> Result<SharedKey, ConnectionStringError> {
    SharedKey::new(text).map_err(|_| wrong(SHARED_KEY, "base64 of 16 to 64 bytes"))
}

fn missing(key: &'static str) -> ConnectionStringError {
    ConnectionStringError::Missing { key }
}

fn conflict(key: &'static str, other: &'static str) -> ConnectionStringError {
    ConnectionStringError::Conflict { key, other }
}

fn wrong(key: &'static str, expected: &'static str) -> ConnectionStringError {
    ConnectionStringError::Value { key, expected }
}

fn unknown(number: usize, key: &str) -> ConnectionStringError {
    let is_word =
        key.len() <= SHOWN_KEY_MAX_BYTES && key.bytes().all(|b| b.is_ascii_alphanumeric());
    ConnectionStringError::Unknown {
        number,
        key: (is_word && !key.is_empty()).then(|| key.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn with_key(text: &str) -> String {
        text.replace("KEY", KEY)
    }

    #[test]
    fn connection_strings_are_read_and_written_as_the_sdks_do() {
        let check = |text: &str, address: &str, owner: Option<&str>| {
            let text = with_key(text);
            let read: ConnectionString = text.parse().unwrap();
            assert_eq!(read.address().to_string(), address, "{text}");
            let found = match &read.party {
                Party::Identity { owner, .. } => Some(owner.to_string()),
                Party::Policy { .. } => None,
            };
            assert_eq!(found.as_deref(), owner, "{text}");
            assert_eq!(read.reveal(), text);
            assert_eq!(read.reveal().parse::<ConnectionString>().unwrap(), read);
            assert!(!format!("{read:?}").contains(KEY));
        };
        check(
            "HostName=hub.example;DeviceId=d1;SharedAccessKey=KEY",
            "hub.example",
            Some("/devices/d1"),
        );
        check(
            "HostName=hub.example:8443;DeviceId=d1;ModuleId=$edgeAgent;SharedAccessKey=KEY",
            "hub.example:8443",
            Some("/devices/d1/modules/$edgeAgent"),
        );
        check(
            "HostName=hub.example;DeviceId=a=b;x509=true;GatewayHostName=gw",
            "gw",
            Some("/devices/a=b"),
        );
        check(
            "HostName=[::1]:8443;SharedAccessKeyName=service;SharedAccessKey=KEY",
            "[::1]:8443",
            None,
        );
        check(
            "HostName=127.0.0.1;SharedAccessKeyName=iothubowner;SharedAccessKey=KEY",
            "127.0.0.1",
            None,
        );
    }

    #[test]
    fn order_and_white_space_around_do_not_matter() {
        let text = with_key(" SharedAccessKey=KEY;HostName=h;SharedAccessKeyName=service;\n");
        let read: ConnectionString = text.parse().unwrap();
        let expected = with_key("HostName=h;SharedAccessKeyName=service;SharedAccessKey=KEY");
        assert_eq!(read.reveal(), expected);
    }

    #[test]
    fn errors_name_the_key_that_is_wrong_and_no_secret() {
        let check = |text: &str, expected: &str| {
            let text = with_key(text);
            let error = text.parse::<ConnectionString>().unwrap_err().to_string();
            assert_eq!(error, expected, "{text}");
            assert!(!error.contains("AAEC"), "{error}");
        };
        let host =
            "`HostName` of the connection string is not the name of a host, with a port or without";
        check(
            "",
            "part 1 of the connection string is not of the form `key=value`",
        );
        check(
            "HostName=h;;",
            "part 2 of the connection string is not of the form `key=value`",
        );
        check(
            "HostName=h;KEY",
            "part 2 of the connection string has the unknown key; known are `HostName`, `DeviceId`, `ModuleId`, `SharedAccessKey`, `SharedAccessKeyName`, `GatewayHostName` and `x509`",
        );
        check(
            "HostName=h;deviceid=d",
            "part 2 of the connection string has the unknown key `deviceid`; known are `HostName`, `DeviceId`, `ModuleId`, `SharedAccessKey`, `SharedAccessKeyName`, `GatewayHostName` and `x509`",
        );
        check(
            "DeviceId=d;SharedAccessKey=KEY",
            "`HostName` is missing in the connection string",
        );
        check(
            "HostName=h",
            "`SharedAccessKeyName` is missing in the connection string",
        );
        check(
            "HostName=h;x509=true",
            "`DeviceId` is missing in the connection string",
        );
        check(
            "HostName=h;SharedAccessKey=KEY",
            "`SharedAccessKeyName` is missing in the connection string",
        );
        check(
            "HostName=h;ModuleId=m;SharedAccessKey=KEY",
            "`DeviceId` is missing in the connection string",
        );
        check(
            "HostName=h;DeviceId=d",
            "`SharedAccessKey` is missing in the connection string",
        );
        check(
            "HostName=h;SharedAccessKeyName=p",
            "`SharedAccessKey` is missing in the connection string",
        );
        check(
            "HostName=h;HostName=h",
            "`HostName` occurs twice in the connection string",
        );
        for bad in [
            "HostName=",
            "HostName=a b",
            "HostName=a:",
            "HostName=a:0",
            "HostName=a:65536",
            "HostName=::1",
            "HostName=[x]",
            "HostName=https://h",
            "HostName=a:+1",
        ] {
            check(&format!("{bad};DeviceId=d;SharedAccessKey=KEY"), host);
        }
        check(
            "HostName=h;GatewayHostName=a/b;DeviceId=d;SharedAccessKey=KEY",
            "`GatewayHostName` of the connection string is not the name of a host, with a port or without",
        );
        check(
            "HostName=h;DeviceId=a b;SharedAccessKey=KEY",
            "`DeviceId` of the connection string is not the id of a device",
        );
        check(
            "HostName=h;DeviceId=d;ModuleId=;SharedAccessKey=KEY",
            "`ModuleId` of the connection string is not the id of a module",
        );
        check(
            "HostName=h;DeviceId=d;SharedAccessKey=AAEC",
            "`SharedAccessKey` of the connection string is not base64 of 16 to 64 bytes",
        );
        check(
            "HostName=h;SharedAccessKeyName=p p;SharedAccessKey=KEY",
            "`SharedAccessKeyName` of the connection string is not the name of a shared access policy",
        );
        check(
            "HostName=h;DeviceId=d;x509=yes",
            "`x509` of the connection string is not `true`",
        );
        check(
            "HostName=h;DeviceId=d;x509=true;SharedAccessKey=KEY",
            "`SharedAccessKey` and `x509` do not go together in a connection string",
        );
        check(
            "HostName=h;DeviceId=d;SharedAccessKeyName=p;SharedAccessKey=KEY",
            "`SharedAccessKeyName` and `DeviceId` do not go together in a connection string",
        );
        check(
            "HostName=h;ModuleId=m;SharedAccessKeyName=p;SharedAccessKey=KEY",
            "`SharedAccessKeyName` and `ModuleId` do not go together in a connection string",
        );
        let long = format!("HostName={}", "h".repeat(CONNECTION_STRING_MAX_BYTES));
        check(&long, "a connection string has at most 2048 bytes");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = text.parse::<ConnectionString>();
            let _ = HostAddress::parse(&text);
        }

        #[test]
        fn what_is_read_is_written_and_read_again(
            host in "[a-z0-9.:\\[\\]]{1,12}", device in "[-.+%_#*?!(),:=@$'a-z]{1,12}",
        ) {
            let text = format!("HostName={host};DeviceId={device};SharedAccessKey={KEY}");
            if let Ok(read) = text.parse::<ConnectionString>() {
                prop_assert_eq!(read.reveal(), text);
            }
        }
    }
}

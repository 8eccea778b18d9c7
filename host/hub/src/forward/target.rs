//! Where telemetry is forwarded to: `mqtt://[user:password@]host[:port][/prefix]`, or `mqtts://…` for TLS.
//!
//! The password is in no error and in no text but that which it was read from.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use thiserror::Error;
use wasm_edge_model::connection_string::HostAddress;

use crate::telemetry::consumer::ConsumerName;

/// Longest address of a broker.
pub const TARGET_MAX_BYTES: usize = 2048;

/// Longest prefix of topics.
pub const PREFIX_MAX_BYTES: usize = 1024;

/// Longest user name, and longest password.
const LOGIN_MAX_BYTES: usize = 512;

/// The ports of brokers by custom.
const PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;

/// How much of the digest of the address names its consumer.
const NAME_BYTES: usize = 8;

/// A broker and what goes there.
#[derive(Clone, PartialEq, Eq)]
pub struct ForwardTarget {
    tls: bool,
    address: HostAddress,
    port: u16,
    login: Option<Login>,
    prefix: String,
    payload: Payload,
}

/// As whom to connect.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

/// What a forwarded message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Payload {
    /// The body as it is; properties stay behind.
    #[default]
    Body,
    /// All of it as one JSON object, as of telemetry over HTTP.
    Json,
}

/// A text is no [`ForwardTarget`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ForwardTargetError {
    /// It is too long.
    #[error("the address of a broker has at most {TARGET_MAX_BYTES} bytes")]
    TooLong,
    /// It is for something else.
    #[error("the address of a broker begins with `mqtt://` or `mqtts://`")]
    Scheme,
    /// User name or password cannot be read.
    #[error(
        "user name and password are percent-encoded text, `user:password@`, of at most {LOGIN_MAX_BYTES} bytes each"
    )]
    Login,
    /// Host or port are none.
    #[error(
        "the broker's host and port are not of the form `host`, `host:port` or `[address]:port`"
    )]
    Host,
    /// Topics cannot begin so.
    #[error(
        "the prefix of topics has wildcards, control characters, or more than {PREFIX_MAX_BYTES} bytes"
    )]
    Prefix,
    /// Something is asked for that is not known.
    #[error("behind `?` of a broker's address there can be `payload=body` or `payload=json`")]
    Query,
}

impl ForwardTarget {
    /// Whether it is to be reached by TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host.
    pub fn host(&self) -> &HostAddress {
        &self.address
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What topics begin with; empty for nothing.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What messages hold.
    pub fn payload(&self) -> Payload {
        self.payload
    }

    pub(super) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// The consumer that keeps how far was forwarded: the same for the same place, whoever connects.
    pub fn consumer(&self) -> ConsumerName {
        let digest = ring::digest::digest(&ring::digest::SHA256, self.to_string().as_bytes());
        let hex: String = digest.as_ref()[..NAME_BYTES]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let name = ConsumerName::new(&format!("forward-{hex}"));
        name.expect("these are letters and digits").own()
    }
}

impl FromStr for ForwardTarget {
    type Err = ForwardTargetError;

    fn from_str(text: &str) -> Result<Self, ForwardTargetError> {
        if text.len() > TARGET_MAX_BYTES {
            return Err(ForwardTargetError::TooLong);
        }
        let (tls, rest) = match (text.strip_prefix("mqtt://"), text.strip_prefix("mqtts://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(ForwardTargetError::Scheme),
        };
        let (rest, payload) = match rest.split_once('?') {
            None | Some((_, "payload=body")) => {
                (rest.split('?').next().unwrap_or(rest), Payload::Body)
            }
            Some((rest, "payload=json")) => (rest, Payload::Json),
            Some(_) => return Err(ForwardTargetError::Query),
        };
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(Login::parse(login)?), host),
            None => (None, authority),
        };
        let address = HostAddress::parse(host).ok_or(ForwardTargetError::Host)?;
        Ok(Self {
            tls,
            port: address.port().unwrap_or(if tls { TLS_PORT } else { PORT }),
            address,
            login,
            prefix: topic_prefix(prefix)?,
            payload,
        })
    }
}

impl Login {
    fn parse(text: &str) -> Result<Self, ForwardTargetError> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        Ok(Self {
            user: decoded(user)?,
            password: decoded(password)?,
        })
    }
}

/// Without user name and password.
impl fmt::Display for ForwardTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}:{}", self.address.name(), self.port)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        match self.payload {
            Payload::Body => Ok(()),
            Payload::Json => f.write_str("?payload=json"),
        }
    }
}

impl fmt::Debug for ForwardTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForwardTarget({self})")
    }
}

fn decoded(text: &str) -> Result<String, ForwardTargetError> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| ForwardTargetError::Login)?;
    match decoded.len() <= LOGIN_MAX_BYTES && !decoded.contains('\0') {
        true => Ok(decoded.into_owned()),
        false => Err(ForwardTargetError::Login),
    }
}

fn topic_prefix(text: &str) -> Result<String, ForwardTargetError> {
    let prefix = text.strip_suffix('/').unwrap_or(text);
    let forbidden = |c: char| c.is_control() || matches!(c, '+' | '#');
    match prefix.len() <= PREFIX_MAX_BYTES && !prefix.contains(forbidden) {
        true => Ok(prefix.to_owned()),
        false => Err(ForwardTargetError::Prefix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let check = |text: &str, shown: &str, login: Option<(&str, &str)>| {
            let target: ForwardTarget = text.parse().unwrap();
            assert_eq!(target.to_string(), shown);
            assert_eq!(format!("{target:?}"), format!("ForwardTarget({shown})"));
            let found = target
                .login()
                .map(|l| (l.user.as_str(), l.password.as_str()));
            assert_eq!(found, login, "{text}");
            // Written, it is the same place.
            let again: ForwardTarget = shown.parse().unwrap();
            assert_eq!(again.consumer(), target.consumer());
        };
        check("mqtt://broker", "mqtt://broker:1883", None);
        check("mqtts://broker/", "mqtts://broker:8883", None);
        check("mqtt://b:1884/plant/1/", "mqtt://b:1884/plant/1", None);
        check("mqtt://u:p@b", "mqtt://b:1883", Some(("u", "p")));
        check("mqtt://u@b", "mqtt://b:1883", Some(("u", "")));
        let login = Some(("a@b", "p:/?%"));
        check("mqtt://a%40b:p%3A%2F%3F%25@b/x", "mqtt://b:1883/x", login);
        check("mqtt://[::1]:1883/a", "mqtt://[::1]:1883/a", None);
        check("mqtt://b?payload=json", "mqtt://b:1883?payload=json", None);
        check("mqtt://b/x?payload=body", "mqtt://b:1883/x", None);
    }

    #[test]
    fn errors_name_the_part_and_not_the_password() {
        let check = |text: &str, expected: ForwardTargetError| {
            let err = text.parse::<ForwardTarget>().unwrap_err();
            assert_eq!(err, expected, "{text}");
            assert!(!err.to_string().contains("secret"), "{err}");
        };
        check("tcp://u:secret@b", ForwardTargetError::Scheme);
        check("u:secret@b", ForwardTargetError::Scheme);
        check("mqtt://u:secret@", ForwardTargetError::Host);
        check("mqtt://u:secret@b:0", ForwardTargetError::Host);
        check("mqtt://u:secret/b", ForwardTargetError::Host);
        check("mqtt://u:secret%FF@b", ForwardTargetError::Login);
        check("mqtt://u:secret%00@b", ForwardTargetError::Login);
        check("mqtt://u:secret@b/a/#", ForwardTargetError::Prefix);
        check("mqtt://u:secret@b/a/+/c", ForwardTargetError::Prefix);
        check("mqtt://u:secret@b?payload=xml", ForwardTargetError::Query);
        check("mqtt://b?ca=secret", ForwardTargetError::Query);
        let long = format!("mqtt://{}", "x".repeat(TARGET_MAX_BYTES));
        check(&long, ForwardTargetError::TooLong);
    }

    #[test]
    fn each_place_has_a_consumer_of_its_own() {
        let name = |text: &str| text.parse::<ForwardTarget>().unwrap().consumer();
        assert_ne!(name("mqtt://b/x"), name("mqtt://b/y"));
        assert_eq!(name("mqtt://u:1@b/x"), name("mqtt://u:2@b/x"));
        assert!(name("mqtt://b").as_str().starts_with("$forward-"));
    }
}

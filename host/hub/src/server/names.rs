//! Names by which clients know the hub.
//!
//! Owns what is a host name: a DNS name or an IP address. Leaves which
//! certificate it goes into to the parts that make one.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rustls::pki_types::ServerName;
use thiserror::Error;

/// How many names one hub may have: all of them go into one certificate.
pub const HOST_NAMES_MAX: usize = 32;

/// A DNS name, in lower case, or an IP address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

/// A text is no [`HostName`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` is neither a DNS name nor an IP address", .text.escape_debug())]
pub struct HostNameError {
    text: String,
}

impl HostName {
    /// The name of the own machine.
    pub fn localhost() -> Self {
        Self("localhost".to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it stands in URLs and tokens: an IPv6 address in brackets.
    pub fn in_address(&self) -> String {
        match self.0.contains(':') {
            true => format!("[{}]", self.0),
            false => self.0.clone(),
        }
    }

    /// Whether only this machine can reach it by this name.
    pub fn is_loopback(&self) -> bool {
        match self.0.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.0 == "localhost",
        }
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, HostNameError> {
        match ServerName::try_from(text) {
            Ok(ServerName::IpAddress(address)) => Ok(Self::from(IpAddr::from(address))),
            // A dot at the end is right in DNS, and no certificate has it.
            Ok(ServerName::DnsName(name)) if !text.ends_with('.') => {
                Ok(Self(name.as_ref().to_ascii_lowercase()))
            }
            _ => Err(HostNameError {
                text: text.chars().take(80).collect(),
            }),
        }
    }
}

impl From<IpAddr> for HostName {
    fn from(address: IpAddr) -> Self {
        Self(address.to_string())
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_host_names() {
        let check = |text: &str, expected: Option<&str>| {
            let parsed = text.parse::<HostName>().ok();
            assert_eq!(parsed.as_ref().map(HostName::as_str), expected, "{text}");
        };
        check("localhost", Some("localhost"));
        check("Hub.Example.ORG", Some("hub.example.org"));
        check("192.0.2.7", Some("192.0.2.7"));
        check("2001:db8::0:1", Some("2001:db8::1"));
        for wrong in [
            "",
            "a b",
            "hub.",
            "a..b",
            "https://hub",
            "hub:8883",
            "[::1]",
            "*.hub",
            "hub\n",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn an_address_of_ipv6_stands_in_brackets() {
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse::<HostName>().unwrap().in_address(), expected);
        };
        check("::1", "[::1]");
        check("127.0.0.1", "127.0.0.1");
        check("hub.test", "hub.test");
    }

    #[test]
    fn names_of_the_own_machine_are_known() {
        let check = |text: &str, expected| {
            assert_eq!(text.parse::<HostName>().unwrap().is_loopback(), expected);
        };
        check("localhost", true);
        check("127.0.0.2", true);
        check("::1", true);
        check("localhost.example.org", false);
        check("0.0.0.0", false);
    }
}

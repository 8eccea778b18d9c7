//! The address of a blob container with its shared access signature, as uploads are told where to go.
//!
//! The signature is a secret: it is in no error and in no form but [`BlobContainer::target`].
//!
//! Source: Azure Storage, "Put Blob" and "Grant limited access with shared access signatures".

use std::fmt;

use percent_encoding::utf8_percent_encode;

use crate::connection_string::HostAddress;
use crate::percent::RESERVED;

/// The longest address: those of Azure's storage with a signature have some hundred bytes.
pub const BLOB_URL_MAX_BYTES: usize = 4096;

/// A container that blobs can be put into.
#[derive(Clone, PartialEq, Eq)]
pub struct BlobContainer {
    /// Whether TLS stands before it; without only on this machine.
    pub is_secure: bool,
    /// The host.
    pub host: HostAddress,
    path: String,
    query: String,
}

/// Why a text is no address of a container; holds nothing of the text, which may have a signature in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlobUrlError {
    /// Too long.
    #[error("the address has more than {BLOB_URL_MAX_BYTES} bytes")]
    TooLong,
    /// Not an address at all, or one with a user, a fragment or odd characters.
    #[error("expected an address of the form `https://HOST/CONTAINER?SIGNATURE`")]
    Form,
    /// Another scheme than `https`.
    #[error("an address with `http` has to be one of this machine; use `https`")]
    NotSecure,
    /// There is no container in it.
    #[error("the address names no container")]
    NoContainer,
}

impl BlobContainer {
    /// Reads an address.
    ///
    /// # Errors
    /// [`BlobUrlError`].
    pub fn parse(text: &str) -> Result<Self, BlobUrlError> {
        if text.len() > BLOB_URL_MAX_BYTES {
            return Err(BlobUrlError::TooLong);
        }
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte);
        if !text.bytes().all(is_plain) {
            return Err(BlobUrlError::Form);
        }
        let (scheme, rest) = text.split_once("://").ok_or(BlobUrlError::Form)?;
        let is_secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(BlobUrlError::Form),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = HostAddress::parse(host).ok_or(BlobUrlError::Form)?;
        if !is_secure && !is_this_machine(&host) {
            return Err(BlobUrlError::NotSecure);
        }
        let path = path.trim_end_matches('/');
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
        if path.is_empty() {
            return Err(BlobUrlError::NoContainer);
        }
        if !path.split('/').all(is_segment) {
            return Err(BlobUrlError::Form);
        }
        Ok(Self {
            is_secure,
            host,
            path: path.to_owned(),
            query: query.to_owned(),
        })
    }

    /// The target of a request for a blob of this container, with the signature: a secret.
    ///
    /// `name` may have `/` in it; anything else that is not plain is percent-encoded.
    pub fn target(&self, name: &str) -> String {
        let segments: Vec<String> = name
            .split('/')
            .map(|segment| utf8_percent_encode(segment, RESERVED).to_string())
            .collect();
        let target = format!("/{}/{}", self.path, segments.join("/"));
        match self.query.as_str() {
            "" => target,
            query => format!("{target}?{query}"),
        }
    }

    /// The port, that of the scheme if none is given.
    pub fn port(&self) -> u16 {
        let usual = if self.is_secure { 443 } else { 80 };
        self.host.port().unwrap_or(usual)
    }
}

impl fmt::Display for BlobContainer {
    /// Host and container, without the signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl fmt::Debug for BlobContainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlobContainer")
            .field(&self.to_string())
            .finish()
    }
}

fn is_this_machine(host: &HostAddress) -> bool {
    let name = host.name();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_has_host_container_and_signature() {
        let check = |text: &str, shown: &str, port: u16, target: &str| {
            let container = BlobContainer::parse(text).unwrap();
            assert_eq!(container.to_string(), shown);
            assert_eq!(container.port(), port);
            assert_eq!(container.target("hub/d 1/m-2026.log"), target);
            assert!(!format!("{container:?}").contains("sig="));
        };
        check(
            "https://account.blob.core.windows.net/logs?sv=2024&sig=a%2Bb%3D",
            "account.blob.core.windows.net/logs",
            443,
            "/logs/hub/d%201/m-2026.log?sv=2024&sig=a%2Bb%3D",
        );
        check(
            "HTTPS://localhost:8443/account/logs/?sig=x",
            "localhost:8443/account/logs",
            8443,
            "/account/logs/hub/d%201/m-2026.log?sig=x",
        );
        check(
            "http://127.0.0.1/logs",
            "127.0.0.1/logs",
            80,
            "/logs/hub/d%201/m-2026.log",
        );
        check(
            "http://[::1]:80/logs",
            "[::1]:80/logs",
            80,
            "/logs/hub/d%201/m-2026.log",
        );
    }

    #[test]
    fn other_addresses_are_refused_and_their_signature_is_told_nowhere() {
        let check = |text: &str, expected: BlobUrlError| {
            let error = BlobContainer::parse(text).unwrap_err();
            assert_eq!(error, expected, "{text}");
        };
        let form = BlobUrlError::Form;
        check("", form);
        check("account/logs?sig=x", form);
        check("ftp://account/logs?sig=x", form);
        check("https:///logs?sig=x", form);
        check("https://user:pw@account/logs?sig=x", form);
        check("https://account/logs?sig=x#y", form);
        check("https://account/logs?sig=x\r\nHost: other", form);
        check("https://account/lo gs?sig=x", form);
        check("https://account/a/../b?sig=x", form);
        check("https://account//b?sig=x", form);
        check("https://account:0x/b?sig=x", form);
        check("https://account?sig=x", BlobUrlError::NoContainer);
        check("https://account/?sig=x", BlobUrlError::NoContainer);
        check("http://account/logs?sig=x", BlobUrlError::NotSecure);
        check("http://10.0.0.1/logs?sig=x", BlobUrlError::NotSecure);
        check("http://localhost.example.com/logs", BlobUrlError::NotSecure);
        let long = format!("https://a/b?sig={}", "x".repeat(BLOB_URL_MAX_BYTES));
        check(&long, BlobUrlError::TooLong);
    }

    proptest! {
        #[test]
        fn what_is_read_has_a_target_without_odd_characters(text in "https?://[a-z.:/?#@%\\[\\] ]{0,40}", name in ".{0,30}") {
            if let Ok(container) = BlobContainer::parse(&text) {
                let target = container.target(&name);
                prop_assert!(target.starts_with('/'));
                prop_assert!(target.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}

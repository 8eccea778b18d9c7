//! Why a connection was not made.

use std::fmt;
use std::io;
use std::time::Duration;

use rustls::CertificateError;
use thiserror::Error;

use crate::proxy::TunnelError;
use crate::websocket::WebSocketError;

/// The most names of a certificate that are told; some have hundreds.
const NAMES_SHOWN_MAX: usize = 3;

/// How much of each is told; the longest name that a host can have.
const NAME_SHOWN_MAX_CHARACTERS: usize = 253;

/// Why a connection was not made. None shows a password or a key.
#[derive(Debug, Error)]
pub enum DialError {
    /// The name of the host leads to no address.
    #[error("cannot find an address for `{host}`")]
    Resolve {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody listens there, or the way there is cut.
    #[error("cannot connect to `{address}`")]
    Connect {
        /// Host and port.
        address: String,
        /// Why, of the address that was tried last.
        #[source]
        source: io::Error,
    },
    /// The proxy cannot be reached.
    #[error("cannot reach the proxy `{proxy}`")]
    ProxyConnect {
        /// Host and port of the proxy.
        proxy: String,
        /// Why.
        #[source]
        source: Box<DialError>,
    },
    /// The proxy made no tunnel.
    #[error("the proxy `{proxy}` did not connect us to `{address}`")]
    Proxy {
        /// Host and port of the proxy.
        proxy: String,
        /// Host and port behind it.
        address: String,
        /// Why.
        #[source]
        source: TunnelError,
    },
    /// The host cannot have a certificate.
    #[error("`{host}` is no name that a certificate can have")]
    Name {
        /// The host.
        host: String,
    },
    /// Its certificate is not one to trust.
    #[error("the certificate of `{address}` is not trusted: {fault}")]
    Certificate {
        /// Host and port.
        address: String,
        /// What is wrong with it.
        fault: CertificateFault,
        /// In the words of TLS.
        #[source]
        source: rustls::Error,
    },
    /// TLS was not agreed on.
    #[error("cannot agree on TLS with `{address}`")]
    Tls {
        /// Host and port.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no WebSocket behind the host's port.
    #[error("cannot open a WebSocket to `{address}`")]
    WebSocket {
        /// Host and port.
        address: String,
        /// Why.
        #[source]
        source: WebSocketError,
    },
    /// It took too long.
    #[error("cannot {phase} `{address}` within {} s", limit.as_secs_f32())]
    Timeout {
        /// What took too long.
        phase: Phase,
        /// Host and port.
        address: String,
        /// The limit of all phases together.
        limit: Duration,
    },
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFault {
    /// It is for another name.
    Name,
    /// Its authority is none that is trusted.
    Authority,
    /// It is not good any more, or the clock is ahead.
    Expired,
    /// It is not good yet, or the clock is behind.
    NotYetValid,
    /// Something else.
    Other,
}

/// What is done while a connection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The addresses of a name are looked up.
    Resolve,
    /// TCP.
    Connect,
    /// The proxy is asked for a tunnel.
    Proxy,
    /// TLS.
    Tls,
    /// WebSocket.
    WebSocket,
}

impl DialError {
    pub(super) fn tls(address: String, source: io::Error) -> Self {
        let inner = source.get_ref().and_then(|err| err.downcast_ref());
        match inner {
            Some(err @ rustls::Error::InvalidCertificate(certificate)) => Self::Certificate {
                address,
                fault: CertificateFault::of(certificate),
                source: err.clone(),
            },
            _ => Self::Tls { address, source },
        }
    }

    /// The names that a certificate is for, where it is for others than the one that was asked for: the first ones, and
    /// not more of them than people read.
    pub fn certificate_names(&self) -> Vec<String> {
        let Self::Certificate {
            source:
                rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                    presented,
                    ..
                }),
            ..
        } = self
        else {
            return Vec::new();
        };
        let shown = presented.iter().take(NAMES_SHOWN_MAX);
        shown.map(|name| certificate_name(name)).collect()
    }

    /// Whether the clock may be the reason.
    pub fn may_be_the_clock(&self) -> bool {
        use CertificateFault::{Expired, NotYetValid};
        let Self::Certificate { fault, .. } = self else {
            return false;
        };
        matches!(fault, Expired | NotYetValid)
    }
}

/// The name in what TLS calls it: `DnsName("NAME")`, `IpAddress(ADDRESS)`.
fn certificate_name(presented: &str) -> String {
    let inner = presented
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    let name = inner.unwrap_or(presented).trim_matches('"');
    let cut: String = name.chars().take(NAME_SHOWN_MAX_CHARACTERS).collect();
    cut.escape_debug().to_string()
}

impl CertificateFault {
    fn of(err: &CertificateError) -> Self {
        use CertificateError as E;
        match err {
            E::NotValidForName | E::NotValidForNameContext { .. } => Self::Name,
            E::UnknownIssuer | E::BadSignature => Self::Authority,
            E::Expired | E::ExpiredContext { .. } => Self::Expired,
            E::NotValidYet | E::NotValidYetContext { .. } => Self::NotYetValid,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "it is for another name",
            Self::Authority => "no authority that is trusted has signed it",
            Self::Expired => "it has expired, or the clock here is ahead",
            Self::NotYetValid => "it is not valid yet, or the clock here is behind",
            Self::Other => "it is not in order",
        })
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "find an address for",
            Self::Connect => "connect to",
            Self::Proxy => "get through the proxy to",
            Self::Tls => "agree on TLS with",
            Self::WebSocket => "open a WebSocket to",
        })
    }
}

//! Connecting: the name, the proxy, TLS.
//!
//! Owns the limits of time of each phase and telling the faults apart. Leaves whom to trust to [`crate::trust`], and
//! when it is tried again to the callers.

mod error;
mod undated;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use wasm_edge_model::connection_string::HostAddress;

pub use error::{CertificateFault, DialError, Phase};

use self::undated::Undated;
use crate::clock::HubClock;
use crate::proxy::{self, Proxy};
use crate::stream::{Counted, Stream};
use crate::traffic::Counter;
use crate::trust::{ClientIdentity, TrustError};
use crate::websocket;

/// Most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// The port that an address does not name.
const HTTPS_PORT: u16 = 443;

/// What dialling needs to know.
#[derive(Debug)]
pub struct DialerOptions {
    /// The authorities whose certificates are trusted.
    pub roots: Arc<RootCertStore>,
    /// What everything goes through, if there is one.
    pub proxy: Option<Proxy>,
    /// The certificate to be known by, if there is one.
    pub identity: Option<ClientIdentity>,
    /// The time that certificates are judged by.
    pub clock: HubClock,
    /// How long a connection may take in all, with TLS.
    pub connect_timeout: Duration,
}

/// What connects; clones share it, and with it the TLS sessions that can be resumed.
#[derive(Clone)]
pub struct Dialer {
    inner: Arc<Inner>,
}

struct Inner {
    tls: Arc<ClientConfig>,
    roots: Arc<RootCertStore>,
    clock: HubClock,
    proxy: Option<Proxy>,
    connect_timeout: Duration,
}

/// What protects a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS 1.2 or 1.3, with the host's name in its certificate.
    Tls,
    /// Nothing.
    Plain,
}

/// Which WebSocket of a host is meant.
#[derive(Debug, Clone, Copy)]
pub struct WebSocketAt<'a> {
    /// Path and query.
    pub path: &'a str,
    /// The sub-protocol.
    pub protocol: &'static str,
}

impl Dialer {
    /// What connects so. TLS sessions are resumed where the other side allows it.
    ///
    /// # Errors
    /// [`TrustError::Identity`].
    pub fn new(options: DialerOptions) -> Result<Self, TrustError> {
        let DialerOptions {
            roots,
            proxy,
            identity,
            clock,
            connect_timeout,
        } = options;
        let builder = tls(&clock).with_root_certificates(roots.clone());
        let tls = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.into_parts();
                let built = builder.with_client_auth_cert(chain, key);
                built.map_err(TrustError::Identity)?
            }
        };
        Ok(Self {
            inner: Arc::new(Inner {
                tls: Arc::new(tls),
                roots,
                clock,
                proxy,
                connect_timeout,
            }),
        })
    }

    /// What connects in the same way to ask a hub what time it is: while the clock cannot be right, it does not mind
    /// the dates of certificates. Shows no certificate of its own.
    pub fn to_ask_the_time(&self) -> Self {
        let inner = &self.inner;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(inner.roots.clone(), provider).build();
        // Without anybody to trust there is nothing to be lenient about.
        let Ok(verifier) = verifier else {
            return self.clone();
        };
        let verifier = Undated::new(verifier, inner.clock.clone());
        let tls = tls(&inner.clock)
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Self {
            inner: Arc::new(Inner {
                tls: Arc::new(tls),
                roots: inner.roots.clone(),
                clock: inner.clock.clone(),
                proxy: inner.proxy.clone(),
                connect_timeout: inner.connect_timeout,
            }),
        }
    }

    /// Connects to a port of a host, whatever port its address names itself, and counts what goes over the wire.
    ///
    /// # Errors
    /// Any [`DialError`].
    ///
    /// # Cancel safety
    /// The connection is given up.
    pub async fn dial(
        &self,
        host: &HostAddress,
        port: u16,
        security: Security,
        counter: &Counter,
    ) -> Result<Stream, DialError> {
        let limit = self.inner.connect_timeout;
        let attempt = Attempt {
            inner: &self.inner,
            address: format!("{}:{port}", host.name()),
            until: Instant::now() + limit,
        };
        counter.connected();
        let stream = attempt.reach(host, port, counter).await?;
        match security {
            Security::Plain => Ok(Stream::new(stream)),
            Security::Tls => attempt.secure(host, stream).await,
        }
    }

    /// Connects as [`Self::dial`] does, and opens a WebSocket at a path there; all within the time for connecting.
    ///
    /// # Errors
    /// Any [`DialError`].
    ///
    /// # Cancel safety
    /// The connection is given up.
    pub async fn dial_websocket(
        &self,
        host: &HostAddress,
        port: u16,
        at: WebSocketAt<'_>,
        counter: &Counter,
    ) -> Result<Stream, DialError> {
        let limit = self.inner.connect_timeout;
        let until = Instant::now() + limit;
        let stream = self.dial(host, port, Security::Tls, counter).await?;
        let address = format!("{}:{port}", host.name());
        let authority = match port {
            HTTPS_PORT => host.name(),
            _ => address.as_str(),
        };
        let opening = websocket::open(stream, authority, at.path, at.protocol);
        match timeout_at(until, opening).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(source)) => Err(DialError::WebSocket { address, source }),
            Err(_) => Err(DialError::Timeout {
                phase: Phase::WebSocket,
                address,
                limit,
            }),
        }
    }

    /// Whether connections to this host go through a proxy.
    pub fn goes_through_proxy(&self, host: &HostAddress) -> bool {
        self.inner.proxy_for(host).is_some()
    }
}

impl Inner {
    fn proxy_for(&self, host: &HostAddress) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|proxy| proxy.is_for(host))
    }
}

/// TLS 1.2 and 1.3, by this clock.
fn tls(clock: &HubClock) -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_details(provider, Arc::new(clock.clone()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3")
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("proxy", &self.inner.proxy)
            .field("connect_timeout", &self.inner.connect_timeout)
            .finish_non_exhaustive()
    }
}

/// One connection that is being made.
struct Attempt<'a> {
    inner: &'a Inner,
    /// As errors name it.
    address: String,
    until: Instant,
}

impl Attempt<'_> {
    /// A stream to the host, past the proxy.
    async fn reach(
        &self,
        host: &HostAddress,
        port: u16,
        counter: &Counter,
    ) -> Result<Counted<TcpStream>, DialError> {
        let Some(proxy) = self.inner.proxy_for(host) else {
            let stream = self.connect(host, port).await?;
            return Ok(Counted::new(stream, counter.clone()));
        };
        let failed = |source| DialError::ProxyConnect {
            proxy: proxy.to_string(),
            source: Box::new(source),
        };
        let stream = self.connect(proxy.host(), proxy.port()).await;
        let mut stream = Counted::new(stream.map_err(failed)?, counter.clone());
        let opening = proxy::open(&mut stream, proxy, host, port);
        let opened = self.in_time(Phase::Proxy, opening).await?;
        opened.map_err(|source| DialError::Proxy {
            proxy: proxy.to_string(),
            address: self.address.clone(),
            source,
        })?;
        Ok(stream)
    }

    /// Connects to the first of the host's addresses that takes it.
    async fn connect(&self, host: &HostAddress, port: u16) -> Result<TcpStream, DialError> {
        let resolving = tokio::net::lookup_host((host.bare(), port));
        let resolved = self.in_time(Phase::Resolve, resolving).await?;
        let found: Vec<SocketAddr> = match resolved {
            Ok(found) => found.take(ADDRESSES_MAX).collect(),
            Err(source) => return Err(self.unresolved(host, source)),
        };
        let mut last = None;
        let count = found.len();
        for (index, address) in found.into_iter().enumerate() {
            // What is left is shared by those that are left, so that one that is silent leaves time for the others.
            let now = Instant::now();
            let left = self.until.saturating_duration_since(now);
            let share = now + left / u32::try_from(count - index).unwrap_or(1);
            let connecting = TcpStream::connect(address);
            match timeout_at(share, connecting).await {
                Ok(Ok(stream)) => return self.prepared(stream),
                Ok(Err(source)) => last = Some(source),
                Err(_) => last = last.or(Some(io::ErrorKind::TimedOut.into())),
            }
        }
        let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        match last {
            Some(err) if err.kind() == io::ErrorKind::TimedOut => Err(self.timeout(Phase::Connect)),
            Some(source) => Err(DialError::Connect {
                address: self.address_of(host, port),
                source,
            }),
            None => Err(self.unresolved(host, none())),
        }
    }

    async fn secure(
        &self,
        host: &HostAddress,
        stream: Counted<TcpStream>,
    ) -> Result<Stream, DialError> {
        let name = ServerName::try_from(host.bare().to_owned());
        let name = name.map_err(|_| DialError::Name {
            host: host.name().to_owned(),
        })?;
        let connector = TlsConnector::from(self.inner.tls.clone());
        let shaking = connector.connect(name, stream);
        let shaken = self.in_time(Phase::Tls, shaking).await?;
        let stream = shaken.map_err(|source| DialError::tls(self.address.clone(), source))?;
        Ok(Stream::new(stream))
    }

    /// What is sent is small and waited for.
    fn prepared(&self, stream: TcpStream) -> Result<TcpStream, DialError> {
        match stream.set_nodelay(true) {
            Ok(()) => Ok(stream),
            Err(source) => Err(DialError::Connect {
                address: self.address.clone(),
                source,
            }),
        }
    }

    async fn in_time<T>(
        &self,
        phase: Phase,
        work: impl Future<Output = T>,
    ) -> Result<T, DialError> {
        let timed = timeout_at(self.until, work).await;
        timed.map_err(|_| self.timeout(phase))
    }

    fn timeout(&self, phase: Phase) -> DialError {
        DialError::Timeout {
            phase,
            address: self.address.clone(),
            limit: self.inner.connect_timeout,
        }
    }

    fn unresolved(&self, host: &HostAddress, source: io::Error) -> DialError {
        DialError::Resolve {
            host: host.name().to_owned(),
            source,
        }
    }

    fn address_of(&self, host: &HostAddress, port: u16) -> String {
        format!("{}:{port}", host.name())
    }
}

#[cfg(test)]
mod tests;

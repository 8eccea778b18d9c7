//! The hub on the network: listeners with TLS, the connections that come through them, and their orderly end.
//!
//! Owns sockets, certificates, handshakes and the limits on connections.
//! Leaves what is said over a connection to the faces: MQTT, REST, and MQTT
//! over WebSocket; and who is let in to the hub's access. Built and run by
//! the process that serves a hub.
//!
//! A client costs a place among the connections, and nothing waits for it:
//! each connection is a task of its own with limits of time for the
//! handshake, for a request's head and body, and for taking what it is sent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cap_std::fs::Dir;
use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use thiserror::Error;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::access::certificate::AuthorityError;
use crate::hub::Hub;

pub mod authority;
mod bodies;
pub mod certificate;
pub mod names;

mod accept;
mod http;
mod listen;
mod operations;
mod places;
mod stall;
mod tls;

use accept::{Acceptor, Face};
use certificate::{CertificateError, CertificateSource, Shown};
use listen::Listeners;

/// How often is looked whether the certificate has to be renewed.
const RENEWAL_PERIOD: Duration = Duration::from_secs(60 * 60);

/// How a server is built.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Where MQTT over TLS is served. Addresses with port 0 get one free port together.
    pub mqtt: Vec<SocketAddr>,
    /// Where REST and MQTT over WebSocket are served, by TLS.
    pub https: Vec<SocketAddr>,
    /// Where metrics and health are served, without TLS and to everybody; as a rule nowhere, or to this machine only.
    pub metrics: Vec<SocketAddr>,
    /// Where the certificate comes from.
    pub certificate: CertificateSource,
    /// Files with certificates of authorities (PEM) that may issue certificates of devices,
    /// besides the local authority.
    pub client_authorities: Vec<PathBuf>,
    /// What clients may take.
    pub limits: ServerLimits,
}

/// What clients may take of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections at once, on all listeners together; a further one is closed at once.
    pub connections_max: usize,
    /// Connections at once from one address, of IPv6 from one network of 64 bits.
    pub connections_per_address_max: usize,
    /// Bytes at once of requests' bodies that came and of answers that their clients have not
    /// taken. What would be more is answered with 429, and takes no room.
    pub bodies_max_bytes: usize,
    /// Such bytes at once for one address.
    pub bodies_per_address_max_bytes: usize,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long an MQTT client may take to say who it is.
    pub connect_timeout: Duration,
    /// How long an HTTP connection may wait for the whole head of its next request.
    pub http_idle_timeout: Duration,
    /// How long a client may take to send the body of a request, and how long it may take
    /// nothing of an answer that waits for it.
    pub http_stall_timeout: Duration,
    /// How long an orderly end may take; what goes on then is cut off.
    pub stop_timeout: Duration,
}

impl Default for ServerLimits {
    /// 10,000 connections and 128 MiB, half of them for one address; 10 s, 30 s, 60 s, 30 s and 5 s.
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_address_max: 5_000,
            bodies_max_bytes: 128 * 1024 * 1024,
            bodies_per_address_max_bytes: 64 * 1024 * 1024,
            handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(30),
            http_idle_timeout: Duration::from_secs(60),
            http_stall_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(5),
        }
    }
}

/// Where a server listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// MQTT over TLS.
    pub mqtt: Vec<SocketAddr>,
    /// REST and MQTT over WebSocket.
    pub https: Vec<SocketAddr>,
    /// Metrics and health.
    pub metrics: Vec<SocketAddr>,
}

/// Why a server cannot start.
#[derive(Debug, Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}` for {what}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What would be served there.
        what: &'static str,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// There is no certificate.
    #[error("the server has no certificate")]
    Certificate(#[from] CertificateError),
    /// The libraries do not take the settings.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The authorities of client certificates cannot be used.
    #[error("the authorities of client certificates cannot be used")]
    ClientAuthorities(#[from] AuthorityError),
    /// The folder of the hub cannot be opened.
    #[error("the hub's folder cannot be used")]
    Folder(#[source] std::io::Error),
    /// The process ends.
    #[error("the process is ending")]
    Interrupted,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All connections had ended.
    Orderly,
    /// So many connections were cut off.
    Cut(usize),
}

/// A server that listens, and serves once it is run.
pub struct Server {
    hub: Hub,
    listeners: Listeners,
    addresses: Addresses,
    certificates: Certificates,
    tls: Arc<rustls::ServerConfig>,
    limits: ServerLimits,
}

impl Server {
    /// Listens on the addresses of `options` with a certificate of theirs.
    ///
    /// `folder` is the `hub/` of the data folder; keys and certificates lie in `pki/` below it.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn bind(hub: Hub, folder: &Dir, options: ServerOptions) -> Result<Self, ServerError> {
        let listeners = Listeners::bind(&options)?;
        let addresses = listeners.addresses();
        let folder = folder.try_clone().map_err(ServerError::Folder)?;
        let (source, clients) = (options.certificate, options.client_authorities);
        let certificates = Certificates::load(source, clients, folder, hub.clone()).await?;
        let tls = Arc::new(tls::config(
            Arc::clone(&certificates.0.provider),
            Arc::clone(&certificates.0.shown),
        )?);
        Ok(Self {
            hub,
            listeners,
            addresses,
            certificates,
            tls,
            limits: options.limits,
        })
    }

    /// Where it listens: the ports that it got.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The handle to exchange its certificate.
    pub fn certificates(&self) -> Certificates {
        self.certificates.clone()
    }

    /// Serves until `stop` is cancelled; then closes the hub and ends in order.
    ///
    /// No new connection is taken, sessions end, requests under way may end within
    /// [`ServerLimits::stop_timeout`].
    pub async fn run(self, stop: CancellationToken) -> Ending {
        let (hub, limits) = (self.hub, self.limits);
        let acceptor = Acceptor::new(hub.clone(), self.tls, limits, stop.clone());
        let mut parts = JoinSet::new();
        for (face, listeners) in [
            (Face::Mqtt, self.listeners.mqtt),
            (Face::Https, self.listeners.https),
            (Face::Operations, self.listeners.metrics),
        ] {
            for listener in listeners {
                parts.spawn(acceptor.clone().accept(face, listener));
            }
        }
        parts.spawn(self.certificates.renew(stop.clone()));
        parts.spawn(configure(hub.clone(), stop.clone()));
        stop.cancelled().await;
        // Before the hub closes, so that nobody comes again meanwhile.
        while let Some(ended) = parts.join_next().await {
            if let Err(err) = ended {
                tracing::error!(%err, "a part of the server failed");
            }
        }
        hub.close();
        acceptor.end(limits.stop_timeout).await
    }
}

/// Carries out configurations until the server stops.
async fn configure(hub: Hub, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = hub.run_configurations() => {}
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// The certificate of a running server; clones share it.
#[derive(Clone)]
pub struct Certificates(Arc<Shared>);

struct Shared {
    source: CertificateSource,
    client_authorities: Vec<PathBuf>,
    folder: Dir,
    provider: Arc<CryptoProvider>,
    shown: Arc<Shown>,
    hub: Hub,
}

impl Certificates {
    async fn load(
        source: CertificateSource,
        client_authorities: Vec<PathBuf>,
        folder: Dir,
        hub: Hub,
    ) -> Result<Self, ServerError> {
        let loading = spawn_blocking(move || {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let loaded = source.load(&folder, &provider, Timestamp::now())?;
            hub.metrics().certificate_expires(loaded.expires);
            let shown = Arc::new(Shown::new(&loaded));
            let shared = Shared {
                source,
                client_authorities,
                folder,
                provider,
                shown,
                hub,
            };
            shared.trust_client_authorities()?;
            Ok(Self(Arc::new(shared)))
        });
        loading.await.map_err(|_| ServerError::Interrupted)?
    }

    /// Reads the certificate and the authorities of clients again; both are good from the next
    /// handshake on.
    ///
    /// # Errors
    /// [`ServerError::Certificate`], [`ServerError::ClientAuthorities`]; what was read before stays.
    pub async fn reload(&self) -> Result<(), ServerError> {
        let shared = Arc::clone(&self.0);
        let loading = spawn_blocking(move || {
            shared.load_again()?;
            shared.trust_client_authorities()
        });
        loading.await.map_err(|_| ServerError::Interrupted)?
    }

    /// Renews a certificate of the local authority before it ends.
    async fn renew(self, stop: CancellationToken) {
        if matches!(self.0.source, CertificateSource::Files { .. }) {
            return;
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RENEWAL_PERIOD) => {}
            }
            let shared = Arc::clone(&self.0);
            let renewed = spawn_blocking(move || shared.load_again()).await;
            if let Ok(Err(err)) = renewed {
                let error = wasm_edge_model::error::chain(&err);
                tracing::error!(error, "the certificate of the server could not be renewed");
            }
        }
    }
}

impl Shared {
    fn load_again(&self) -> Result<(), ServerError> {
        let now = Timestamp::now();
        let loaded = self.source.load(&self.folder, &self.provider, now)?;
        self.shown.replace(&loaded);
        self.hub.metrics().certificate_expires(loaded.expires);
        Ok(())
    }

    fn trust_client_authorities(&self) -> Result<(), ServerError> {
        let files = &self.client_authorities;
        let authorities = certificate::client_authorities(files, &self.folder)?;
        Ok(self.hub.trust_client_authorities(&authorities)?)
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Certificates").field(&self.0.source).finish()
    }
}

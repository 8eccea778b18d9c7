//! Accepting connections, their handshake, and the way to their face.
//!
//! Owns the tasks of connections, one each, and how they end. Leaves what is
//! said over them to the faces.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::http::{Client, Http, Lease, network_router};
use super::places::{Full, Places};
use super::{Ending, ServerLimits};
use crate::access::certificate::PeerCertificate;
use crate::hub::Hub;
use crate::mqtt::{self, Peer, Transport};

/// How long to wait after a connection could not be accepted, as when no file can be opened any more.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Connections at once that ask for metrics and health. They have places of their own: a hub that
/// has no place left for clients still tells so.
const OPERATIONS_CONNECTIONS_MAX: usize = 64;

/// How long the end of connections that were cut off may take.
const CUT_MAX: Duration = Duration::from_secs(1);

/// What a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    /// MQTT over TLS.
    Mqtt,
    /// REST and MQTT over WebSocket, by TLS.
    Https,
    /// Metrics and health, without TLS.
    Operations,
}

impl Face {
    /// What its connections are called in the metrics.
    fn transport(self) -> &'static str {
        match self {
            Self::Mqtt => "tls",
            Self::Https => "https",
            Self::Operations => "metrics",
        }
    }
}

/// Accepts connections; clones share places and tasks.
#[derive(Clone)]
pub(super) struct Acceptor(Arc<Shared>);

struct Shared {
    hub: Hub,
    tls: TlsAcceptor,
    https: Http,
    operations: Http,
    limits: ServerLimits,
    places: Places,
    places_of_operations: Places,
    connections: TaskTracker,
    /// No new connections.
    stop: CancellationToken,
    /// No connections at all.
    cut: CancellationToken,
}

impl Acceptor {
    pub(super) fn new(
        hub: Hub,
        tls: Arc<ServerConfig>,
        limits: ServerLimits,
        stop: CancellationToken,
    ) -> Self {
        let places = Places::new(limits.connections_max, limits.connections_per_address_max);
        Self(Arc::new(Shared {
            tls: TlsAcceptor::from(tls),
            https: Http::new(hub.clone(), network_router(&hub, limits), limits),
            operations: Http::new(hub.clone(), hub.operations(), limits),
            limits,
            places,
            places_of_operations: Places::new(
                OPERATIONS_CONNECTIONS_MAX,
                OPERATIONS_CONNECTIONS_MAX,
            ),
            connections: TaskTracker::new(),
            stop,
            cut: CancellationToken::new(),
            hub,
        }))
    }

    /// Accepts connections of `listener` until the server stops.
    pub(super) async fn accept(self, face: Face, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.0.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => self.admit(face, stream, address),
                Err(err) if concerns_connection_only(&err) => {}
                Err(err) => {
                    // Out of files, as a rule: those who wait are served once others have gone.
                    tracing::warn!(%err, "a connection was not accepted");
                    self.0.hub.metrics().refused("accept_failed");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// Waits until all connections have ended, at most so long; then cuts them off.
    pub(super) async fn end(self, limit: Duration) -> Ending {
        let connections = &self.0.connections;
        connections.close();
        if timeout(limit, connections.wait()).await.is_ok() {
            return Ending::Orderly;
        }
        let left = connections.len();
        self.0.cut.cancel();
        // One whose end itself hangs must not keep the others waiting.
        if timeout(CUT_MAX, connections.wait()).await.is_err() {
            tracing::warn!(left = connections.len(), "connections did not end");
        }
        Ending::Cut(left)
    }

    /// Gives a connection a place and a task, or closes it.
    fn admit(&self, face: Face, stream: TcpStream, address: SocketAddr) {
        let places = match face {
            Face::Mqtt | Face::Https => &self.0.places,
            Face::Operations => &self.0.places_of_operations,
        };
        let place = match places.take(address.ip(), 1) {
            Ok(place) => place,
            Err(full) => {
                let reason = match full {
                    Full::All => "connections_limit",
                    Full::Address => "address_limit",
                };
                tracing::debug!(%address, reason, "a connection was refused");
                return self.0.hub.metrics().refused(reason);
            }
        };
        let acceptor = self.clone();
        let lease = Arc::new(Lease {
            _place: place,
            _task: self.0.connections.token(),
        });
        self.0.connections.spawn(async move {
            tokio::select! {
                () = acceptor.0.cut.cancelled() => {}
                () = acceptor.serve(face, stream, address, &lease) => {}
            }
            drop(lease);
        });
    }

    /// Serves a connection. What is waited for is boxed: the task keeps no room for what is over.
    async fn serve(&self, face: Face, stream: TcpStream, address: SocketAddr, lease: &Arc<Lease>) {
        let metrics = self.0.hub.metrics();
        let _open = metrics.connection_opened(face.transport());
        // Answers are short; without it each would wait for the acknowledgement of the one before.
        if let Err(err) = stream.set_nodelay(true) {
            tracing::debug!(%address, %err, "a connection went before it was served");
            return;
        }
        if face == Face::Operations {
            let client = Client {
                address,
                certificate: None,
                lease: Arc::clone(lease),
            };
            return Box::pin(self.0.operations.serve(stream, client, &self.0.stop)).await;
        }
        let Some(stream) = Box::pin(self.handshake(stream, address)).await else {
            return;
        };
        let shown = stream.get_ref().1.peer_certificates();
        let certificate = shown.and_then(PeerCertificate::new);
        if face == Face::Https {
            let client = Client {
                address,
                certificate,
                lease: Arc::clone(lease),
            };
            return Box::pin(self.0.https.serve(stream, client, &self.0.stop)).await;
        }
        let peer = Peer {
            address,
            certificate,
            transport: Transport::Tls,
            connect_timeout: self.0.limits.connect_timeout,
        };
        let ended = Box::pin(mqtt::serve(self.0.hub.clone(), stream, peer)).await;
        metrics.connection_ended(face.transport(), ended.reason());
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Option<TlsStream<TcpStream>> {
        let accepting = timeout(self.0.limits.handshake_timeout, self.0.tls.accept(stream));
        let accepted = tokio::select! {
            () = self.0.stop.cancelled() => return None,
            accepted = accepting => accepted,
        };
        let reason = match accepted {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(err)) => {
                tracing::debug!(%address, %err, "a handshake failed");
                "handshake_failed"
            }
            Err(_) => {
                tracing::debug!(%address, "a handshake took too long");
                "handshake_timeout"
            }
        };
        self.0.hub.metrics().refused(reason);
        None
    }
}

/// Whether accepting failed because of the one connection, which went before it was accepted.
fn concerns_connection_only(err: &io::Error) -> bool {
    matches!(
        err.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

//! MQTT as IoT Hub speaks it: version 3.1.1 over TLS and over WebSocket.
//!
//! Owns everything from the bytes of an established connection to the hub's
//! sessions: the protocol and its strictness, topics, stored subscriptions,
//! delivery, and each connection's limits. Leaves listening, TLS and the
//! number of connections to the server, and who may connect to the access
//! rules. There is no general broker here: a client talks to the hub and to
//! nobody else.
//!
//! Source: MQTT 3.1.1 (OASIS), and Azure IoT Hub, "Communicate with your IoT
//! hub using the MQTT protocol".

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::access::certificate::PeerCertificate;
use crate::hub::Hub;
use crate::session::CloseReason;

pub mod connect;
pub mod frame;
pub mod protocol;
pub mod subscriptions;
pub mod topic;
pub mod websocket;

mod admission;
mod calls;
mod connection;
mod memory;
mod transfer;
mod worker;

use connect::Refusal;
use connection::Connection;
use frame::Violation;

/// How long a client may take to say who it is, where the server says nothing else.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// What carries the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TLS, by itself.
    Tls,
    /// WebSocket over TLS.
    WebSocket,
}

impl Transport {
    /// What it is called in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::WebSocket => "websocket",
        }
    }
}

/// Who is at the other end of a connection, as far as is known before it speaks.
#[derive(Debug)]
pub struct Peer {
    /// Where it connects from.
    pub address: SocketAddr,
    /// The certificate that it showed in the TLS handshake.
    pub certificate: Option<PeerCertificate>,
    /// What carries the bytes.
    pub transport: Transport,
    /// How long it may take to say who it is.
    pub connect_timeout: Duration,
}

impl Peer {
    /// A peer without a certificate that has [`CONNECT_TIMEOUT`].
    pub fn new(address: SocketAddr, transport: Transport) -> Self {
        Self {
            address,
            certificate: None,
            transport,
            connect_timeout: CONNECT_TIMEOUT,
        }
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Ended {
    /// The client took its leave.
    #[error("the client disconnected")]
    Disconnected,
    /// The connection broke, or the client closed it without taking its leave.
    #[error("the connection was lost")]
    Lost,
    /// The client did not say in time who it is.
    #[error("the client did not connect in time")]
    NoConnect,
    /// The client was told that it cannot connect.
    #[error("the client was refused")]
    Refused(#[source] Refusal),
    /// The client did what it must not.
    #[error("the client broke the protocol")]
    Violation(#[source] Violation),
    /// Nothing came for one and a half times the keep-alive.
    #[error("the client was silent for too long")]
    Silent,
    /// The client did not read, or did not acknowledge, what the hub sent.
    #[error("the client does not read")]
    Unread,
    /// What let the client in has expired.
    #[error("the client's credentials have expired")]
    Expired,
    /// The session at the hub is over.
    #[error("the session ended")]
    Session(#[source] CloseReason),
    /// The hub failed; connecting again may help.
    #[error("the hub failed")]
    HubFailed,
}

impl Ended {
    /// What the reason is called in the metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Lost => "lost",
            Self::NoConnect => "no_connect",
            Self::Refused(_) => "refused",
            Self::Violation(_) => "violation",
            Self::Silent => "silent",
            Self::Unread => "unread",
            Self::Expired => "expired",
            Self::Session(CloseReason::Replaced) => "replaced",
            Self::Session(CloseReason::HubClosed) => "hub_closed",
            Self::Session(
                CloseReason::IdentityDeleted
                | CloseReason::IdentityDisabled
                | CloseReason::AccessRevoked,
            ) => "revoked",
            Self::Session(CloseReason::Abandoned | CloseReason::HubFailed) | Self::HubFailed => {
                "hub_failed"
            }
        }
    }
}

/// Serves one connection until it ends.
///
/// Whatever the client does, it costs no more than the limits of this module, and no other
/// connection waits for it.
///
/// # Cancel safety
/// Dropping the future ends the session without a word to the client.
pub async fn serve<S>(hub: Hub, stream: S, peer: Peer) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (transport, address) = (peer.transport.name(), peer.address);
    let mut connection = Connection::new(hub, stream, peer);
    let ended = connection.run().await;
    // Boxed, since a connection at rest is not at its end.
    Box::pin(connection.finish(&ended)).await;
    let error = wasm_edge_model::error::chain(&ended);
    tracing::debug!(%address, transport, error, "a connection ended");
    ended
}

#[cfg(test)]
mod tests;

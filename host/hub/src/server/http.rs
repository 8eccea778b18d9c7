//! HTTP over one connection, with limits on what a client may take of time and memory.
//!
//! Owns heads, and what is answered where bodies find no room. Leaves counting
//! bodies to `bodies.rs`, answers that are not read in time to `stall.rs`, and
//! what is answered otherwise to the router.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::{Request, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower_service::Service as _;

use super::ServerLimits;
use super::bodies::{Received, TimedBody, hold};
use super::places::{Full, Place, Places};
use super::stall::Stalling;
use crate::access::certificate::PeerCertificate;
use crate::hub::Hub;
use crate::mqtt::{self, Peer, Transport};
use crate::rest;

/// The longest head of a request; a token in it has far below 1 KiB. hyper's buffer has this size at most.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// The most headers of a request.
const HEADERS_MAX: usize = 64;

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Client {
    /// Where it connects from.
    pub(super) address: SocketAddr,
    /// The certificate of which it has shown to have the key.
    pub(super) certificate: Option<PeerCertificate>,
    /// Kept by what outlives the HTTP connection.
    pub(super) lease: Arc<Lease>,
}

/// What a connection has of the server until it ends, whoever serves it.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) _place: Place,
    /// The server waits for it when it ends.
    pub(super) _task: TaskTrackerToken,
}

/// Where MQTT over WebSocket is served. What is behind a `?` is passed over.
const WEBSOCKET_PATH: &str = "/$iothub/websocket";

/// REST and MQTT over WebSocket.
pub(super) fn network_router(hub: &Hub, limits: ServerLimits) -> Router {
    let websocket = {
        let hub = hub.clone();
        move |upgrade: WebSocketUpgrade, Extension(client): Extension<Client>| async move {
            let peer = Peer {
                address: client.address,
                certificate: client.certificate,
                transport: Transport::WebSocket,
                connect_timeout: limits.connect_timeout,
            };
            mqtt::websocket::websocket(upgrade, hub, peer, client.lease)
        }
    };
    hub.rest_for_network().route(WEBSOCKET_PATH, get(websocket))
}

/// Serves HTTP connections by one router.
#[derive(Clone)]
pub(super) struct Http {
    hub: Hub,
    router: Router,
    limits: ServerLimits,
    /// Bytes of bodies, in both directions.
    bodies: Places,
}

impl Http {
    pub(super) fn new(hub: Hub, router: Router, limits: ServerLimits) -> Self {
        Self {
            hub,
            router,
            limits,
            bodies: Places::new(limits.bodies_max_bytes, limits.bodies_per_address_max_bytes),
        }
    }

    /// Serves one connection until it ends; once `stop` is cancelled, the request at hand is its last.
    ///
    /// Handlers find the client, and its certificate if it showed one, in a request's extensions.
    pub(super) async fn serve<S>(&self, stream: S, client: Client, stop: &CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| self.answer(request, &client));
        let io = TokioIo::new(Stalling::new(stream, self.limits.http_stall_timeout));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.http_idle_timeout)
            .max_buf_size(HEAD_MAX_BYTES)
            .max_headers(HEADERS_MAX)
            .serve_connection(io, service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(err) = ended {
            let error = wasm_edge_model::error::chain(&err);
            tracing::debug!(address = %client.address, error, "an HTTP connection broke");
        }
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        client: &Client,
    ) -> Result<Response<Body>, Infallible> {
        let limit = self.limits.http_stall_timeout;
        if let Some(certificate) = &client.certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        request.extensions_mut().insert(client.clone());
        let address = client.address.ip();
        let only_reads = rest::only_reads(request.method(), request.uri().path());
        let received = Arc::new(Received::new(self.bodies.none(address)));
        let body_received = Arc::clone(&received);
        let request = request.map(|body| Body::new(TimedBody::new(body, limit, body_received)));
        let mut response = self.router.clone().call(request).await?;
        // Whoever read the body could only say that it did not come whole.
        if received.is_refused() {
            response = rest::no_room();
        }
        let may_refuse = only_reads && response.status().is_success();
        let response = match hold(response, &self.bodies, address, may_refuse) {
            Ok(response) => response,
            Err(Full::All | Full::Address) => rest::no_room(),
        };
        let status = response.status().as_u16();
        self.hub.metrics().request_answered(status);
        Ok(response)
    }
}

#[cfg(test)]
mod tests;

//! HTTP over one connection, with limits on what a client may take of time and memory.

use std::convert::Infallible;
use std::future::Future as _;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::ws::WebSocketUpgrade;
use axum::http::{Request, Response};
use axum::routing::get;
use axum::{BoxError, Extension, Router};
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower_service::Service as _;

use super::ServerLimits;
use super::places::Place;
use super::stall::Stalling;
use crate::access::certificate::PeerCertificate;
use crate::hub::Hub;
use crate::mqtt::{self, Peer, Transport};

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
}

impl Http {
    pub(super) fn new(hub: Hub, router: Router, limits: ServerLimits) -> Self {
        Self {
            hub,
            router,
            limits,
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
        let request = request.map(|body| Body::new(TimedBody::new(body, limit)));
        let response = self.router.clone().call(request).await?;
        let status = response.status().as_u16();
        self.hub.metrics().request_answered(status);
        Ok(response)
    }
}

/// A body that has to be there as a whole within a time.
struct TimedBody {
    body: Incoming,
    limit: Duration,
    /// There once somebody had to wait for the body.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// The body took too long.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request did not come within {} s", limit.as_secs())]
struct BodyTimeout {
    limit: Duration,
}

impl TimedBody {
    fn new(body: Incoming, limit: Duration) -> Self {
        Self {
            body,
            limit,
            deadline: None,
        }
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let limit = self.limit;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
        match deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(BodyTimeout { limit }.into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! MQTT over WebSocket: a stream of bytes out of frames.
//!
//! Owns the upgrade, the sub-protocol `mqtt`, and the stream. Leaves the
//! listener and its paths to the server. Packets and frames are independent
//! of each other (MQTT 3.1.1, section 6): a packet may lie over several
//! frames, and a frame may hold several packets.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::PACKET_MAX_BYTES;
use super::{Peer, serve};
use crate::hub::Hub;

/// The sub-protocol that clients ask for.
pub const SUB_PROTOCOL: &str = "mqtt";

/// The longest frame that is taken: a packet of any size in one, with its fixed header.
const FRAME_MAX_BYTES: usize = PACKET_MAX_BYTES + 5;

/// Bytes that are read at once, held as long as the connection lasts.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// The longest frame that is written. What waits in the WebSocket is no more than a few of them.
const WRITTEN_MAX_BYTES: usize = 16 * 1024;

/// Answers a request for a WebSocket and serves the connection that follows. `held` is dropped when
/// that ends.
///
/// A client that does not ask for the sub-protocol `mqtt` gets 400.
pub fn websocket(
    upgrade: WebSocketUpgrade,
    hub: Hub,
    peer: Peer,
    held: impl Send + 'static,
) -> Response {
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * WRITTEN_MAX_BYTES)
        .max_frame_size(FRAME_MAX_BYTES)
        .max_message_size(FRAME_MAX_BYTES)
        .protocols([SUB_PROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let problem = "the sub-protocol `mqtt` is missing";
        return (StatusCode::BAD_REQUEST, problem).into_response();
    }
    upgrade.on_upgrade(|socket| async move {
        let _held = held;
        let transport = peer.transport.name();
        let _open = hub.metrics().connection_opened(transport);
        let ended = serve(hub.clone(), WebSocketStream::new(socket), peer).await;
        hub.metrics().connection_ended(transport, ended.reason());
    })
}

/// The bytes of binary frames, in both directions. Text frames are an error.
struct WebSocketStream {
    socket: WebSocket,
    /// What is left of the frame that was received last.
    rest: Bytes,
    /// Whether the client has said that it sends no more.
    ended: bool,
}

impl WebSocketStream {
    fn new(socket: WebSocket) -> Self {
        Self {
            socket,
            rest: Bytes::new(),
            ended: false,
        }
    }

    fn socket(&mut self) -> Pin<&mut WebSocket> {
        Pin::new(&mut self.socket)
    }
}

impl AsyncRead for WebSocketStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() && !self.ended {
            match ready!(self.socket().poll_next(ctx)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                Some(Ok(Message::Text(_))) => {
                    let problem = "a text frame, where MQTT has binary ones";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, problem)));
                }
                // The answer to a ping is sent with whatever is sent or read next.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => self.ended = true,
                Some(Err(err)) => return Poll::Ready(Err(io::Error::other(err))),
            }
        }
        let count = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocketStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.socket().poll_ready(ctx)).map_err(io::Error::other)?;
        let count = bytes.len().min(WRITTEN_MAX_BYTES);
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..count]));
        self.socket()
            .start_send(message)
            .map_err(io::Error::other)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_flush(ctx).map_err(io::Error::other)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_close(ctx).map_err(io::Error::other)
    }
}

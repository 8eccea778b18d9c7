//! A stream of bytes in binary frames of a WebSocket, for brokers behind the port of HTTPS.
//!
//! Source: RFC 6455; MQTT 3.1.1 section 6.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::UrlError;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::stream::Stream;

/// The largest frame from the other side; a broker's packet may come in several.
const INCOMING_MAX_BYTES: usize = 512 * 1024;

/// How much is read at once, which is kept as long as the connection is.
const READ_BYTES: usize = 4 * 1024;

/// The largest frame to the other side.
const OUTGOING_MAX_BYTES: usize = 16 * 1024;

/// Why there is no WebSocket.
#[derive(Debug, Error)]
pub enum WebSocketError {
    /// The host or the path cannot be asked for.
    #[error("`{url}` is no address of a WebSocket")]
    Url {
        /// What was asked for.
        url: String,
    },
    /// The other side answered otherwise.
    #[error("a WebSocket was answered with status {status}")]
    Refused {
        /// The status of HTTP.
        status: u16,
    },
    /// The other side does not speak WebSocket.
    #[error("the answer is not that of a WebSocket")]
    Handshake(#[source] Box<Error>),
}

/// Opens a WebSocket over a stream; `authority` is the host with its port if that is not the usual one. The time is
/// the caller's to bound.
///
/// # Errors
/// Any [`WebSocketError`].
pub async fn open(
    stream: Stream,
    authority: &str,
    path: &str,
    protocol: &'static str,
) -> Result<Stream, WebSocketError> {
    let url = format!("ws://{authority}{path}");
    let request = url.as_str().into_client_request();
    let Ok(mut request) = request else {
        return Err(WebSocketError::Url { url });
    };
    let protocol = HeaderValue::from_static(protocol);
    request
        .headers_mut()
        .insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * OUTGOING_MAX_BYTES)
        .max_message_size(Some(INCOMING_MAX_BYTES))
        .max_frame_size(Some(INCOMING_MAX_BYTES));
    let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
    match opened.await {
        Ok((socket, _)) => Ok(Stream::new(Frames {
            socket,
            rest: Bytes::new(),
        })),
        Err(Error::Http(response)) => Err(WebSocketError::Refused {
            status: response.status().as_u16(),
        }),
        Err(Error::Url(UrlError::NoHostName | UrlError::EmptyHostName)) => {
            Err(WebSocketError::Url { url })
        }
        Err(err) => Err(WebSocketError::Handshake(Box::new(err))),
    }
}

/// Bytes over frames.
struct Frames {
    socket: WebSocketStream<Stream>,
    /// What is left of the last frame that came.
    rest: Bytes,
}

impl AsyncRead for Frames {
    fn poll_read(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(ctx)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                // The library answers pings.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                // Nothing comes behind it, whenever the other side ends what carries it.
                Some(Ok(Message::Close(_))) => return Poll::Ready(Ok(())),
                Some(Ok(Message::Text(_) | Message::Frame(_))) => {
                    let problem = "a frame that is not binary";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, problem)));
                }
                Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) | None => {
                    return Poll::Ready(Ok(()));
                }
                Some(Err(err)) => return Poll::Ready(Err(broken(err))),
            }
        }
        let size = self.rest.len().min(into.remaining());
        into.put_slice(&self.rest[..size]);
        self.rest.advance(size);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Frames {
    fn poll_write(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(ctx)).map_err(broken)?;
        let bytes = &bytes[..bytes.len().min(OUTGOING_MAX_BYTES)];
        let message = Message::Binary(Bytes::copy_from_slice(bytes));
        let sent = Pin::new(&mut self.socket).start_send(message);
        Poll::Ready(sent.map(|()| bytes.len()).map_err(broken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(ctx).map_err(broken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(ctx).map_err(broken)
    }
}

fn broken(err: Error) -> io::Error {
    match err {
        Error::Io(err) => err,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests;

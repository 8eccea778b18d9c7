//! HTTP/1.1 as a client, bounded in size and time.
//!
//! Owns one connection, which is kept while the client is and made again when it broke. Follows no redirect and keeps
//! no cookie: what is asked is asked of one host. Leaves what is asked and what answers mean to the callers:
//! identities, uploads, the hub's time.

mod body;
pub mod date;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{CONTENT_LENGTH, DATE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use wasm_edge_model::connection_string::HostAddress;
use wasm_edge_model::time::Timestamp;

pub use body::Body;

use self::body::Outgoing;
use crate::dial::{DialError, Dialer, Security};
use crate::traffic::Counter;

/// The largest head of an answer.
pub const HEAD_SIZE_MAX_BYTES: usize = 32 * 1024;

/// Whom to ask, and how long and how large answers may be.
#[derive(Debug)]
pub struct HttpOptions {
    /// What connects.
    pub dialer: Dialer,
    /// Whom.
    pub host: HostAddress,
    /// On which port.
    pub port: u16,
    /// TLS, but for tests and what is local.
    pub security: Security,
    /// Where bytes are counted.
    pub counter: Counter,
    /// How long a request may take in all, with connecting.
    pub answer_timeout: Duration,
    /// The largest body of an answer.
    pub answer_max_bytes: usize,
}

/// A client of one host.
pub struct HttpClient {
    options: HttpOptions,
    open: Option<Open>,
}

/// An open connection.
struct Open {
    sender: SendRequest<Outgoing>,
    _driver: AbortOnDropHandle<()>,
}

/// What is asked.
#[derive(Debug)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// Path and query, encoded.
    pub target: String,
    /// Beside `Host`, `User-Agent` and `Content-Length`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Body,
    /// How long it may take, if that is not the usual time.
    pub time_max: Option<Duration>,
}

/// What was answered, whatever the status is.
#[derive(Debug)]
pub struct HttpResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
    /// When the head came.
    pub answered_at: Instant,
}

/// Why there was no answer.
#[derive(Debug, Error)]
pub enum HttpError {
    /// There is no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The request cannot be one.
    #[error("`{target}` is not the path of a request")]
    Target {
        /// What was asked for.
        target: String,
    },
    /// It took too long.
    #[error("`{host}` did not answer within {} s", limit.as_secs_f32())]
    Timeout {
        /// Who.
        host: String,
        /// The limit.
        limit: Duration,
    },
    /// The connection ended or did not speak HTTP.
    #[error("the connection to `{host}` broke")]
    Broken {
        /// Whose.
        host: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The answer is too large.
    #[error("the answer of `{host}` is larger than {limit} bytes")]
    TooLarge {
        /// Whose.
        host: String,
        /// The limit.
        limit: usize,
    },
}

impl HttpRequest {
    /// A request without a body.
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: Vec::new(),
            body: Body::Empty,
            time_max: None,
        }
    }

    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl HttpResponse {
    /// What time it was at the other side when it answered.
    pub fn date(&self) -> Option<Timestamp> {
        let date = self.headers.get(DATE)?.to_str().ok()?;
        date::parse(date)
    }
}

impl HttpClient {
    /// A client that connects when it is asked something.
    pub fn new(options: HttpOptions) -> Self {
        let open = None;
        Self { options, open }
    }

    /// Asks, and reads the whole answer.
    ///
    /// A connection that was kept and broke before the request left is made again, once.
    ///
    /// # Errors
    /// Any [`HttpError`].
    ///
    /// # Cancel safety
    /// The connection is given up; the request may have arrived.
    pub async fn send(&mut self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let limit = request.time_max.unwrap_or(self.options.answer_timeout);
        let asking = self.exchange(request);
        let asked = timeout_at(Instant::now() + limit, asking).await;
        let answer = asked.unwrap_or_else(|_| {
            Err(HttpError::Timeout {
                host: self.options.host.to_string(),
                limit,
            })
        });
        if answer.is_err() {
            self.open = None;
        }
        answer
    }

    async fn exchange(&mut self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut request = self.prepared(request)?;
        // Taken out, so that it is closed if this future is dropped half-way.
        if let Some(mut open) = self.open.take().filter(|open| !open.sender.is_closed()) {
            let ready = open.sender.ready().await.is_ok();
            if ready {
                match open.sender.try_send_request(request).await {
                    Ok(response) => return self.answer(open, response).await,
                    Err(mut err) => match err.take_message() {
                        Some(unsent) => request = unsent,
                        None => return Err(self.broken(err.into_error())),
                    },
                }
            }
        }
        let mut open = self.connect().await?;
        let sent = open.sender.send_request(request).await;
        let response = sent.map_err(|source| self.broken(source))?;
        self.answer(open, response).await
    }

    fn prepared(&self, request: HttpRequest) -> Result<hyper::Request<Outgoing>, HttpError> {
        let HttpRequest {
            method,
            target,
            headers,
            body,
            ..
        } = request;
        let uri: Result<Uri, _> = target.parse();
        let Ok(uri) = uri else {
            return Err(HttpError::Target { target });
        };
        let host = match self.options.port {
            443 => self.options.host.name().to_owned(),
            port => format!("{}:{port}", self.options.host.name()),
        };
        let mut builder = hyper::Request::builder()
            .method(method)
            .uri(uri)
            .header(HOST, host)
            .header(USER_AGENT, concat!("wasm-edge/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_LENGTH, body.size_bytes());
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        let built = builder.body(Outgoing::new(body));
        Ok(built.expect("host names and numbers are values of headers"))
    }

    async fn connect(&self) -> Result<Open, HttpError> {
        let HttpOptions {
            dialer,
            host,
            port,
            security,
            counter,
            ..
        } = &self.options;
        let stream = dialer.dial(host, *port, *security, counter).await?;
        let (sender, connection) = Builder::new()
            .max_buf_size(HEAD_SIZE_MAX_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|source| self.broken(source))?;
        // What goes wrong on the connection is reported by the request and by the body as well.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Open {
            sender,
            _driver: AbortOnDropHandle::new(driver),
        })
    }

    async fn answer(
        &mut self,
        open: Open,
        response: hyper::Response<Incoming>,
    ) -> Result<HttpResponse, HttpError> {
        let answered_at = Instant::now();
        let (head, mut incoming) = response.into_parts();
        let limit = self.options.answer_max_bytes;
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|source| self.broken(source))?;
            let data: Bytes = frame.into_data().unwrap_or_default();
            if body.len() + data.len() > limit {
                let host = self.options.host.to_string();
                return Err(HttpError::TooLarge { host, limit });
            }
            body.extend_from_slice(&data);
        }
        self.open = Some(open);
        Ok(HttpResponse {
            status: head.status,
            headers: head.headers,
            body,
            answered_at,
        })
    }

    fn broken(&self, source: hyper::Error) -> HttpError {
        HttpError::Broken {
            host: self.options.host.to_string(),
            source,
        }
    }
}

#[cfg(test)]
mod tests;

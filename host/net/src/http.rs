//! HTTP/1.1 as a client, bounded in size and time.
//!
//! Owns one connection, which is kept while the client is and made again when it broke. Follows no redirect and keeps
//! no cookie: what is asked is asked of one host. Leaves what is asked and what answers mean to the callers:
//! identities, uploads, the hub's time.

pub mod answer;
mod body;
pub mod date;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{CONTENT_LENGTH, DATE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use wasm_edge_model::connection_string::HostAddress;
use wasm_edge_model::time::Timestamp;

pub use body::Body;

use self::answer::Answer;
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
#[derive(Debug)]
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
    /// How much of the body went out; counted here as it goes, read by whoever keeps a clone.
    pub sent_bytes: Arc<AtomicU64>,
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
    /// It went on too slowly.
    #[error("`{host}` sent or took next to nothing for {} s", limit.as_secs_f32())]
    Stalled {
        /// Who.
        host: String,
        /// How long.
        limit: Duration,
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
            sent_bytes: Arc::default(),
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

    /// Asks, and answers as soon as the head of the answer is there; its body is read from [`Answer`].
    ///
    /// The time for the answer counts from when the body of the request went on: it may be large and the line thin.
    ///
    /// # Errors
    /// Any [`HttpError`] but [`HttpError::TooLarge`].
    ///
    /// # Cancel safety
    /// As [`Self::send`].
    pub async fn begin(&mut self, request: HttpRequest) -> Result<Answer, HttpError> {
        let limit = request.time_max.unwrap_or(self.options.answer_timeout);
        let sent_bytes = request.sent_bytes.clone();
        let host = self.options.host.to_string();
        let mut asking = std::pin::pin!(self.ask(request));
        let mut before = 0;
        loop {
            if let Ok(asked) = timeout(limit, &mut asking).await {
                let (open, response) = asked?;
                return Ok(Answer::new(open, response, host, limit));
            }
            let sent = sent_bytes.load(Ordering::Relaxed);
            if sent == before {
                return Err(HttpError::Timeout { host, limit });
            }
            before = sent;
        }
    }

    /// Takes back the connection of an answer that was read to its end, for what is asked next.
    pub fn keep(&mut self, answer: Answer) {
        self.open = answer.into_connection();
    }

    async fn exchange(&mut self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (open, response) = self.ask(request).await?;
        let answered_at = Instant::now();
        let host = self.options.host.to_string();
        let patience = self.options.answer_timeout;
        let mut answer = Answer::new(open, response, host, patience);
        let body = answer.whole(self.options.answer_max_bytes).await?;
        let (status, headers) = (answer.status, std::mem::take(&mut answer.headers));
        self.keep(answer);
        Ok(HttpResponse {
            status,
            headers,
            body,
            answered_at,
        })
    }

    async fn ask(
        &mut self,
        request: HttpRequest,
    ) -> Result<(Open, hyper::Response<Incoming>), HttpError> {
        let mut request = self.prepared(request)?;
        // Taken out, so that it is closed if this future is dropped half-way.
        if let Some(mut open) = self.open.take().filter(|open| !open.sender.is_closed()) {
            let ready = open.sender.ready().await.is_ok();
            if ready {
                match open.sender.try_send_request(request).await {
                    Ok(response) => return Ok((open, response)),
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
        Ok((open, response))
    }

    fn prepared(&self, request: HttpRequest) -> Result<hyper::Request<Outgoing>, HttpError> {
        let HttpRequest {
            method,
            target,
            headers,
            body,
            sent_bytes,
            ..
        } = request;
        let uri: Result<Uri, _> = target.parse();
        let Ok(uri) = uri else {
            return Err(HttpError::Target { target });
        };
        let host = match (self.options.security, self.options.port) {
            (Security::Tls, 443) | (Security::Plain, 80) => self.options.host.name().to_owned(),
            (_, port) => format!("{}:{port}", self.options.host.name()),
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
        let built = builder.body(Outgoing::new(body, sent_bytes));
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

    fn broken(&self, source: hyper::Error) -> HttpError {
        HttpError::Broken {
            host: self.options.host.to_string(),
            source,
        }
    }
}

#[cfg(test)]
mod tests;

//! Talks to a running device over `control.sock` in its data folder: HTTP/1.1, one connection per request.
//!
//! What comes back is not trusted: it is bounded in size and time, and a wrong answer is an error that names what was
//! wrong. Which process to talk to is `live`'s matter, what to ask is the commands'.

pub(crate) mod answer;
pub(crate) mod lines;
pub(crate) mod socket;
pub(crate) mod target;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, IF_MATCH, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use self::answer::Refusal;
use self::lines::Lines;
use self::socket::DataFolder;
use self::target::Target;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// The largest body of an answer that is one document. A full page of twins is well below.
pub(crate) const BODY_SIZE_MAX_BYTES: usize = 16 << 20;
/// How long a device may take until an answer's head, and from there to the end of a document.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// How long connecting may take; the other end is on this machine.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// The largest head of an answer.
const HEAD_SIZE_MAX_BYTES: usize = 64 << 10;

/// Why a running device could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The data folder cannot be opened.
    #[error("cannot open the data folder `{}`", path.display())]
    DataFolder {
        /// As given.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No process listens there.
    #[error("no device is running in `{}`", path.display())]
    NotListening {
        /// The data folder.
        path: PathBuf,
    },
    /// The socket is there, and cannot be connected to.
    #[error("cannot connect to the device in `{}`", path.display())]
    Connect {
        /// The data folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The device takes too long.
    #[error("the device did not {what} within {} s", limit.as_secs())]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
    },
    /// The connection ended or did not speak HTTP.
    #[error("the connection to the device broke")]
    Broken(#[source] hyper::Error),
    /// A document above [`BODY_SIZE_MAX_BYTES`].
    #[error("the device's answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// A line of a stream above [`lines::LINE_SIZE_MAX_BYTES`].
    #[error("the device sent a line of more than {limit} bytes")]
    LineTooLong {
        /// The limit.
        limit: usize,
    },
    /// Not the JSON that was expected.
    #[error("the device's answer is not the expected JSON")]
    NotJson(#[source] serde_json::Error),
    /// The device answered with an error.
    #[error("{0}")]
    Refused(Refusal),
}

/// A connection factory to one running device.
#[derive(Debug)]
pub(crate) struct Client {
    folder: DataFolder,
    /// [`ANSWER_TIME_MAX`] but in tests.
    answer_time_max: Duration,
}

/// A connection in use: what it answered is read through it, and dropping it closes it.
#[derive(Debug)]
struct Exchange {
    response: Response<Incoming>,
    driver: AbortOnDropHandle<()>,
    /// How long the rest of a document may take.
    time_max: Duration,
}

impl Client {
    /// A client of the device whose data folder this is; connects at each request.
    ///
    /// # Errors
    /// [`ClientError::DataFolder`].
    pub(crate) fn open(data_folder: &Path) -> Result<Self, ClientError> {
        let folder = DataFolder::open(data_folder).map_err(|source| ClientError::DataFolder {
            path: data_folder.to_owned(),
            source,
        })?;
        Ok(Self {
            folder,
            answer_time_max: ANSWER_TIME_MAX,
        })
    }

    /// Reads one JSON document.
    ///
    /// # Errors
    /// Any [`ClientError`] but [`ClientError::DataFolder`] and [`ClientError::LineTooLong`].
    pub(crate) async fn get(&self, target: &Target) -> Result<Value, ClientError> {
        let exchange = self.exchange(Method::GET, target, None, None).await?;
        exchange.document().await
    }

    /// Sends a merge patch and reads the document that it led to; with `etag`, only if that is still the current one.
    ///
    /// # Errors
    /// As [`Client::get`]; a changed etag is [`ClientError::Refused`] with status 412.
    pub(crate) async fn patch(
        &self,
        target: &Target,
        patch: &Value,
        etag: Option<&str>,
    ) -> Result<Value, ClientError> {
        let exchange = self
            .exchange(Method::PATCH, target, Some(patch), etag)
            .await?;
        exchange.document().await
    }

    /// Posts JSON text, or nothing, and reads the document that it led to; the device may take so long for it.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn post(
        &self,
        target: &Target,
        json: Option<String>,
        answer_time_max: Duration,
    ) -> Result<Value, ClientError> {
        let request = request(Method::POST, target, json, None);
        let exchange = self.exchange_within(request, answer_time_max).await?;
        exchange.document().await
    }

    /// Opens a stream of JSON lines, which lasts as long as the device wants.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn stream(&self, target: &Target) -> Result<Lines, ClientError> {
        let exchange = self.exchange(Method::GET, target, None, None).await?;
        Ok(Lines::new(exchange.response, exchange.driver))
    }

    async fn exchange(
        &self,
        method: Method,
        target: &Target,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Exchange, ClientError> {
        let request = request(method, target, body.map(Value::to_string), etag);
        self.exchange_within(request, self.answer_time_max).await
    }

    async fn exchange_within(
        &self,
        request: Request<Full<Bytes>>,
        answer_time_max: Duration,
    ) -> Result<Exchange, ClientError> {
        let (mut sender, driver) = self.connect().await?;
        let response = within(answer_time_max, "answer", sender.send_request(request))
            .await?
            .map_err(ClientError::Broken)?;
        let exchange = Exchange {
            response,
            driver,
            time_max: self.answer_time_max,
        };
        if exchange.response.status().is_success() {
            return Ok(exchange);
        }
        Err(exchange.refusal().await)
    }

    async fn connect(
        &self,
    ) -> Result<(SendRequest<Full<Bytes>>, AbortOnDropHandle<()>), ClientError> {
        let connecting = UnixStream::connect(self.folder.socket_path());
        let stream = within(CONNECT_TIME_MAX, "accept the connection", connecting).await?;
        let path = || self.folder.path().to_owned();
        let stream = stream.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NotListening { path: path() }
            }
            _ => ClientError::Connect {
                path: path(),
                source,
            },
        })?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_SIZE_MAX_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(ClientError::Broken)?;
        // What goes wrong on the connection is reported by the request and by the body as well.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok((sender, AbortOnDropHandle::new(driver)))
    }
}

impl Exchange {
    /// The document; null where the answer is that there is nothing to say.
    async fn document(self) -> Result<Value, ClientError> {
        let empty = self.response.status() == StatusCode::NO_CONTENT;
        let bytes = self.body().await?;
        if empty && bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(ClientError::NotJson)
    }

    async fn refusal(self) -> ClientError {
        let status = self.response.status();
        let code = self.response.headers().get("iothub-errorcode");
        let code = code.and_then(|code| code.to_str().ok()).map(str::to_owned);
        match self.body().await {
            Ok(body) => ClientError::Refused(Refusal::parse(status, code, &body)),
            // The status says more than how reading its explanation failed.
            Err(_) => ClientError::Refused(Refusal::parse(status, code, b"")),
        }
    }

    async fn body(self) -> Result<Vec<u8>, ClientError> {
        let Self {
            response,
            driver,
            time_max,
        } = self;
        let reading = async {
            let (mut body, mut bytes) = (response.into_body(), Vec::new());
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(ClientError::Broken)?.into_data() else {
                    continue;
                };
                if bytes.len() + data.len() > BODY_SIZE_MAX_BYTES {
                    return Err(ClientError::TooLarge {
                        limit: BODY_SIZE_MAX_BYTES,
                    });
                }
                bytes.extend_from_slice(&data);
            }
            Ok(bytes)
        };
        let bytes = within(time_max, "finish its answer", reading).await?;
        drop(driver);
        bytes
    }
}

impl From<ClientError> for Failure {
    fn from(err: ClientError) -> Self {
        let start =
            "start one with `wasm-edge run FILE`, or name its data folder with `--data-dir DIR`";
        let (status, hint) = match err {
            ClientError::Refused(refusal) => return refusal.into(),
            ClientError::NotListening { .. } | ClientError::DataFolder { .. } => {
                (ExitStatus::NotRunning, Some(start))
            }
            ClientError::Connect { .. } => (
                ExitStatus::NotRunning,
                Some("the socket is open to the user that runs the device only"),
            ),
            ClientError::Timeout { .. } | ClientError::Broken(_) => (ExitStatus::NotRunning, None),
            ClientError::TooLarge { .. }
            | ClientError::LineTooLong { .. }
            | ClientError::NotJson(_) => (
                ExitStatus::Failure,
                Some("is the device of the same version as this command?"),
            ),
        };
        let failure = Self::new(status, err.to_string());
        let failure = match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        };
        match err {
            ClientError::DataFolder { source, .. } | ClientError::Connect { source, .. } => {
                failure.caused_by(source)
            }
            ClientError::Broken(source) => failure.caused_by(source),
            ClientError::NotJson(source) => failure.caused_by(source),
            _ => failure,
        }
    }
}

fn request(
    method: Method,
    target: &Target,
    json: Option<String>,
    etag: Option<&str>,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri(target.as_str())
        .header(HOST, "localhost")
        .header(USER_AGENT, concat!("wasm-edge/", env!("CARGO_PKG_VERSION")));
    if let Some(etag) = etag {
        request = request.header(IF_MATCH, etag);
    }
    let bytes = match json {
        Some(json) => {
            request = request.header(CONTENT_TYPE, "application/json; charset=utf-8");
            Bytes::from(json)
        }
        None => Bytes::new(),
    };
    request
        .body(Full::new(bytes))
        .expect("targets are encoded and etags are checked where they are given")
}

async fn within<T>(
    limit: Duration,
    what: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, ClientError> {
    timeout(limit, work)
        .await
        .map_err(|_| ClientError::Timeout { what, limit })
}

#[cfg(test)]
mod tests;

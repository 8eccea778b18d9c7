//! Talks to a running process over `control.sock` in its data folder, or to a hub on the network: HTTP/1.1, one
//! connection per request.
//!
//! What comes back is not trusted: it is bounded in size and time, and a wrong answer is an error that names what was
//! wrong. Which process to talk to is `live`'s matter, what to ask is the commands'. A hub on the network is reached
//! by `far`, with credentials; the processes of this machine ask for none. Where no process holds a data folder, the
//! command may serve the same interface itself, without a socket, and ask that.

pub(crate) mod answer;
pub(crate) mod content;
mod error;
#[cfg(feature = "hub")]
pub(crate) mod far;
pub(crate) mod here;
pub(crate) mod lines;
pub(crate) mod socket;
pub(crate) mod target;

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
#[cfg(feature = "hub")]
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
#[cfg(feature = "hub")]
use hyper::header::AUTHORIZATION;
use hyper::header::{CONTENT_TYPE, HOST, IF_MATCH, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use self::answer::Refusal;
use self::content::Content;
pub(crate) use self::error::{ClientError, Peer};
#[cfg(feature = "hub")]
use self::far::FarHub;
use self::here::Here;
use self::lines::Lines;
use self::socket::DataFolder;
use self::target::Target;

/// The largest body of an answer that is one document. A full page of twins is well below.
pub(crate) const BODY_SIZE_MAX_BYTES: usize = 16 << 20;
/// How long a device may take until an answer's head, and from there to the end of a document.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// How long connecting may take where the other end is on this machine.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long connecting may take where it is not: finding the address, TCP and TLS.
#[cfg(feature = "hub")]
pub(crate) const CONNECT_TIME_MAX_FAR: Duration = Duration::from_secs(15);
/// The largest head of an answer.
const HEAD_SIZE_MAX_BYTES: usize = 64 << 10;

/// A connection factory to one process or hub.
#[derive(Debug)]
pub(crate) struct Client {
    way: Way,
    /// [`ANSWER_TIME_MAX`] but in tests.
    answer_time_max: Duration,
}

/// How the other end is reached.
#[derive(Debug)]
enum Way {
    /// By the socket in a data folder.
    Near(DataFolder),
    /// In this process.
    Here(Here),
    /// By TLS.
    #[cfg(feature = "hub")]
    Far(Box<FarHub>),
}

/// The body of a request.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What is asked beside the target.
#[derive(Debug, Default)]
pub(crate) struct Ask<'a> {
    /// The body, JSON text.
    pub(crate) json: Option<String>,
    /// A body that is sent as it is read, in place of JSON.
    pub(crate) stream: Option<Body>,
    /// The value of `If-Match`.
    pub(crate) etag: Option<&'a str>,
    /// Further headers; their values are what a header can hold.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// How long the answer may take, if not as long as usual.
    pub(crate) answer_time_max: Option<Duration>,
}

/// A document with what its head says.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The document; null where there is none.
    pub(crate) document: Value,
    #[cfg(feature = "hub")]
    head: HeaderMap,
}

/// A connection in use: what it answered is read through it, and dropping it closes it.
#[derive(Debug)]
struct Exchange {
    response: Response<Incoming>,
    driver: AbortOnDropHandle<()>,
    peer: Peer,
    /// How long the rest of a document may take.
    time_max: Duration,
}

impl Client {
    /// A client of the process whose data folder this is; connects at each request.
    ///
    /// # Errors
    /// [`ClientError::DataFolder`].
    pub(crate) fn open(data_folder: &Path) -> Result<Self, ClientError> {
        let folder = DataFolder::open(data_folder).map_err(|source| ClientError::DataFolder {
            path: data_folder.to_owned(),
            source,
        })?;
        Ok(Self::over(Way::Near(folder)))
    }

    /// A client of what this process serves without a socket.
    pub(crate) fn of_here(here: Here) -> Self {
        Self::over(Way::Here(here))
    }

    /// A client of a hub on the network; connects at each request.
    #[cfg(feature = "hub")]
    pub(crate) fn of_hub(hub: FarHub) -> Self {
        Self::over(Way::Far(Box::new(hub)))
    }

    fn over(way: Way) -> Self {
        Self {
            way,
            answer_time_max: ANSWER_TIME_MAX,
        }
    }

    /// The hub on the network, if it is one.
    #[cfg(feature = "hub")]
    pub(crate) fn far(&self) -> Option<&FarHub> {
        match &self.way {
            Way::Near(_) | Way::Here(_) => None,
            Way::Far(hub) => Some(hub),
        }
    }

    /// Reads one JSON document.
    ///
    /// # Errors
    /// Any [`ClientError`] but [`ClientError::DataFolder`] and [`ClientError::LineTooLong`].
    pub(crate) async fn get(&self, target: &Target) -> Result<Value, ClientError> {
        let exchange = self.exchange(Method::GET, target, Ask::default()).await?;
        exchange.document().await
    }

    /// Asks anything that is answered by one JSON document, or by none.
    ///
    /// # Errors
    /// As [`Client::get`]; a changed etag is [`ClientError::Refused`] with status 412.
    pub(crate) async fn ask(
        &self,
        method: Method,
        target: &Target,
        ask: Ask<'_>,
    ) -> Result<Answer, ClientError> {
        let exchange = self.exchange(method, target, ask).await?;
        #[cfg(feature = "hub")]
        let head = exchange.response.headers().clone();
        let document = exchange.document().await?;
        Ok(Answer {
            document,
            #[cfg(feature = "hub")]
            head,
        })
    }

    /// Sends a merge patch and reads the document that it led to; with `etag`, only if that is still the current one.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub(crate) async fn patch(
        &self,
        target: &Target,
        patch: &Value,
        etag: Option<&str>,
    ) -> Result<Value, ClientError> {
        let ask = Ask {
            json: Some(patch.to_string()),
            etag,
            ..Ask::default()
        };
        Ok(self.ask(Method::PATCH, target, ask).await?.document)
    }

    /// Posts JSON text, or nothing, and reads the document that it led to, which may take so long.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn post(
        &self,
        target: &Target,
        json: Option<String>,
        answer_time_max: Duration,
    ) -> Result<Value, ClientError> {
        let ask = Ask {
            json,
            answer_time_max: Some(answer_time_max),
            ..Ask::default()
        };
        Ok(self.ask(Method::POST, target, ask).await?.document)
    }

    /// Opens a stream of JSON lines, which lasts as long as the other end wants.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn stream(&self, target: &Target) -> Result<Lines, ClientError> {
        self.stream_of(Method::GET, target, Ask::default()).await
    }

    /// Asks for content that is not held in memory as a whole.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn content(&self, target: &Target) -> Result<Content, ClientError> {
        let exchange = self.exchange(Method::GET, target, Ask::default()).await?;
        let body = exchange.response.into_body();
        Ok(Content::new(body, exchange.driver, exchange.peer))
    }

    /// Asks anything that is answered by a stream of JSON lines.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn stream_of(
        &self,
        method: Method,
        target: &Target,
        ask: Ask<'_>,
    ) -> Result<Lines, ClientError> {
        let exchange = self.exchange(method, target, ask).await?;
        Ok(Lines::new(
            exchange.response,
            exchange.driver,
            exchange.peer,
        ))
    }

    async fn exchange(
        &self,
        method: Method,
        target: &Target,
        ask: Ask<'_>,
    ) -> Result<Exchange, ClientError> {
        let peer = self.peer();
        let answer_time_max = ask.answer_time_max.unwrap_or(self.answer_time_max);
        let (mut sender, driver) = self.connect().await?;
        // Made after connecting: a token is good for a short time only.
        let request = self.request(method, target, ask);
        let asking = sender.send_request(request);
        let response = within(peer, answer_time_max, "answer", asking)
            .await?
            .map_err(|source| ClientError::Broken { peer, source })?;
        let exchange = Exchange {
            response,
            driver,
            peer,
            time_max: self.answer_time_max,
        };
        if exchange.response.status().is_success() {
            return Ok(exchange);
        }
        Err(exchange.refusal().await)
    }

    async fn connect(&self) -> Result<(SendRequest<Body>, AbortOnDropHandle<()>), ClientError> {
        match &self.way {
            Way::Here(here) => handshake(Peer::Device, here.connect()).await,
            Way::Near(folder) => {
                let connecting = UnixStream::connect(folder.socket_path());
                let what = "accept the connection";
                let stream = within(Peer::Device, CONNECT_TIME_MAX, what, connecting).await?;
                handshake(
                    Peer::Device,
                    stream.map_err(|source| unreachable(folder, source))?,
                )
                .await
            }
            #[cfg(feature = "hub")]
            Way::Far(hub) => {
                let stream = hub.connect().await.map_err(ClientError::Dial)?;
                handshake(Peer::Hub, stream).await
            }
        }
    }

    fn request(&self, method: Method, target: &Target, ask: Ask<'_>) -> Request<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(target.as_str())
            .header(USER_AGENT, concat!("wasm-edge/", env!("CARGO_PKG_VERSION")));
        request = match &self.way {
            Way::Near(_) | Way::Here(_) => request.header(HOST, "localhost"),
            #[cfg(feature = "hub")]
            Way::Far(hub) => request.header(HOST, hub.host().to_string()).header(
                AUTHORIZATION,
                hub.authorization(jiff::Timestamp::now().into()),
            ),
        };
        if let Some(etag) = ask.etag {
            request = request.header(IF_MATCH, etag);
        }
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        let body = match (ask.json, ask.stream) {
            (Some(json), _) => {
                request = request.header(CONTENT_TYPE, "application/json; charset=utf-8");
                whole(json.into())
            }
            (None, Some(stream)) => stream,
            (None, None) => whole(Bytes::new()),
        };
        request
            .body(body)
            .expect("targets are encoded, etags and headers are checked where they are given")
    }

    fn peer(&self) -> Peer {
        match &self.way {
            Way::Near(_) | Way::Here(_) => Peer::Device,
            #[cfg(feature = "hub")]
            Way::Far(_) => Peer::Hub,
        }
    }
}

#[cfg(feature = "hub")]
impl Answer {
    /// A text of the answer's head.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)?.to_str().ok()
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
        let peer = self.peer;
        // The status says more than how reading its explanation failed.
        let body = self.body().await.unwrap_or_default();
        ClientError::Refused(Refusal::parse(peer, status, code, &body))
    }

    async fn body(self) -> Result<Vec<u8>, ClientError> {
        let Self {
            response,
            driver,
            peer,
            time_max,
        } = self;
        let reading = async {
            let (mut body, mut bytes) = (response.into_body(), Vec::new());
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|source| ClientError::Broken { peer, source })?;
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                if bytes.len() + data.len() > BODY_SIZE_MAX_BYTES {
                    return Err(ClientError::TooLarge {
                        peer,
                        limit: BODY_SIZE_MAX_BYTES,
                    });
                }
                bytes.extend_from_slice(&data);
            }
            Ok(bytes)
        };
        let bytes = within(peer, time_max, "finish its answer", reading).await?;
        drop(driver);
        bytes
    }
}

/// Speaks HTTP over a stream.
async fn handshake(
    peer: Peer,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(SendRequest<Body>, AbortOnDropHandle<()>), ClientError> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_SIZE_MAX_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|source| ClientError::Broken { peer, source })?;
    // What goes wrong on the connection is reported by the request and by the body as well.
    let driver = tokio::spawn(async move { drop(connection.await) });
    Ok((sender, AbortOnDropHandle::new(driver)))
}

/// A body that is in memory.
fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn unreachable(folder: &DataFolder, source: io::Error) -> ClientError {
    let path = folder.path().to_owned();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ClientError::NotListening { path }
        }
        _ => ClientError::Connect { path, source },
    }
}

async fn within<T>(
    peer: Peer,
    limit: Duration,
    what: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, ClientError> {
    timeout(limit, work)
        .await
        .map_err(|_| ClientError::Timeout { peer, what, limit })
}

#[cfg(test)]
mod tests;

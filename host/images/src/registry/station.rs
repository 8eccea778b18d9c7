//! One place where a repository can be had: its registry, or a mirror of it.
//!
//! Owns the connections, the token and going where answers lead. What is told to the station (user, password, token)
//! is told to nobody else: not to where a redirect leads, not to where an upload goes on. Errors are read only so far
//! and only so long.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName,
    HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Method, StatusCode};
use tokio::time::timeout;
use wasm_edge_net::dial::Security;
use wasm_edge_net::http::answer::Answer;
use wasm_edge_net::http::{Body, HttpClient, HttpError, HttpOptions, HttpRequest, date};
use zeroize::Zeroizing;

use super::Registry;
use super::address::{Address, Origin};
use super::challenge::{self, Challenge};
use super::error::{Asker, RegistryError};
use super::retry::{self, RETRY_AFTER_MAX};
use super::{error, message};
use crate::credentials::Credentials;

/// How long a document may take in all: seconds even on the thinnest link, so that one that drips ends.
pub(super) const DOCUMENT_TIME_MAX: Duration = Duration::from_secs(120);

/// How much is read of an answer that is not what was asked for, to say why and to go on with the connection.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// How long that may take. It is a courtesy: after it, the status has to say enough.
const ERROR_TIME_MAX: Duration = Duration::from_secs(5);

/// The largest answer of who gives out tokens; tokens themselves have at most some kilobytes.
const TOKEN_ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How often an answer may lead on. Storage behind a registry is one step, a storage of several regions two.
const REDIRECTS_MAX: u32 = 5;

/// Connections that are kept: those to the registry, to its tokens, to its storage.
const CLIENTS_MAX: usize = 3;

/// A place where a repository can be had.
pub(super) struct Station {
    registry: Registry,
    /// The host, as settings name it.
    origin: Origin,
    /// `/v2/NAME`, with what a mirror has before the name.
    path: String,
    credentials: Credentials,
    /// The program that would have known a password.
    helper: Option<String>,
    /// What is asked for in tokens: `repository:NAME:pull`; nothing for the registry as a whole.
    scope: String,
    /// The header that was good last.
    authorization: Option<Zeroizing<String>>,
    clients: Vec<(Origin, HttpClient)>,
    /// Whether it answered before: what breaks then is worth another try.
    pub(super) has_answered: bool,
}

/// What a station is made of.
pub(super) struct StationOptions {
    pub(super) origin: Origin,
    pub(super) repository: String,
    pub(super) credentials: Credentials,
    pub(super) helper: Option<String>,
    pub(super) actions: &'static str,
}

/// A request, as often as it takes.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) address: Address,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Makes the body anew for each try.
    pub(super) body: &'a (dyn Fn() -> std::io::Result<Body> + Send + Sync),
    /// How it is named: "manifest `1.0` of `host/name`".
    pub(super) asked: &'a str,
    /// How long nothing may go on, if that is not the usual time.
    pub(super) patience: Option<Duration>,
    pub(super) sent_bytes: Arc<AtomicU64>,
}

impl<'a> Ask<'a> {
    /// A request without a body.
    pub(super) fn new(method: Method, address: Address, asked: &'a str) -> Self {
        Self {
            method,
            address,
            headers: Vec::new(),
            body: &|| Ok(Body::Empty),
            asked,
            patience: None,
            sent_bytes: Arc::default(),
        }
    }

    pub(super) fn accept(mut self, types: &'static str) -> Self {
        self.headers.push((ACCEPT, HeaderValue::from_static(types)));
        self
    }

    pub(super) fn content_type(mut self, media_type: &'static str) -> Self {
        let value = HeaderValue::from_static(media_type);
        self.headers.push((CONTENT_TYPE, value));
        self
    }
}

/// An answer, and whose connection it came over.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) answer: Answer,
    /// Where it came from in the end.
    pub(super) address: Address,
}

impl Station {
    pub(super) fn new(registry: Registry, options: StationOptions) -> Self {
        let StationOptions {
            origin,
            repository,
            credentials,
            helper,
            actions,
        } = options;
        Self {
            registry,
            origin,
            path: format!("/v2/{repository}"),
            credentials,
            helper,
            scope: match repository.is_empty() {
                true => String::new(),
                false => format!("repository:{repository}:{actions}"),
            },
            authorization: None,
            clients: Vec::new(),
            has_answered: false,
        }
    }

    /// As errors name it.
    pub(super) fn host(&self) -> String {
        self.origin.to_string()
    }

    /// `host/name`, as errors name it.
    pub(super) fn name(&self) -> String {
        let name = self.path.strip_prefix("/v2/").unwrap_or(&self.path);
        format!("{}/{name}", self.origin)
    }

    /// Whether a user was told to the registry, or to who gives out its tokens.
    pub(super) fn has_logged_in(&self) -> bool {
        self.authorization.is_some() && !self.credentials.is_anonymous()
    }

    /// An address below the repository's own.
    pub(super) fn address(&self, rest: &str) -> Address {
        Address {
            origin: self.origin.clone(),
            target: format!("{}/{rest}", self.path),
        }
    }

    /// Where a `Location` of an answer leads.
    pub(super) fn led_to(
        &self,
        from: &Address,
        answer: &Answer,
        asked: &str,
    ) -> Result<Address, RegistryError> {
        let location = answer.headers.get(LOCATION);
        let location = location.map(|location| String::from_utf8_lossy(location.as_bytes()));
        let is_plain = |origin: &Origin| self.registry.is_plain(origin);
        from.redirected(location.as_deref().unwrap_or_default(), is_plain)
            .map_err(|source| RegistryError::Redirect {
                host: from.origin.to_string(),
                asked: asked.to_owned(),
                source,
            })
    }

    /// Asks, signs in if that is wanted, and goes where the answer leads. Answers what is not an error by its status.
    pub(super) async fn ask(&mut self, ask: &Ask<'_>) -> Result<Answered, RegistryError> {
        let follows = [Method::GET, Method::HEAD].contains(&ask.method);
        let mut address = ask.address.clone();
        let mut redirects = 0;
        let mut signed_in = false;
        loop {
            let answered = self.send(ask, &address).await?;
            let status = answered.answer.status;
            self.has_answered = true;
            if status == StatusCode::UNAUTHORIZED && address.origin == self.origin && !signed_in {
                signed_in = true;
                self.sign_in(answered, ask.asked).await?;
            } else if is_redirect(status) && follows {
                redirects += 1;
                if redirects > REDIRECTS_MAX {
                    return Err(RegistryError::Redirects {
                        asked: ask.asked.to_owned(),
                        limit: REDIRECTS_MAX,
                    });
                }
                address = self.led_to(&address, &answered.answer, ask.asked)?;
                self.finish(answered).await;
            } else if status.is_success() {
                return match encoding(&answered.answer) {
                    None => Ok(answered),
                    Some(encoding) => Err(RegistryError::Encoded {
                        asked: ask.asked.to_owned(),
                        encoding,
                    }),
                };
            } else {
                return Err(self.refused(answered, ask.asked).await);
            }
        }
    }

    /// Takes back the connection of an answer that was read, or of whose rest there is not much.
    pub(super) async fn finish(&mut self, answered: Answered) {
        let Answered {
            mut answer,
            address,
        } = answered;
        let _ = timeout(ERROR_TIME_MAX, answer.whole(ERROR_BYTES_MAX)).await;
        let mut clients = self.clients.iter_mut();
        if let Some((_, client)) = clients.find(|(origin, _)| *origin == address.origin) {
            client.keep(answer);
        }
    }

    async fn send(&mut self, ask: &Ask<'_>, address: &Address) -> Result<Answered, RegistryError> {
        let body = (ask.body)().map_err(|source| RegistryError::Source {
            asked: ask.asked.to_owned(),
            source,
        })?;
        let mut request = HttpRequest::new(ask.method.clone(), address.target.clone());
        request.headers.clone_from(&ask.headers);
        request.body = body;
        request.time_max = ask.patience;
        request.sent_bytes = ask.sent_bytes.clone();
        if address.origin == self.origin
            && let Some(authorization) = &self.authorization
        {
            request = request.header(AUTHORIZATION, secret(authorization));
        }
        let answer = self.begin(&address.origin, request, ask.asked).await?;
        Ok(Answered {
            answer,
            address: address.clone(),
        })
    }

    async fn begin(
        &mut self,
        origin: &Origin,
        request: HttpRequest,
        asked: &str,
    ) -> Result<Answer, RegistryError> {
        // Nothing is decoded here: what is stored is what a digest names.
        let request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let begun = self.client(origin).await?.begin(request).await;
        begun.map_err(|source| match source {
            HttpError::Broken {
                source: ref err, ..
            } if err.is_parse() && origin.security == Security::Plain => RegistryError::NotHttp {
                asked: asked.to_owned(),
                source,
            },
            source => failed(asked, source),
        })
    }

    async fn client(&mut self, origin: &Origin) -> Result<&mut HttpClient, RegistryError> {
        let at = match self.clients.iter().position(|(known, _)| known == origin) {
            Some(at) => at,
            None => {
                let client = HttpClient::new(HttpOptions {
                    dialer: self.registry.dialer(origin, &self.origin).await?,
                    host: origin.host.clone(),
                    port: origin.port,
                    security: origin.security,
                    counter: self.registry.counter(),
                    answer_timeout: self.registry.patience,
                    answer_max_bytes: ERROR_BYTES_MAX,
                });
                if self.clients.len() == CLIENTS_MAX {
                    self.clients.remove(0);
                }
                self.clients.push((origin.clone(), client));
                self.clients.len() - 1
            }
        };
        Ok(&mut self.clients[at].1)
    }

    /// Finds out what has to be said to the registry, which wants to know who asks.
    async fn sign_in(&mut self, answered: Answered, asked: &str) -> Result<(), RegistryError> {
        let offered = answered.answer.headers.get_all(WWW_AUTHENTICATE).iter();
        let offered = challenge::read(offered.map(HeaderValue::as_bytes));
        let bearer = offered.iter().find_map(|challenge| match challenge {
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => Some((realm.clone(), service.clone(), scope.clone())),
            Challenge::Basic => None,
        });
        if let Some((realm, service, scope)) = bearer {
            self.finish(answered).await;
            let query = challenge::query(service.as_deref(), scope.as_deref(), &self.scope);
            let token = self.token(&realm, &query, asked).await?;
            self.authorization = Some(Zeroizing::new(format!("Bearer {}", token.as_str())));
            return Ok(());
        }
        let basic = self.credentials.header();
        if !offered.contains(&Challenge::Basic) {
            return Err(RegistryError::Challenge { host: self.host() });
        }
        match basic {
            Some(basic) if self.authorization.as_ref() != Some(&basic) => {
                self.finish(answered).await;
                self.authorization = Some(basic);
                Ok(())
            }
            _ => Err(self.refused(answered, asked).await),
        }
    }

    async fn token(
        &mut self,
        realm: &str,
        query: &str,
        asked: &str,
    ) -> Result<Zeroizing<String>, RegistryError> {
        let is_plain = |origin: &Origin| *origin == self.origin || self.registry.is_plain(origin);
        let realm = Address::read(realm, is_plain).map_err(|source| RegistryError::Realm {
            host: self.host(),
            source,
        })?;
        let address = realm.with_query(query);
        let mut request = HttpRequest::new(Method::GET, address.target.clone());
        if let Some(basic) = self.credentials.header() {
            request = request.header(AUTHORIZATION, secret(&basic));
        }
        let answer = self.begin(&address.origin, request, asked).await?;
        let host = address.origin.to_string();
        let mut answered = Answered { answer, address };
        if answered.answer.status != StatusCode::OK {
            return Err(self.refused(answered, asked).await);
        }
        let reading = answered.answer.whole(TOKEN_ANSWER_BYTES_MAX);
        let body = in_time(reading, &host)
            .await
            .map_err(|source| failed(asked, source))?;
        self.finish(answered).await;
        challenge::token(&body).ok_or(RegistryError::Token { host })
    }

    /// As whom it is asked.
    fn asker(&self) -> Asker {
        match (&self.credentials, &self.helper) {
            (
                Credentials::Basic {
                    username, source, ..
                },
                _,
            ) => Asker::User {
                name: username.clone(),
                source: source.clone(),
            },
            (Credentials::Anonymous, Some(helper)) => Asker::Helped(helper.clone()),
            (Credentials::Anonymous, None) => Asker::Nobody,
        }
    }

    /// What an answer that is none comes to.
    pub(super) async fn refused(&mut self, answered: Answered, asked: &str) -> RegistryError {
        let Answered {
            mut answer,
            address,
        } = answered;
        let status = answer.status.as_u16();
        let date = answer.headers.get(hyper::header::DATE);
        let date = date.and_then(|date| date::parse(date.to_str().ok()?));
        let retry_after = answer.headers.get(RETRY_AFTER);
        let retry_after =
            retry_after.and_then(|value| retry::retry_after(value.to_str().ok()?, date));
        let is_plain_text = encoding(&answer).is_none();
        let reading = timeout(ERROR_TIME_MAX, answer.whole(ERROR_BYTES_MAX));
        let body = match reading.await {
            Ok(Ok(body)) if is_plain_text => body,
            _ => Vec::new(),
        };
        let message = message::read(&body);
        let is_plain = address.origin.security == Security::Plain;
        let wants_tls = status == 400 && is_plain && message::wants_tls(&body);
        self.finish(Answered {
            answer,
            address: address.clone(),
        })
        .await;
        let asked = asked.to_owned();
        match (status, retry_after) {
            _ if wants_tls => RegistryError::WantsTls {
                host: address.origin.to_string(),
                asked,
            },
            (401 | 403, _) => RegistryError::Unauthorized {
                host: address.origin.to_string(),
                asked,
                asker: Box::new(self.asker()),
                message,
            },
            (404, _) => RegistryError::NotFound { asked, message },
            (status, Some(wait)) if wait > RETRY_AFTER_MAX && error::is_passing(status) => {
                RegistryError::Wait {
                    asked,
                    wait,
                    message,
                }
            }
            (status, retry_after) => RegistryError::Status {
                asked,
                status,
                message,
                retry_after,
            },
        }
    }
}

impl RegistryError {
    /// How long it asks to wait before another try.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Wait { wait, .. } => Some(*wait),
            _ => None,
        }
    }
}

/// The error of a request.
pub(super) fn failed(asked: &str, source: HttpError) -> RegistryError {
    RegistryError::Http {
        asked: asked.to_owned(),
        source,
    }
}

/// Reads a document within the time that one may take in all.
pub(super) async fn in_time<T>(
    reading: impl Future<Output = Result<T, HttpError>>,
    host: &str,
) -> Result<T, HttpError> {
    let read = timeout(DOCUMENT_TIME_MAX, reading).await;
    read.unwrap_or_else(|_| {
        Err(HttpError::Timeout {
            host: host.to_owned(),
            limit: DOCUMENT_TIME_MAX,
        })
    })
}

/// Without TLS where a station has none.
pub(super) fn security(is_plain: bool) -> Security {
    match is_plain {
        true => Security::Plain,
        false => Security::Tls,
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn encoding(answer: &Answer) -> Option<String> {
    let encoding = answer.headers.get(CONTENT_ENCODING)?;
    let encoding = String::from_utf8_lossy(encoding.as_bytes());
    let is_none = encoding.is_empty() || encoding.eq_ignore_ascii_case("identity");
    (!is_none).then(|| encoding.chars().take(40).collect())
}

/// A header that is shown nowhere.
fn secret(value: &str) -> HeaderValue {
    let made = HeaderValue::from_str(value);
    let mut value = made.expect("tokens and Base64 are visible letters");
    value.set_sensitive(true);
    value
}

//! The modules of a device in its hub's identity registry, over HTTPS, with the device's own credential.
//!
//! Owns the requests, and the kept connection. What answers mean is pure and in `answer`. Leaves when to ask to
//! [`super::identities`].
//!
//! Source: Azure IoT Hub, "Service REST API: modules", as the identity service of IoT Edge uses it for its device.

mod answer;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::Method;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, IF_MATCH};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use percent_encoding::utf8_percent_encode;
use serde_json::{Value, json};
use wasm_edge_model::error::chain;
use wasm_edge_model::identity::ModuleIdentity;
use wasm_edge_model::percent::RESERVED;
use wasm_edge_model::shared_access::{self, SharedKey};
use wasm_edge_model::time::Timestamp;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::dial::{Dialer, Security};
use wasm_edge_net::http::{Body, HttpClient, HttpOptions, HttpRequest, HttpResponse};
use wasm_edge_net::traffic::Counter;

use self::answer::{Asked, Found};
use super::identities::{IdentityRegistry, ModuleKeys, RegisteredModule};
use super::{Assignment, DeviceCredential};
use crate::timekeeping;
use crate::upstream::UpstreamError;

/// The version that the identity service of IoT Edge asks for.
const API_VERSION: &str = "2017-11-08-preview";

/// How long a token is good for, as that service has it: a request is made at once.
const TOKEN_LIFE: Duration = Duration::from_secs(30);

/// How long an answer may take, with connecting.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest answer: an identity has one or two kilobytes.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Whom to ask, and as whom.
pub struct RestOptions {
    /// Which hub, and which device this is.
    pub assignment: Assignment,
    /// How the device shows that it is it.
    pub credential: DeviceCredential,
    /// What connects; with the device's certificate, if it has one.
    pub dialer: Dialer,
    /// The time that tokens are made by.
    pub clock: HubClock,
    /// Whether the hub's time is taken over when it refuses a token and its time is another.
    pub time_from_hub: bool,
    /// Where bytes are counted.
    pub counter: Counter,
}

/// The modules of a device in its hub's identity registry.
pub struct RestRegistry {
    rest: Arc<Rest>,
}

struct Rest {
    options: RestOptions,
    /// The client that is not in use; whoever asks takes it and puts it back.
    client: Mutex<Option<HttpClient>>,
}

impl RestRegistry {
    /// Connects when something is asked.
    pub fn new(options: RestOptions) -> Self {
        let client = Mutex::new(None);
        Self {
            rest: Arc::new(Rest { options, client }),
        }
    }
}

impl IdentityRegistry for RestRegistry {
    fn read(
        &self,
        module: ModuleIdentity,
    ) -> BoxFuture<'static, Result<Option<RegisteredModule>, UpstreamError>> {
        let rest = Arc::clone(&self.rest);
        Box::pin(async move {
            match rest.ask(Asked::Read, &module, None).await? {
                Found::Identity(found) => Ok(Some(found)),
                Found::Nothing => Ok(None),
            }
        })
    }

    fn create(
        &self,
        module: ModuleIdentity,
    ) -> BoxFuture<'static, Result<Option<RegisteredModule>, UpstreamError>> {
        let rest = Arc::clone(&self.rest);
        Box::pin(async move {
            let body = json!({
                "deviceId": module.device.as_str(),
                "moduleId": module.module.as_str(),
            });
            match rest.ask(Asked::Create, &module, Some(body)).await? {
                Found::Identity(made) => Ok(Some(made)),
                Found::Nothing => Ok(None),
            }
        })
    }

    fn set_keys(
        &self,
        module: ModuleIdentity,
        keys: ModuleKeys,
    ) -> BoxFuture<'static, Result<Option<String>, UpstreamError>> {
        let rest = Arc::clone(&self.rest);
        Box::pin(async move {
            let body = json!({
                "deviceId": module.device.as_str(),
                "moduleId": module.module.as_str(),
                "authentication": {
                    "type": "sas",
                    "symmetricKey": {
                        "primaryKey": keys.primary.as_base64(),
                        "secondaryKey": keys.secondary.as_base64(),
                    },
                },
            });
            match rest.ask(Asked::SetKeys, &module, Some(body)).await? {
                Found::Identity(found) => Ok(Some(found.generation_id)),
                Found::Nothing => Ok(None),
            }
        })
    }

    fn delete(&self, module: ModuleIdentity) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let rest = Arc::clone(&self.rest);
        Box::pin(async move {
            rest.ask(Asked::Delete, &module, None).await?;
            Ok(())
        })
    }
}

impl Rest {
    async fn ask(
        &self,
        asked: Asked,
        module: &ModuleIdentity,
        body: Option<Value>,
    ) -> Result<Found, UpstreamError> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        let mut response = self.exchange(asked, module, body.clone()).await?;
        if self.takes_time_over(&response) {
            response = self.exchange(asked, module, body).await?;
        }
        let HttpResponse {
            status,
            headers,
            body,
            ..
        } = &response;
        answer::judge(asked, &module.module, *status, headers, body)
    }

    async fn exchange(
        &self,
        asked: Asked,
        module: &ModuleIdentity,
        body: Option<Bytes>,
    ) -> Result<HttpResponse, UpstreamError> {
        let mut client = self.client().take().unwrap_or_else(|| self.new_client());
        let sent = client.send(self.request(asked, module, body)).await;
        *self.client() = Some(client);
        sent.map_err(|err| UpstreamError::Unreachable { cause: chain(&err) })
    }

    fn request(&self, asked: Asked, module: &ModuleIdentity, body: Option<Bytes>) -> HttpRequest {
        let method = match asked {
            Asked::Read => Method::GET,
            Asked::Create | Asked::SetKeys => Method::PUT,
            Asked::Delete => Method::DELETE,
        };
        let mut request = HttpRequest::new(method, target(module));
        if let Some(authorization) = self.authorization() {
            request = request.header(AUTHORIZATION, authorization);
        }
        if matches!(asked, Asked::SetKeys | Asked::Delete) {
            // Whatever version it has: these keys are the device's own matter.
            request = request.header(IF_MATCH, HeaderValue::from_static("*"));
        }
        if let Some(body) = body {
            let json = HeaderValue::from_static("application/json");
            request = request.header(CONTENT_TYPE, json);
            request.body = Body::Bytes(body);
        }
        request
    }

    /// Nothing for a certificate, which the connection shows.
    fn authorization(&self) -> Option<HeaderValue> {
        let RestOptions {
            assignment,
            credential,
            clock,
            ..
        } = &self.options;
        let DeviceCredential::Key(key) = credential else {
            return None;
        };
        let mut value = HeaderValue::try_from(token(assignment, key, clock.now()))
            .expect("everything in a token is encoded");
        value.set_sensitive(true);
        Some(value)
    }

    /// Whether the hub refused a token that its own clock makes too old or too new, and its time holds from now on.
    fn takes_time_over(&self, response: &HttpResponse) -> bool {
        let RestOptions {
            clock,
            time_from_hub,
            credential,
            ..
        } = &self.options;
        if !time_from_hub || *credential == DeviceCredential::Certificate {
            return false;
        }
        time_of_refusal(response)
            .is_some_and(|date| timekeeping::correct(clock, date, response.answered_at.elapsed()))
    }

    fn new_client(&self) -> HttpClient {
        HttpClient::new(HttpOptions {
            dialer: self.options.dialer.clone(),
            host: self.options.assignment.address().clone(),
            port: self.options.assignment.https_port,
            security: Security::Tls,
            counter: self.options.counter.clone(),
            answer_timeout: ANSWER_TIMEOUT,
            answer_max_bytes: ANSWER_MAX_BYTES,
        })
    }

    fn client(&self) -> std::sync::MutexGuard<'_, Option<HttpClient>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token of the device's own, for one request.
fn token(assignment: &Assignment, key: &SharedKey, now: Timestamp) -> String {
    let resource = format!("{}/devices/{}", assignment.hub.name(), assignment.device);
    shared_access::sign(key, &resource, now.after(TOKEN_LIFE), None)
}

/// Where a request about an identity goes.
fn target(module: &ModuleIdentity) -> String {
    let encode = |id| utf8_percent_encode(id, RESERVED);
    format!(
        "/devices/{}/modules/{}?api-version={API_VERSION}",
        encode(module.device.as_str()),
        encode(module.module.as_str()),
    )
}

/// The hub's time, if it refused a token.
fn time_of_refusal(response: &HttpResponse) -> Option<Timestamp> {
    response.date().filter(|_| response.status == 401)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, StatusCode};
    use wasm_edge_model::connection_string::HostAddress;

    use super::*;

    #[test]
    fn ids_are_encoded_in_paths_and_signed_in_tokens() {
        let module = "/devices/d#1/modules/$edgeAgent".parse().unwrap();
        assert_eq!(
            target(&module),
            "/devices/d%231/modules/%24edgeAgent?api-version=2017-11-08-preview"
        );
        let assignment = Assignment {
            hub: HostAddress::parse("hub.example:8883").unwrap(),
            gateway: None,
            device: module.device,
            mqtt_port: 8883,
            https_port: 443,
        };
        let key = SharedKey::from_bytes(&[7; 32]).unwrap();
        let now = Timestamp::from_unix_millis(1_800_000_000_000);
        let token = token(&assignment, &key, now);
        let token = shared_access::SharedAccessSignature::parse(&token).unwrap();
        assert_eq!(token.signed_resource(), "hub.example%2Fdevices%2Fd%231");
        assert_eq!(token.expires_at().unix_millis(), 1_800_000_030_000);
        assert!(token.is_signed_with(&key) && token.policy().is_none());
    }

    #[test]
    fn only_a_refusal_far_from_our_time_speaks_against_our_clock() {
        let check = |status: u16, date: &str, ours_secs: i64, expected: Option<i64>| {
            let mut headers = HeaderMap::new();
            headers.insert("date", date.parse().unwrap());
            let response = HttpResponse {
                status: StatusCode::from_u16(status).unwrap(),
                headers,
                body: Vec::new(),
                answered_at: tokio::time::Instant::now(),
            };
            let ours = Timestamp::from_unix_millis(ours_secs * 1000);
            let found = time_of_refusal(&response)
                .and_then(|theirs| timekeeping::difference_ms(theirs, ours));
            assert_eq!(found, expected, "{date}");
        };
        // 1 January 2027 is 1,798,761,600 s after 1970.
        let date = "Fri, 01 Jan 2027 00:00:00 GMT";
        check(401, date, 1_798_761_600, None);
        check(401, date, 1_798_761_300, None);
        check(401, date, 1_798_761_299, Some(301_000));
        check(401, date, 1_798_765_200, Some(-3_600_000));
        check(401, date, 0, Some(1_798_761_600_000));
        check(200, date, 0, None);
        check(403, date, 0, None);
        check(401, "yesterday", 0, None);
    }
}

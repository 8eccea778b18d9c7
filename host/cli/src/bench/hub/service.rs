//! The service's side of the load: identities made and deleted in bulk, and twins read, over HTTPS.
//!
//! Owns the connection string and the tokens of service and devices. Leaves what devices do to the other loads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use wasm_edge_model::shared_access::{self, SharedKey};

use super::connection::{Endpoint, Login};
use super::load::{Timing, all};
use super::process::Process;
use super::readings::{Readings, Span, Taken};

/// The version of the API that the service SDKs ask for.
const API_VERSION: &str = "2021-04-12";

/// The most identities of one bulk call.
const BULK_MAX: usize = 100;

/// How long tokens are good: longer than any load.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The length of a device's key.
const KEY_BYTES: usize = 32;

/// The service side of a hub.
pub(super) struct Service {
    /// Where its REST is.
    pub(super) endpoint: Endpoint,
    /// The hub's name, in resources and user names.
    pub(super) host_name: String,
    /// The `Authorization` header.
    pub(super) token: String,
}

/// A kept connection to the service API.
pub(super) struct Caller {
    sender: SendRequest<Full<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

/// A token for a resource, with the name of a policy if it is the service's.
pub(super) fn token(resource: &str, key: &SharedKey, policy: Option<&str>) -> String {
    let expires_at = Timestamp::now() + TOKEN_LIFE;
    shared_access::sign(key, resource, expires_at.into(), policy)
}

impl Service {
    /// Makes so many devices, with names that begin so; answers with what they connect with.
    pub(super) async fn make_devices(
        &self,
        prefix: &str,
        count: usize,
    ) -> anyhow::Result<Vec<Arc<Login>>> {
        let mut caller = self.caller().await?;
        let mut logins = Vec::with_capacity(count);
        let random = SystemRandom::new();
        let ids: Vec<String> = (0..count).map(|n| format!("{prefix}-{n:05}")).collect();
        for ids in ids.chunks(BULK_MAX) {
            let mut items = Vec::new();
            for id in ids {
                let mut key = [0; KEY_BYTES];
                if random.fill(&mut key).is_err() {
                    bail!("the system gives no random numbers");
                }
                let key = SharedKey::from_bytes(&key)?;
                let text = key.as_base64();
                items.push(json!({
                    "id": id, "importMode": "create", "status": "enabled",
                    "authentication": {
                        "type": "sas",
                        "symmetricKey": { "primaryKey": text, "secondaryKey": text },
                    },
                }));
                logins.push(Arc::new(self.login(id, &key)));
            }
            self.bulk(&mut caller, items).await?;
        }
        Ok(logins)
    }

    /// Deletes the devices again.
    pub(super) async fn delete_devices(&self, logins: &[Arc<Login>]) -> anyhow::Result<()> {
        let mut caller = self.caller().await?;
        for logins in logins.chunks(BULK_MAX) {
            let item = |login: &Arc<Login>| json!({ "id": login.client, "importMode": "delete" });
            self.bulk(&mut caller, logins.iter().map(item).collect())
                .await?;
        }
        Ok(())
    }

    fn login(&self, device: &str, key: &SharedKey) -> Login {
        let host = &self.host_name;
        let user = format!("{host}/{device}/?api-version={API_VERSION}");
        let password = token(&format!("{host}/devices/{device}"), key, None);
        Login {
            client: device.to_owned(),
            secret: Some((user, password)),
        }
    }

    async fn bulk(&self, caller: &mut Caller, items: Vec<Value>) -> anyhow::Result<()> {
        let body = serde_json::to_vec(&items)?;
        let (status, answer) = caller
            .ask(self, Method::POST, "/devices", Bytes::from(body))
            .await?;
        let answer = String::from_utf8_lossy(&answer);
        ensure!(
            status == StatusCode::OK,
            "bulk is answered {status}: {answer}"
        );
        let answer: Value = serde_json::from_str(&answer)?;
        ensure!(answer["isSuccessful"] == true, "bulk failed: {answer}");
        Ok(())
    }

    /// How many messages of telemetry the hub has taken since it was made.
    pub(super) async fn messages_taken(&self) -> anyhow::Result<u64> {
        let mut caller = self.caller().await?;
        let path = "/wasm-edge/v1/telemetry/status";
        let (status, answer) = caller.ask(self, Method::GET, path, Bytes::new()).await?;
        ensure!(status == StatusCode::OK, "`{path}` is answered {status}");
        let answer: Value = serde_json::from_slice(&answer)?;
        let next = answer["next"].as_u64();
        next.with_context(|| format!("`{path}` names no position: {answer}"))
    }

    /// Opens a connection that is kept.
    async fn caller(&self) -> anyhow::Result<Caller> {
        let stream = TokioIo::new(self.endpoint.open().await?);
        let (sender, connection) = http1::handshake(stream).await?;
        let driver = tokio::spawn(async move {
            // What went wrong is told to whoever asks next.
            let _ = connection.await;
        });
        Ok(Caller {
            sender,
            _driver: AbortOnDropHandle::new(driver),
        })
    }

    /// Reads twins over so many connections, one call at a time each.
    pub(super) async fn read_twins(
        self: &Arc<Self>,
        logins: &[Arc<Login>],
        connections: usize,
        timing: Timing,
        server: Option<Process>,
    ) -> anyhow::Result<Readings> {
        let span = Span::after(timing.warm_up, timing.counted);
        let mut tasks = JoinSet::new();
        for first in 0..connections.min(logins.len()) {
            let devices = logins.iter().skip(first).step_by(connections);
            let paths: Vec<_> = devices
                .map(|login| format!("/twins/{}", login.client))
                .collect();
            let service = Arc::clone(self);
            tasks.spawn(async move {
                let mut caller = service.caller().await?;
                let mut taken = Taken::default();
                for path in paths.iter().cycle() {
                    let begun = Instant::now();
                    let (status, _) = caller
                        .ask(&service, Method::GET, path, Bytes::new())
                        .await?;
                    ensure!(status == StatusCode::OK, "`{path}` is answered {status}");
                    if !span.note(begun, Instant::now(), &mut taken) {
                        break;
                    }
                }
                Ok(taken)
            });
        }
        let (done, server_time) = tokio::join!(all(tasks), span.server_time(server));
        Ok(span.readings(done?, server_time))
    }
}

impl Caller {
    async fn ask(
        &mut self,
        service: &Service,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?api-version={API_VERSION}"))
            .header(HOST, &service.host_name)
            .header(AUTHORIZATION, &service.token)
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}

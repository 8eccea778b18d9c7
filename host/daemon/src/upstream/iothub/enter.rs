//! Getting a module let in: who may try when, over which transport, with which token, and what is done when the hub
//! refuses it.
//!
//! While the hub is away one at a time tries, and what it finds out counts for all that wait; when it is there, some
//! handshakes at once are what a small board can do. A token that is refused may be right for another clock or for an
//! identity that was deleted: both are looked at, once, before the refusal counts.

use std::time::Duration;

use percent_encoding::utf8_percent_encode;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use wasm_edge_model::error::chain;
use wasm_edge_model::identity::ModuleIdentity;
use wasm_edge_model::percent::RESERVED;
use wasm_edge_model::shared_access;
use wasm_edge_model::time::Timestamp;
use wasm_edge_net::dial::{DialError, Security, WebSocketAt};
use wasm_edge_net::http::HttpOptions;
use wasm_edge_net::mqtt::{ConnectOptions, Connection, MqttError, PACKET_MAX_BYTES, Refusal};
use wasm_edge_net::stream::Stream;
use wasm_edge_net::traffic::Counter;
use zeroize::Zeroizing;

use super::Line;
use super::board::Board;
use super::complaints::Lie;
use super::line::{self, Transport};
use crate::provisioning::identities::ModuleCredential;
use crate::timekeeping::{self, CLOCK_TRAFFIC, HubTime};
use crate::upstream::UpstreamError;
use crate::upstream::backoff::Jitter;

/// Handshakes of TLS at once: one takes a small board some tens of milliseconds and memory of its own.
const HANDSHAKES_MAX: usize = 3;

/// How long the hub may be silent while it owes an answer, or take nothing of what is sent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a hub speaks WebSocket.
const WEBSOCKET: WebSocketAt<'static> = WebSocketAt {
    path: "/$iothub/websocket",
    protocol: "mqtt",
};

/// The version of the hub's interface that is spoken.
const API_VERSION: &str = "2021-04-12";

/// What the hub is told of this program.
const CLIENT_TYPE: &str = concat!("wasm-edge/", env!("CARGO_PKG_VERSION"));

/// Of a token's life, so many thousandths are used before it is renewed: at least, and at most.
const RENEW_AFTER: (u32, u32) = (800, 900);

/// Who may try to reach the hub.
pub(super) struct Admission {
    probe: Semaphore,
    handshakes: Semaphore,
}

/// A module that was let in.
pub(super) struct Entered {
    pub(super) connection: Connection,
    /// Whether the hub still knows the session of the connection before.
    pub(super) session_present: bool,
    /// The generation of the identity that was let in.
    pub(super) generation_id: String,
    pub(super) token_expires_at: Timestamp,
    /// When a new token is needed.
    pub(super) renew_at: Instant,
}

/// A token, made just now.
struct Token {
    text: Zeroizing<String>,
    expires_at: Timestamp,
    renew_at: Instant,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            probe: Semaphore::new(1),
            handshakes: Semaphore::new(HANDSHAKES_MAX),
        }
    }
}

impl Admission {
    /// Waits until it may be tried to reach the hub; an error if another one has found out meanwhile that it is away.
    async fn admit(&self, board: &Board) -> Result<SemaphorePermit<'_>, UpstreamError> {
        let never_closed = "nobody closes the semaphores";
        if !board.is_connected() {
            let seen = board.failures();
            let probe = self.probe.acquire().await.expect(never_closed);
            if !board.is_connected() {
                if let Some(err) = board.failure_after(seen) {
                    return Err(err);
                }
                if let Some(at) = board.next_try_at() {
                    wasm_edge_clock::sleep_until(at).await;
                }
                return Ok(probe);
            }
        }
        Ok(self.handshakes.acquire().await.expect(never_closed))
    }
}

impl Line {
    /// Connects as a module, in the place of the connection that is given; that one is closed once the hub was
    /// reached again, so that little time lies in between.
    pub(super) async fn enter(
        &self,
        module: &ModuleIdentity,
        mut before: Option<Connection>,
    ) -> Result<Entered, UpstreamError> {
        let _permit = self.admission.admit(&self.board).await?;
        let entered = self.enter_admitted(module, &mut before).await;
        match &entered {
            Ok(_) => {}
            Err(err) => self.board.failed(err, self.moment()),
        }
        entered
    }

    async fn enter_admitted(
        &self,
        module: &ModuleIdentity,
        before: &mut Option<Connection>,
    ) -> Result<Entered, UpstreamError> {
        let mut credential = self.options.identities.ensure(module).await?;
        let counter = self.options.ledger.counter(module.module.as_str());
        let mut may_be_the_clock = true;
        let mut may_be_the_key = true;
        loop {
            let (stream, transport) = self.reach(&counter).await?;
            if let Some(before) = before.take() {
                before.close().await;
            }
            let token = self.token(module, &credential);
            let introduced = self.introduce(module, stream, &token, &counter).await;
            let refusal = match introduced {
                Ok((connection, session_present)) => {
                    self.board.connected(&module.module, transport.name());
                    return Ok(Entered {
                        connection,
                        session_present,
                        generation_id: credential.generation_id,
                        token_expires_at: token.expires_at,
                        renew_at: token.renew_at,
                    });
                }
                Err(MqttError::Refused(refusal)) => refusal,
                Err(err) => {
                    if let MqttError::Violation(_) = err {
                        self.complain(&module.module, Lie::Packet, &chain(&err));
                    }
                    return Err(unreachable(&err));
                }
            };
            let refused = UpstreamError::Refused {
                cause: refusal.to_string(),
            };
            match refusal {
                Refusal::Unavailable => return Err(unreachable(&refusal)),
                Refusal::Credentials | Refusal::NotAuthorized => {}
                Refusal::ProtocolVersion | Refusal::ClientId => return Err(refused),
            }
            if std::mem::take(&mut may_be_the_clock) && self.correct_clock().await {
                continue;
            }
            if !std::mem::take(&mut may_be_the_key) {
                return Err(refused);
            }
            credential = match self.options.identities.renew(module, &credential).await? {
                Some(renewed) => renewed,
                None => return Err(refused),
            };
        }
    }

    /// A stream to the hub's MQTT.
    async fn reach(&self, counter: &Counter) -> Result<(Stream, Transport), UpstreamError> {
        let (first, second) = self.preference().order(Instant::now());
        let (reached, used) = match (self.dial(first, counter).await, second) {
            (Err(err), Some(second)) if line::may_be_blocked(&err) => {
                match self.dial(second, counter).await {
                    Ok(stream) => (Ok(stream), second),
                    // What hinders the usual way is what a person has to know.
                    Err(_) => (Err(err), first),
                }
            }
            (reached, _) => (reached, first),
        };
        let stream = reached.map_err(|err| unreachable(&err))?;
        self.preference()
            .led_there(used, used == first, Instant::now());
        Ok((stream, used))
    }

    async fn dial(&self, transport: Transport, counter: &Counter) -> Result<Stream, DialError> {
        let (dialer, to) = (&self.options.dialer, &self.options.assignment);
        match transport {
            Transport::Mqtt => {
                let (host, port) = (to.address(), to.mqtt_port);
                dialer.dial(host, port, Security::Tls, counter).await
            }
            Transport::MqttWs => {
                let (host, port) = (to.address(), to.https_port);
                dialer.dial_websocket(host, port, WEBSOCKET, counter).await
            }
        }
    }

    async fn introduce(
        &self,
        module: &ModuleIdentity,
        stream: Stream,
        token: &Token,
        counter: &Counter,
    ) -> Result<(Connection, bool), MqttError> {
        let hub = self.options.assignment.hub.name();
        let ModuleIdentity { device, module } = module;
        let client_type = utf8_percent_encode(CLIENT_TYPE, RESERVED);
        let options = ConnectOptions {
            client_id: format!("{device}/{module}"),
            user_name: format!(
                "{hub}/{device}/{module}/?api-version={API_VERSION}&DeviceClientType={client_type}"
            ),
            password: token.text.clone(),
            clean_session: false,
            keep_alive: self.options.settings.keep_alive,
            answer_timeout: ANSWER_TIMEOUT,
            incoming_max_bytes: PACKET_MAX_BYTES,
            outgoing_max_bytes: PACKET_MAX_BYTES,
            is_message: |topic| topic.starts_with("devices/"),
        };
        Connection::open(stream, options, counter.clone()).await
    }

    fn token(&self, module: &ModuleIdentity, credential: &ModuleCredential) -> Token {
        let life = self.options.settings.token_life;
        let hub = self.options.assignment.hub.name();
        let ModuleIdentity { device, module } = module;
        let resource = format!("{hub}/devices/{device}/modules/{module}");
        let expires_at = self.options.clock.now().after(life);
        let text = shared_access::sign(&credential.key, &resource, expires_at, None);
        let (least, most) = RENEW_AFTER;
        let renew_after = Jitter::random().between(life * least / 1000, life * most / 1000);
        Token {
            text: Zeroizing::new(text),
            expires_at,
            renew_at: Instant::now() + renew_after,
        }
    }

    /// Takes over the hub's time if it is far from ours; answers whether it did.
    async fn correct_clock(&self) -> bool {
        if !self.options.settings.time_from_hub || !self.may_ask_for_time() {
            return false;
        }
        let to = &self.options.assignment;
        let mut hub = HubTime::new(HttpOptions {
            dialer: self.options.dialer.clone(),
            host: to.address().clone(),
            port: to.https_port,
            security: Security::Tls,
            counter: self.options.ledger.counter(CLOCK_TRAFFIC),
            answer_timeout: ANSWER_TIMEOUT,
            answer_max_bytes: 0,
        });
        match hub.said().await {
            Ok(Some((said, ago))) => timekeeping::correct(&self.options.clock, said, ago),
            Ok(None) => false,
            Err(err) => {
                tracing::debug!(cause = chain(&err), "the hub did not say what time it is");
                false
            }
        }
    }
}

fn unreachable(err: &(dyn std::error::Error + 'static)) -> UpstreamError {
    UpstreamError::Unreachable { cause: chain(err) }
}

//! What is said over one connection: packets and what they mean to those who wait for them.
//!
//! Owns what is on its way: messages until they are acknowledged, requests until they are answered. Nothing of it
//! outlives the connection. Leaves what a session keeps over its connections to [`super::session`].

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::StreamExt as _;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasm_edge_model::error::chain;
use wasm_edge_model::identity::ModuleIdentity;
use wasm_edge_net::mqtt::{Connection, Incoming, MqttError, PacketId, Publication};
use wasm_edge_runtime::guest::MethodResponse;
use wasm_edge_runtime::method_payload::checked_payload;

use super::Line;
use super::calls::{Ask, Sending};
use super::complaints::Lie;
use super::enter::Entered;
use super::session::{Ends, own_answer};
use super::subscriptions::Change;
use super::topic::{self, Heard};
use super::twin::{self, Answer, Asked, Requests};
use super::window::Window;
use crate::upstream::{MethodAnswer, SessionEvent, UpstreamError};

/// How long the answer about a twin is waited for, as the official SDKs do.
const TWIN_TIME_MAX: Duration = Duration::from_secs(60);

/// How long the hub may take to acknowledge one packet while it acknowledges others. Then it counts as lost: only
/// another connection can tell.
const ACKNOWLEDGE_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a session that renews itself waits for what is on its way.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(30);

/// The largest answer to a direct method, in bytes (IoT Hub).
const METHOD_ANSWER_MAX_BYTES: usize = 128 * 1024;

/// The status that this side answers a method with whose answer is too large.
const TOO_LARGE_AN_ANSWER: u32 = 500;

/// The status that this side answers a call with that is none.
const BAD_CALL: u32 = 400;

/// What is shown of a topic that means nothing.
const TOPIC_SHOWN_CHARS: usize = 100;

/// One connection, and what is on its way over it.
pub(super) struct Talk {
    module: ModuleIdentity,
    connection: Connection,
    window: Window<Waits>,
    requests: Requests<oneshot::Sender<Answer>>,
    /// Subscriptions that the hub has not answered.
    changes: usize,
    renew_at: Instant,
    /// While it renews itself: when it is given up that all arrives.
    drain_until: Option<Instant>,
}

/// Who waits for an acknowledgement.
enum Waits {
    Message(oneshot::Sender<Result<(), UpstreamError>>),
    Change(Change, Option<oneshot::Sender<()>>),
}

/// Why the work on a connection ends.
pub(super) enum Stop {
    /// Nothing is on its way, and a new token is needed.
    Renew,
    /// The device has let go of the session.
    LetGo,
    /// It does not work any more.
    Failed(UpstreamError),
    /// The hub broke the protocol, in this way.
    Violated(String),
}

impl From<MqttError> for Stop {
    fn from(err: MqttError) -> Self {
        let cause = chain(&err);
        match err {
            MqttError::Violation(_) => Self::Violated(cause),
            _ => Self::Failed(UpstreamError::Unreachable { cause }),
        }
    }
}

impl Talk {
    /// Whose connection it is.
    pub(super) fn module(&self) -> &ModuleIdentity {
        &self.module
    }

    /// The connection, to be closed once there is another one.
    pub(super) fn into_parts(self) -> (ModuleIdentity, Connection) {
        (self.module, self.connection)
    }

    /// Says to the hub that it ends.
    pub(super) async fn close(self) {
        self.connection.close().await;
    }

    /// Begins to talk on a connection: says what the hub does not know yet.
    pub(super) fn begin(
        line: &Line,
        module: ModuleIdentity,
        entered: Entered,
        takes_methods: bool,
    ) -> Result<Self, Stop> {
        let changes = line.known(&module.module, |known| {
            known.connected(entered.session_present);
            known.changes(takes_methods)
        });
        let mut talk = Self {
            requests: Requests::new(random_id()),
            module,
            connection: entered.connection,
            window: Window::new(),
            changes: 0,
            renew_at: entered.renew_at,
            drain_until: None,
        };
        for change in changes {
            talk.change(change, None)?;
        }
        Ok(talk)
    }

    /// Works until the hub has answered all subscriptions.
    pub(super) async fn establish(
        &mut self,
        line: &Line,
        ends: &mut Ends,
        closed: &CancellationToken,
    ) -> Result<(), Stop> {
        while self.changes > 0 {
            self.step(line, ends, closed).await?;
        }
        Ok(())
    }

    /// Works until something ends it.
    pub(super) async fn work(
        &mut self,
        line: &Line,
        ends: &mut Ends,
        closed: &CancellationToken,
    ) -> Stop {
        loop {
            if let Err(stop) = self.step(line, ends, closed).await {
                return stop;
            }
        }
    }

    /// Waits for one thing to happen, and acts on it.
    async fn step(
        &mut self,
        line: &Line,
        ends: &mut Ends,
        closed: &CancellationToken,
    ) -> Result<(), Stop> {
        let due = self.look(Instant::now())?;
        let is_open = self.drain_until.is_none();
        let sends = is_open && self.window.has_room() && self.connection.has_room();
        let asks = is_open && self.requests.has_room();
        tokio::select! {
            () = closed.cancelled() => Err(Stop::LetGo),
            () = ends.events.closed() => Err(Stop::LetGo),
            incoming = self.connection.receive() => self.take(incoming?, line, ends),
            Some(sending) = ends.sends.recv(), if sends => self.send(sending),
            Some(ask) = ends.asks.recv(), if asks => self.ask(ask, line, ends),
            Some(answered) = ends.answers.next(), if !ends.answers.is_empty() => {
                let (request_id, answer) = answered;
                ends.methods.remove(&request_id);
                match answer {
                    Some(answer) => self.answer(&request_id, answer),
                    None => Ok(()),
                }
            }
            true = tell_gap(&ends.events), if ends.gap => {
                ends.gap = false;
                Ok(())
            }
            () = wasm_edge_clock::sleep_until(due) => Ok(()),
        }
    }

    /// What is due now, and when something will be.
    fn look(&mut self, now: Instant) -> Result<Instant, Stop> {
        for waits in self.requests.overdue(now) {
            let limit = TWIN_TIME_MAX.as_secs();
            // Nobody may wait any more.
            let _ = waits.send(Answer::Broken(format!(
                "it did not answer within {limit} s"
            )));
        }
        if self.drain_until.is_none() && now >= self.renew_at {
            self.drain_until = Some(now + DRAIN_TIME_MAX);
        }
        if self.drain_until.is_some() && self.window.is_empty() && self.requests.is_empty() {
            return Err(Stop::Renew);
        }
        let lost = self.window.oldest().map(|sent| sent + ACKNOWLEDGE_TIME_MAX);
        let ends = [lost, self.drain_until];
        if ends.into_iter().flatten().any(|end| end <= now) {
            return Err(Stop::Failed(UpstreamError::Unreachable {
                cause: "the hub did not acknowledge what was sent in time".to_owned(),
            }));
        }
        let renew_at = self.drain_until.is_none().then_some(self.renew_at);
        let all = ends
            .into_iter()
            .chain([renew_at, self.requests.first_end()]);
        Ok(all.flatten().min().unwrap_or(now + TWIN_TIME_MAX))
    }

    fn send(&mut self, sending: Sending) -> Result<(), Stop> {
        let Sending {
            topic,
            message,
            done,
        } = sending;
        if done.is_closed() {
            return Ok(());
        }
        let bytes = topic.len() + message.body.len();
        let id = self
            .window
            .push(bytes, Instant::now(), Waits::Message(done));
        let publication = Publication {
            topic,
            payload: message.body.clone(),
            id: PacketId::new(id),
            duplicate: false,
        };
        match self.connection.publish(publication) {
            Ok(()) => Ok(()),
            // Nothing was sent, and the connection goes on.
            Err(err @ (MqttError::TooLarge { .. } | MqttError::Topic)) => {
                if let Some(Waits::Message(done)) = self.window.acknowledge(id) {
                    let cause = chain(&err);
                    let _ = done.send(Err(UpstreamError::Refused { cause }));
                }
                Ok(())
            }
            Err(err) => Err(err.into()),
        }
    }

    fn ask(&mut self, ask: Ask, line: &Line, ends: &mut Ends) -> Result<(), Stop> {
        let until = Instant::now() + TWIN_TIME_MAX;
        match ask {
            Ask::Twin(waits) => {
                let id = self.requests.begin(Asked::Get, until, waits);
                // The official SDKs send a space; nothing is what the protocol asks for.
                self.say(topic::twin_get(id), Bytes::new())
            }
            Ask::Report(body, waits) => {
                let id = self.requests.begin(Asked::Report, until, waits);
                self.say(topic::report(id), Bytes::from(body))
            }
            Ask::Methods(accepts, done) => {
                ends.takes_methods = accepts;
                let changes = line.known(&self.module.module, |known| known.changes(accepts));
                match changes.into_iter().next() {
                    Some(change) => self.change(change, Some(done)),
                    None => {
                        let _ = done.send(());
                        Ok(())
                    }
                }
            }
        }
    }

    /// Sends what needs no acknowledgement, since it is answered or comes too late to matter.
    fn say(&mut self, topic: String, payload: Bytes) -> Result<(), Stop> {
        let publication = Publication {
            topic,
            payload,
            id: None,
            duplicate: false,
        };
        Ok(self.connection.publish(publication)?)
    }

    fn change(&mut self, change: Change, done: Option<oneshot::Sender<()>>) -> Result<(), Stop> {
        let waits = Waits::Change(change, done);
        let id = self.window.push(0, Instant::now(), waits);
        let id = PacketId::new(id).expect("the window gives no zero");
        let filter = change.subscription.filter();
        match change.wanted {
            true => self.connection.subscribe(id, filter, false)?,
            false => self.connection.unsubscribe(id, filter)?,
        }
        self.changes += 1;
        Ok(())
    }

    fn take(&mut self, incoming: Incoming, line: &Line, ends: &mut Ends) -> Result<(), Stop> {
        match incoming {
            Incoming::Published(publication) => self.hear(publication, line, ends),
            Incoming::Acknowledged(id) => match self.window.acknowledge(id.get()) {
                Some(Waits::Message(done)) => {
                    // Nobody may wait any more.
                    let _ = done.send(Ok(()));
                    Ok(())
                }
                Some(Waits::Change(..)) => Err(out_of_order()),
                // Twice, or never sent.
                None => Ok(()),
            },
            Incoming::Subscribed { id, granted } => self.changed(id, granted, line),
            Incoming::Unsubscribed(id) => self.changed(id, true, line),
        }
    }

    fn changed(&mut self, id: PacketId, granted: bool, line: &Line) -> Result<(), Stop> {
        match self.window.acknowledge(id.get()) {
            Some(Waits::Change(change, done)) => {
                self.changes -= 1;
                if !granted {
                    let filter = change.subscription.filter();
                    let cause = format!("it does not let `{filter}` be subscribed to");
                    return Err(Stop::Failed(UpstreamError::Refused { cause }));
                }
                line.known(&self.module.module, |known| known.made(change));
                if let Some(done) = done {
                    let _ = done.send(());
                }
                Ok(())
            }
            Some(Waits::Message(_)) => Err(out_of_order()),
            None => Ok(()),
        }
    }

    /// Acts on what the hub published.
    fn hear(&mut self, publication: Publication, line: &Line, ends: &mut Ends) -> Result<(), Stop> {
        let Publication {
            topic, payload, id, ..
        } = publication;
        let module = &self.module.module;
        match Heard::of(&topic) {
            Heard::TwinAnswer {
                status,
                request_id,
                version,
            } => {
                if let Some((asked, waits)) = self.requests.answered(request_id) {
                    let answer = Answer::of(asked, status, version, &payload);
                    if let Answer::Broken(what) = &answer {
                        line.complain(module, Lie::TwinAnswer, what);
                    }
                    let _ = waits.send(answer);
                }
            }
            Heard::Desired { version } => {
                let event = twin::desired_event(version, &payload);
                if matches!(event, SessionEvent::Gap) {
                    let what = "a change of desired properties is no JSON object with a version";
                    line.complain(module, Lie::Desired, what);
                }
                ends.tell(event);
            }
            Heard::Method { name, request_id } => {
                let refusal = match method_payload(&payload) {
                    Ok(payload) => ends.call(name, &request_id, payload),
                    Err(what) => {
                        line.complain(module, Lie::Method, &what);
                        Some(own_answer(BAD_CALL, &what))
                    }
                };
                if let Some(refusal) = refusal {
                    self.answer(&request_id, refusal)?;
                }
            }
            Heard::Unknown => {
                let shown: String = topic.chars().take(TOPIC_SHOWN_CHARS).collect();
                let what = format!("nobody asked for what it published to {shown:?}");
                line.complain(module, Lie::Topic, &what);
            }
        }
        if let Some(id) = id {
            self.connection.acknowledge(id)?;
        }
        Ok(())
    }

    fn answer(&mut self, request_id: &str, answer: MethodAnswer) -> Result<(), Stop> {
        let MethodResponse { status, payload } = match answer.payload.len() {
            0..=METHOD_ANSWER_MAX_BYTES => answer,
            bytes => own_answer(
                TOO_LARGE_AN_ANSWER,
                &format!("the answer has {bytes} bytes, more than {METHOD_ANSWER_MAX_BYTES}"),
            ),
        };
        let topic = topic::method_answer(status, request_id);
        self.say(topic, Bytes::from(payload))
    }
}

/// What a method is called with; a module is promised JSON, and a hub may send anything.
fn method_payload(payload: &[u8]) -> Result<String, String> {
    let text = str::from_utf8(payload).map_err(|_| "the payload is not UTF-8".to_owned())?;
    checked_payload(text.to_owned())
}

/// Waits until the module can be told of a gap, and tells it; false if it has let go of the session.
///
/// # Cancel safety
/// It was told or it was not.
async fn tell_gap(events: &mpsc::Sender<SessionEvent>) -> bool {
    let room = events.reserve().await;
    room.is_ok_and(|room| {
        room.send(SessionEvent::Gap);
        true
    })
}

/// A request id that no connection before has begun with, so that a late answer is for nobody.
fn random_id() -> u64 {
    let mut bytes = [0; 4];
    // Without random numbers, the worst is that an answer for another connection is taken for one.
    let _ = SystemRandom::new().fill(&mut bytes);
    u64::from(u32::from_le_bytes(bytes))
}

fn out_of_order() -> Stop {
    Stop::Violated("the hub acknowledged a packet as one of another kind".to_owned())
}

//! One connection: bytes between its stream and the protocol, and what the protocol demands.
//!
//! Owns the loop of a connection and its end. Leaves every decision about
//! MQTT and every limit to the protocol, and what takes time to the worker.
//! One task per connection, one event at a time.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Sleep, sleep_until, timeout};
use wasm_edge_model::error::chain;
use wasm_edge_model::message::Message;

use super::admission::{Admitted, admit};
use super::calls::Calls;
use super::connect::Refusal;
use super::frame::Violation;
use super::protocol::{
    CommandSent, CommandUnfit, Demand, Overdue, Protocol, SubscriptionChange, Ticket,
};
use super::topic::Subscription;
use super::transfer::{Moved, Transfer};
use super::worker::{Done, Work, Worker};
use super::{Ended, Peer};
use crate::access::throttle::Operation;
use crate::command::{Command, Feedback};
use crate::error::HubError;
use crate::hub::Hub;
use crate::metrics::TelemetrySource;
use crate::session::sending::{Lost, Receipt};
use crate::session::{
    CloseReason, DesiredChange, Session, SessionError, SessionEvent, SessionEvents,
};

/// How long the hub waits before it offers a message again that it had no room for.
const BUSY_WAIT: Duration = Duration::from_millis(20);

/// How long a client that is turned away, or whose session ended, may take to hear of it.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Looked at again by then, whatever happens.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// A connection.
pub(super) struct Connection<S> {
    hub: Hub,
    peer: Peer,
    stream: S,
    transfer: Transfer,
    protocol: Protocol,
    stage: Stage,
    timer: Pin<Box<Sleep>>,
}

/// How far its client is.
enum Stage {
    /// It has not said who it is.
    Unknown,
    /// It is being decided.
    Deciding(BoxFuture<'static, Result<Box<Admitted>, Refusal>>),
    /// It has a session.
    Open(Box<Client>),
}

/// A client with a session.
struct Client {
    session: Session,
    events: SessionEvents,
    /// When its credentials are good no more.
    expires: Option<Instant>,
    /// Telemetry that is on its way to disk, in order.
    receipts: VecDeque<(Ticket, Receipt)>,
    /// Telemetry that there was no room for; nothing else is looked at before.
    held: Option<Held>,
    /// Bounded by the protocol, which demands no more.
    queue: VecDeque<Work>,
    /// The worker, while it does nothing.
    idle: Option<Box<Worker>>,
    working: Option<BoxFuture<'static, (Box<Worker>, Done)>>,
    calls: Calls,
    /// Whether there may be messages to the device that were not looked at.
    commands_due: bool,
    /// The last message that was sent on this connection.
    commands_after: Option<u64>,
}

struct Held {
    ticket: Ticket,
    message: Message,
    until: Instant,
}

/// What happens to a connection.
enum Event {
    Moved(io::Result<Moved>),
    Decided(Result<Box<Admitted>, Refusal>),
    /// Telemetry is on disk.
    Written(Result<Vec<Ticket>, Lost>),
    Worked(Box<Worker>, Done),
    Session(SessionEvent),
    Ended,
    Closing,
    Time,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) fn new(hub: Hub, stream: S, peer: Peer) -> Self {
        let connect_by = now() + peer.connect_timeout;
        Self {
            hub,
            stream,
            transfer: Transfer::default(),
            protocol: Protocol::new(connect_by),
            stage: Stage::Unknown,
            timer: Box::pin(sleep_until(connect_by.into())),
            peer,
        }
    }

    /// Serves the client until the connection ends.
    pub(super) async fn run(&mut self) -> Ended {
        loop {
            if let Some(ended) = self.turn() {
                return ended;
            }
            let event = self.next().await;
            if let Some(ended) = self.handle(event) {
                return ended;
            }
        }
    }

    /// Says goodbye: what was left to be sent is sent, the session ends, the stream is closed.
    pub(super) async fn finish(mut self, ended: &Ended) {
        let will = self.protocol.take_will();
        if let Stage::Open(client) = std::mem::replace(&mut self.stage, Stage::Unknown) {
            let session = client.session.clone();
            // The session ends here, before the will: a client that comes back finds its place.
            drop(client);
            if let Some(will) =
                will.filter(|_| !matches!(ended, Ended::Session(CloseReason::HubClosed)))
                && let Err(err) = Box::pin(self.hub.send_will(
                    session.owner(),
                    session.generation_id(),
                    *will,
                ))
                .await
            {
                tracing::debug!(owner = %session.owner(), ?err, "a will was not sent");
            }
        }
        if matches!(ended, Ended::Lost | Ended::Unread) {
            return;
        }
        let farewell = async {
            let written = self.stream.write_all(self.protocol.output()).await;
            written.and(self.stream.shutdown().await)
        };
        // Whether the client hears of it or not, the connection is over.
        let _ = timeout(FAREWELL_MAX, farewell).await;
    }

    /// Meets what is demanded, as far as it can be now.
    fn turn(&mut self) -> Option<Ended> {
        loop {
            if let Stage::Open(client) = &mut self.stage {
                if let Err(ended) = client.offer_held(&self.hub) {
                    return Some(ended);
                }
                client.begin_work(&self.protocol);
                if client.held.is_some() {
                    return None;
                }
            }
            let demand = match self.protocol.next(now()) {
                Ok(Some(demand)) => demand,
                Ok(None) => return None,
                Err(violation) => return Some(Ended::Violation(violation)),
            };
            if let Err(ended) = self.meet(demand) {
                return Some(ended);
            }
        }
    }

    fn meet(&mut self, demand: Demand) -> Result<(), Ended> {
        let client = match (&mut self.stage, demand) {
            (stage, Demand::Admit(greeting)) => {
                let certificate = self.peer.certificate.clone();
                let deciding = admit(self.hub.clone(), greeting, certificate);
                *stage = Stage::Deciding(Box::pin(deciding));
                return Ok(());
            }
            (_, Demand::Refused(refusal)) => {
                self.hub.metrics().refused(refusal.reason());
                return Err(Ended::Refused(refusal));
            }
            (_, Demand::Disconnect) => return Err(Ended::Disconnected),
            (Stage::Open(client), demand) => (client, demand),
            // The protocol demands nothing else before its client was let in.
            (_, _) => return Err(Ended::HubFailed),
        };
        let (client, demand) = client;
        let work = match demand {
            Demand::Telemetry { ticket, message } => {
                let until = now();
                client.held = Some(Held {
                    ticket,
                    message: *message,
                    until,
                });
                return client.offer_held(&self.hub);
            }
            Demand::MethodAnswer {
                request_id,
                status,
                payload,
            } => {
                client.calls.answer(&request_id, status, &payload);
                return Ok(());
            }
            Demand::Twin {
                ticket,
                request_id,
                request,
            } => Work::Twin {
                ticket,
                request_id,
                request,
            },
            Demand::Subscribe(change) => Work::Subscribe(change),
            Demand::CommandReceived { number } => Work::Complete { number, told: true },
            Demand::Admit(_) | Demand::Refused(_) | Demand::Disconnect => return Ok(()),
        };
        client.queue.push_back(work);
        Ok(())
    }

    /// Waits for the next event.
    async fn next(&mut self) -> Event {
        let deadline = self.deadline();
        if deadline < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(deadline);
        }
        let Self {
            hub,
            stream,
            transfer,
            protocol,
            stage,
            timer,
            ..
        } = self;
        let takes_events = protocol.wants_events();
        let reads = !matches!(stage, Stage::Open(client) if client.held.is_some());
        let moved = poll_fn(|ctx| transfer.poll(stream, protocol, reads, ctx));
        match stage {
            Stage::Unknown => tokio::select! {
                moved = moved => Event::Moved(moved),
                () = hub.closing().cancelled() => Event::Closing,
                () = timer => Event::Time,
            },
            Stage::Deciding(deciding) => tokio::select! {
                decided = deciding => Event::Decided(decided),
                moved = moved => Event::Moved(moved),
                () = timer => Event::Time,
            },
            Stage::Open(client) => {
                let Client {
                    session,
                    events,
                    receipts,
                    working,
                    ..
                } = &mut **client;
                tokio::select! {
                    written = written(receipts) => Event::Written(written),
                    (worker, done) = worked(working) => Event::Worked(worker, done),
                    moved = moved => Event::Moved(moved),
                    event = events.next(), if takes_events => Event::Session(event),
                    () = session.ended(), if !takes_events => Event::Ended,
                    () = timer => Event::Time,
                }
            }
        }
    }

    fn deadline(&self) -> tokio::time::Instant {
        let mut deadline = self.protocol.deadline();
        if let Stage::Open(client) = &self.stage {
            let held = client.held.as_ref().map(|held| held.until);
            deadline = [deadline, held, client.expires].into_iter().flatten().min();
        }
        deadline.unwrap_or_else(|| now() + FAR).into()
    }

    fn handle(&mut self, event: Event) -> Option<Ended> {
        match (event, &mut self.stage) {
            (Event::Moved(Ok(Moved::Bytes)), _) => None,
            (Event::Moved(Ok(Moved::End) | Err(_)), _) => Some(Ended::Lost),
            (Event::Decided(decided), _) => self.decided(decided),
            (Event::Closing, _) => Some(Ended::Session(CloseReason::HubClosed)),
            (Event::Time, _) => self.overdue(),
            (Event::Written(Ok(tickets)), _) => {
                for ticket in tickets {
                    self.protocol.acknowledge(ticket, now());
                }
                None
            }
            // Nothing is written any more.
            (Event::Written(Err(Lost)), _) => Some(Ended::Session(CloseReason::HubClosed)),
            (Event::Worked(worker, done), Stage::Open(client)) => {
                client.idle = Some(worker);
                client.working = None;
                client.finish_work(done, &mut self.protocol)
            }
            (Event::Session(event), Stage::Open(client)) => client.tell(event, &mut self.protocol),
            (Event::Ended, Stage::Open(client)) => Some(Ended::Session(
                client.session.closed().unwrap_or(CloseReason::Abandoned),
            )),
            (Event::Worked(..) | Event::Session(_) | Event::Ended, _) => None,
        }
    }

    fn decided(&mut self, decided: Result<Box<Admitted>, Refusal>) -> Option<Ended> {
        let admitted = match decided {
            Ok(admitted) => admitted,
            Err(refusal) => {
                self.protocol.refuse(refusal, now());
                return Some(Ended::Refused(refusal));
            }
        };
        let Admitted {
            session,
            events,
            memory,
            expires,
        } = *admitted;
        let remembered = memory.subscriptions();
        let subscriptions = remembered.unwrap_or_default();
        self.protocol
            .accept(remembered.is_some(), subscriptions, now());
        session.accept_methods(self.protocol.is_subscribed(Subscription::Methods));
        let worker = Worker {
            hub: self.hub.clone(),
            session: session.clone(),
            memory,
        };
        self.stage = Stage::Open(Box::new(Client {
            session,
            events,
            expires,
            receipts: VecDeque::new(),
            held: None,
            queue: VecDeque::new(),
            idle: Some(Box::new(worker)),
            working: None,
            calls: Calls::default(),
            commands_due: false,
            commands_after: None,
        }));
        None
    }

    fn overdue(&mut self) -> Option<Ended> {
        let now = now();
        if let Stage::Open(client) = &self.stage
            && client.expires.is_some_and(|expires| expires <= now)
        {
            return Some(Ended::Expired);
        }
        if matches!(&self.stage, Stage::Open(client) if client.held.is_some()) {
            self.protocol.not_listened(now);
        }
        self.protocol.overdue(now).map(|overdue| match overdue {
            Overdue::Connect => Ended::NoConnect,
            Overdue::Silent => Ended::Silent,
            Overdue::Unread => Ended::Unread,
        })
    }
}

impl Client {
    /// Offers the hub the message that it had no room for, if it is time.
    fn offer_held(&mut self, hub: &Hub) -> Result<(), Ended> {
        let Some(held) = self.held.take_if(|held| held.until <= now()) else {
            return Ok(());
        };
        let Held {
            ticket, message, ..
        } = held;
        if let Err(throttled) = hub.throttle(Operation::Telemetry) {
            let until = now() + throttled.retry_after;
            self.held = Some(Held {
                ticket,
                message,
                until,
            });
            return Ok(());
        }
        let body_bytes = message.body.len() as u64;
        match self.session.begin_send(message) {
            Ok(receipt) => {
                let source = match self.session.owner().module() {
                    Some(_) => TelemetrySource::Module,
                    None => TelemetrySource::Device,
                };
                hub.metrics().telemetry_accepted(source, body_bytes);
                self.receipts.push_back((ticket, receipt));
                Ok(())
            }
            Err(refused) => match refused.error {
                SessionError::Hub(HubError::Busy) => {
                    self.held = Some(Held {
                        ticket,
                        message: refused.message,
                        until: now() + BUSY_WAIT,
                    });
                    Ok(())
                }
                SessionError::Message(err) => Err(Ended::Violation(Violation::Message {
                    problem: err.to_string(),
                })),
                err => Err(failed(err)),
            },
        }
    }

    /// Gives the worker something to do, if it does nothing.
    fn begin_work(&mut self, protocol: &Protocol) {
        let Some(work) = self.next_work(protocol) else {
            return;
        };
        if let Some(mut worker) = self.idle.take() {
            self.working = Some(Box::pin(async move {
                let done = worker.perform(work).await;
                (worker, done)
            }));
        }
    }

    fn next_work(&mut self, protocol: &Protocol) -> Option<Work> {
        self.idle.as_ref()?;
        if let Some(work) = self.queue.pop_front() {
            return Some(work);
        }
        let limit = protocol.command_room();
        if limit == 0 || !std::mem::take(&mut self.commands_due) {
            return None;
        }
        let after = self.commands_after;
        Some(Work::Fetch { after, limit })
    }

    fn finish_work(&mut self, done: Done, protocol: &mut Protocol) -> Option<Ended> {
        match done {
            Done::Twin(ticket, answer) => protocol.answer(ticket, answer, now()),
            Done::Subscribed(change) => self.subscribed(&change, protocol),
            Done::Completed { told } => {
                if told {
                    protocol.command_completed();
                }
            }
            Done::Fetched { commands, more } => {
                self.commands_due |= more;
                self.send_commands(commands, protocol);
            }
            Done::Failed(err) => return Some(failed(err)),
        }
        None
    }

    fn subscribed(&mut self, change: &SubscriptionChange, protocol: &mut Protocol) {
        let had_commands = protocol.is_subscribed(Subscription::Commands);
        protocol.subscribed(change, now());
        let takes_methods = protocol.is_subscribed(Subscription::Methods);
        self.session.accept_methods(takes_methods);
        self.commands_due |= !had_commands && protocol.is_subscribed(Subscription::Commands);
    }

    fn send_commands(&mut self, commands: Vec<Command>, protocol: &mut Protocol) {
        for command in commands {
            let (number, mut message) = (command.number, command.message);
            if command.ack != Feedback::None {
                message.properties.set("iothub-ack", command.ack.as_str());
            }
            let again = command.deliveries > 0;
            match protocol.send_command(number, &message, again, now()) {
                Ok(CommandSent::Awaited) => {}
                Ok(CommandSent::Forgotten) => {
                    let told = false;
                    self.queue.push_back(Work::Complete { number, told });
                }
                // It unsubscribed meanwhile, and gets it when it subscribes again.
                Err(CommandUnfit::NotSubscribed) => return,
                Err(CommandUnfit::TopicTooLong) => {
                    let owner = self.session.owner();
                    tracing::warn!(%owner, number, "a message has properties that no topic can hold, and is dropped");
                    let told = false;
                    self.queue.push_back(Work::Complete { number, told });
                }
            }
            self.commands_after = Some(number);
        }
    }

    fn tell(&mut self, event: SessionEvent, protocol: &mut Protocol) -> Option<Ended> {
        match event {
            SessionEvent::Desired(change) => {
                let body = Bytes::from(body_of(&change));
                protocol.tell_desired(change.version, body, now());
            }
            SessionEvent::Method(request) => {
                let (name, payload) = (request.name.clone(), request.payload.to_string());
                let request_id = self.calls.begin(request);
                if !protocol.call_method(&name, &request_id, Bytes::from(payload), now()) {
                    self.calls.abandon(&request_id);
                }
            }
            SessionEvent::Commands => self.commands_due = true,
            SessionEvent::Closed(reason) => return Some(Ended::Session(reason)),
        }
        None
    }
}

fn body_of(change: &DesiredChange) -> String {
    serde_json::Value::Object(change.notification()).to_string()
}

/// Waits until the oldest telemetry is on disk; takes out all that is.
async fn written(receipts: &mut VecDeque<(Ticket, Receipt)>) -> Result<Vec<Ticket>, Lost> {
    poll_fn(|ctx| {
        let mut tickets = Vec::new();
        while let Some((ticket, receipt)) = receipts.front_mut()
            && let Poll::Ready(written) = Pin::new(receipt).poll(ctx)
        {
            written?;
            tickets.push(*ticket);
            receipts.pop_front();
        }
        match tickets.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(Ok(tickets)),
        }
    })
    .await
}

/// Waits until the worker is done.
async fn worked(
    working: &mut Option<BoxFuture<'static, (Box<Worker>, Done)>>,
) -> (Box<Worker>, Done) {
    match working {
        Some(working) => working.await,
        None => std::future::pending().await,
    }
}

fn failed(err: SessionError) -> Ended {
    match err {
        SessionError::Closed(reason) => Ended::Session(reason),
        err => {
            tracing::warn!(error = chain(&err), "a connection ended");
            Ended::HubFailed
        }
    }
}

/// The time as tests can stop it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

//! The client of a connection, from the moment that it has a session.
//!
//! Owns what of its demands is under way: telemetry on its way to disk, work
//! that waits for the worker, direct methods, and messages to the device that
//! are due. Leaves its bytes and its time to the connection, which drives it,
//! and what it may do at all to the protocol.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use wasm_edge_model::error::chain;
use wasm_edge_model::message::Message;

use super::now;
use crate::access::throttle::Operation;
use crate::command::{Command, Feedback};
use crate::error::HubError;
use crate::hub::Hub;
use crate::metrics::TelemetrySource;
use crate::mqtt::Ended;
use crate::mqtt::admission::Admitted;
use crate::mqtt::calls::Calls;
use crate::mqtt::frame::Violation;
use crate::mqtt::protocol::{
    CommandSent, CommandUnfit, Demand, Protocol, SubscriptionChange, Ticket,
};
use crate::mqtt::topic::Subscription;
use crate::mqtt::worker::{Done, Work, Worker};
use crate::session::sending::{Lost, Receipt};
use crate::session::{
    CloseReason, DesiredChange, Session, SessionError, SessionEvent, SessionEvents,
};

/// How long the hub waits before it offers a message again that it had no room for.
const BUSY_WAIT: Duration = Duration::from_millis(20);

/// A client with a session.
pub(super) struct Client {
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

/// What happens to a client.
pub(super) enum ClientEvent {
    /// Telemetry is on disk.
    Written(Result<Vec<Ticket>, Lost>),
    Worked(Box<Worker>, Done),
    Session(SessionEvent),
    Ended,
}

impl Client {
    /// Lets a client in: the protocol hears what it subscribed to when it was here last.
    pub(super) fn open(hub: &Hub, admitted: Admitted, protocol: &mut Protocol) -> Self {
        let Admitted {
            session,
            events,
            memory,
            expires,
        } = admitted;
        let remembered = memory.subscriptions();
        let subscriptions = remembered.unwrap_or_default();
        protocol.accept(remembered.is_some(), subscriptions, now());
        session.accept_methods(protocol.is_subscribed(Subscription::Methods));
        let worker = Worker {
            hub: hub.clone(),
            session: session.clone(),
            memory,
        };
        Self {
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
        }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Whether there was no room for its telemetry, so that nothing else is looked at before.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// When it has to be looked at again, if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let held = self.held.as_ref().map(|held| held.until);
        [held, self.expires].into_iter().flatten().min()
    }

    /// Goes on with what was demanded, as far as it can be now.
    pub(super) fn go_on(&mut self, hub: &Hub, protocol: &Protocol) -> Result<(), Ended> {
        self.offer_held(hub)?;
        self.begin_work(protocol);
        Ok(())
    }

    /// Meets a demand at once, or puts it where it waits.
    pub(super) fn meet(&mut self, demand: Demand, hub: &Hub) -> Result<(), Ended> {
        let work = match demand {
            Demand::Telemetry { ticket, message } => {
                let until = now();
                self.held = Some(Held {
                    ticket,
                    message: *message,
                    until,
                });
                return self.offer_held(hub);
            }
            Demand::MethodAnswer {
                request_id,
                status,
                payload,
            } => {
                self.calls.answer(&request_id, status, &payload);
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
        self.queue.push_back(work);
        Ok(())
    }

    /// Waits for the next event; one of the session only if `takes_events`.
    /// No event is lost if it is no longer waited for.
    pub(super) async fn next(&mut self, takes_events: bool) -> ClientEvent {
        let Self {
            session,
            events,
            receipts,
            working,
            ..
        } = self;
        tokio::select! {
            written = written(receipts) => ClientEvent::Written(written),
            (worker, done) = worked(working) => ClientEvent::Worked(worker, done),
            event = events.next(), if takes_events => ClientEvent::Session(event),
            () = session.ended(), if !takes_events => ClientEvent::Ended,
        }
    }

    /// Tells the protocol what happened.
    pub(super) fn handle(&mut self, event: ClientEvent, protocol: &mut Protocol) -> Option<Ended> {
        match event {
            ClientEvent::Written(Ok(tickets)) => {
                for ticket in tickets {
                    protocol.acknowledge(ticket, now());
                }
                None
            }
            // Nothing is written any more.
            ClientEvent::Written(Err(Lost)) => Some(Ended::Session(CloseReason::HubClosed)),
            ClientEvent::Worked(worker, done) => {
                self.idle = Some(worker);
                self.working = None;
                self.finish_work(done, protocol)
            }
            ClientEvent::Session(event) => self.tell(event, protocol),
            ClientEvent::Ended => {
                let reason = self.session.closed();
                Some(Ended::Session(reason.unwrap_or(CloseReason::Abandoned)))
            }
        }
    }

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
        // The store closes before the last connections have ended.
        SessionError::Hub(HubError::Closed) => Ended::Session(CloseReason::HubClosed),
        err => {
            tracing::warn!(error = chain(&err), "a connection ended");
            Ended::HubFailed
        }
    }
}

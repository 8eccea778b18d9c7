//! The protocol of one connection, as a state machine without input and output.
//!
//! Owns what may come when, what is answered, the order of acknowledgements,
//! what is under way in both directions, and every limit of a connection.
//! Bytes go in, [`Demand`]s and bytes come out, and the time is given.
//! Leaves moving the bytes and meeting the demands to `connection.rs`, which
//! drives it; tests and the fuzz target drive it too.
//!
//! Source: MQTT 3.1.1 (OASIS), and Azure IoT Hub, "Communicate with your IoT
//! hub using the MQTT protocol".

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    ConnAck, ConnectReturnCode, Packet, PubAck, Publish, SubAck, Subscribe, SubscribeReasonCode,
    UnsubAck, Unsubscribe,
};
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::message::Message;

use super::connect::{self, Greeting, Refusal, Unfit};
use super::frame::{Frames, PACKET_MAX_BYTES, Violation};
use super::subscriptions::Subscriptions;
use super::topic::{self, Published, Subscription};

mod acks;
mod output;
mod window;

use acks::Acks;
pub use acks::Ticket;
use output::Output;
use window::{Delivery, Window};

/// Requests of a client that are being worked on or wait for it; with more it reads no further.
const REQUESTS_MAX: usize = 16;

/// Answers that are kept for a client that asked before it subscribed to them.
const UNHEARD_MAX: usize = 4;

/// How long a client may owe an acknowledgement while none comes and nothing more may be sent.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(120);

/// What a client wants.
#[derive(Debug, PartialEq)]
pub enum Demand {
    /// To connect: [`Protocol::accept`] or [`Protocol::refuse`].
    Admit(Box<Greeting>),
    /// To connect, and it cannot; it was told so.
    Refused(Refusal),
    /// To send telemetry: [`Protocol::acknowledge`] once it is on disk.
    Telemetry {
        /// To acknowledge it by.
        ticket: Ticket,
        /// Checked.
        message: Box<Message>,
    },
    /// Something about the twin: [`Protocol::answer`].
    Twin {
        /// To acknowledge it by.
        ticket: Ticket,
        /// The client's name for its request.
        request_id: String,
        /// What it is.
        request: TwinRequest,
    },
    /// To answer a direct method.
    MethodAnswer {
        /// The number of the request, as the hub wrote it.
        request_id: String,
        /// What the client says of it.
        status: i32,
        /// JSON, or nothing.
        payload: Bytes,
    },
    /// To subscribe to other things: [`Protocol::subscribed`].
    Subscribe(SubscriptionChange),
    /// A message to the device was received: [`Protocol::command_completed`].
    CommandReceived {
        /// Its number.
        number: u64,
    },
    /// To leave.
    Disconnect,
}

/// What a client wants of its twin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwinRequest {
    /// To read it.
    Get,
    /// To change its reported properties.
    Report {
        /// A merge patch, as text.
        patch: Bytes,
        /// The version that they must have, if the client cares.
        version: Option<u64>,
    },
}

/// Other subscriptions than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionChange {
    /// All that the client subscribes to after it.
    pub subscriptions: Subscriptions,
    answer: Packet,
}

/// The answer to a request about the twin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinAnswer {
    /// The client's name for its request.
    pub request_id: String,
    /// As in HTTP.
    pub status: u16,
    /// The version of the reported properties, where they were changed.
    pub version: Option<u64>,
    /// JSON, or nothing.
    pub body: Bytes,
}

/// Why the time of a connection is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// It did not say who it is.
    Connect,
    /// It was silent.
    Silent,
    /// It does not read, or does not acknowledge.
    Unread,
}

/// The protocol of one connection.
#[derive(Debug)]
pub struct Protocol {
    frames: Frames,
    output: Output,
    phase: Phase,
}

/// How far a connection is.
#[derive(Debug)]
enum Phase {
    /// Nothing is known of the client; its CONNECT has to be there by then.
    Waiting(Instant),
    /// The client has said who it is, and nobody has decided yet. What it sends meanwhile waits.
    Deciding(Box<Greeting>),
    /// It is connected.
    Open(Box<Open>),
    /// Nothing more is read.
    Over,
}

/// A connected client.
#[derive(Debug)]
struct Open {
    owner: TwinOwner,
    silence_max: Duration,
    /// When the last packet came.
    heard: Instant,
    will: Option<Box<Message>>,
    /// In force.
    subscriptions: Subscriptions,
    /// In force once all that was demanded is done.
    wanted: Subscriptions,
    acks: Acks,
    /// How many requests are not done.
    requests: usize,
    window: Window,
    unheard: VecDeque<TwinAnswer>,
}

impl Protocol {
    /// A connection whose client has until `connect_by` to say who it is.
    pub fn new(connect_by: Instant) -> Self {
        Self {
            frames: Frames::default(),
            output: Output::default(),
            phase: Phase::Waiting(connect_by),
        }
    }

    /// Takes what came; only while [`Protocol::wants_input`].
    pub fn receive(&mut self, bytes: &[u8]) {
        self.frames.push(bytes);
    }

    /// The next thing that the client wants; nothing until more comes or something is done.
    ///
    /// # Errors
    /// [`Violation`]: the connection is to be closed.
    pub fn next(&mut self, now: Instant) -> Result<Option<Demand>, Violation> {
        loop {
            let demand = match &mut self.phase {
                Phase::Waiting(_) => match self.frames.next(true) {
                    Ok(None) => return Ok(None),
                    Ok(Some(packet)) => Some(self.greet(packet, now)?),
                    Err(Violation::Version) => Some(self.turn_away(Refusal::ProtocolLevel, now)),
                    Err(violation) => return Err(violation),
                },
                Phase::Open(open) if !open.is_busy(&self.output) => {
                    let Some(packet) = self.frames.next(false)? else {
                        return Ok(None);
                    };
                    open.heard = now;
                    open.take(packet, &mut self.output, now)?
                }
                Phase::Open(_) | Phase::Deciding(_) | Phase::Over => return Ok(None),
            };
            if demand.is_some() {
                return Ok(demand);
            }
        }
    }

    /// Lets the client in that was last demanded to be admitted.
    pub fn accept(&mut self, session_present: bool, subscriptions: Subscriptions, now: Instant) {
        let Phase::Deciding(greeting) = std::mem::replace(&mut self.phase, Phase::Over) else {
            return;
        };
        let accepted = ConnAck::new(ConnectReturnCode::Success, session_present);
        self.output.push(&Packet::ConnAck(accepted), now);
        self.phase = Phase::Open(Box::new(Open {
            owner: greeting.owner,
            silence_max: greeting.silence_max,
            heard: now,
            will: greeting.will,
            subscriptions,
            wanted: subscriptions,
            acks: Acks::default(),
            requests: 0,
            window: Window::default(),
            unheard: VecDeque::new(),
        }));
    }

    /// Turns the client away that was last demanded to be admitted.
    pub fn refuse(&mut self, refusal: Refusal, now: Instant) {
        if matches!(self.phase, Phase::Deciding(_)) {
            self.turn_away(refusal, now);
        }
    }

    /// Telemetry is on disk.
    pub fn acknowledge(&mut self, ticket: Ticket, now: Instant) {
        if let Phase::Open(open) = &mut self.phase {
            open.acknowledge(ticket, &mut self.output, now);
        }
    }

    /// A request about the twin is done.
    pub fn answer(&mut self, ticket: Ticket, answer: TwinAnswer, now: Instant) {
        if let Phase::Open(open) = &mut self.phase {
            open.requests -= 1;
            open.acknowledge(ticket, &mut self.output, now);
            open.answer(answer, &mut self.output, now);
        }
    }

    /// A change of subscriptions is stored.
    pub fn subscribed(&mut self, change: &SubscriptionChange, now: Instant) {
        let Phase::Open(open) = &mut self.phase else {
            return;
        };
        open.requests -= 1;
        open.subscriptions = change.subscriptions;
        self.output.push(&change.answer, now);
        if open.subscriptions.get(Subscription::TwinAnswers).is_some() {
            for answer in std::mem::take(&mut open.unheard) {
                open.answer(answer, &mut self.output, now);
            }
        }
    }

    /// It is noted that a message to the device was received.
    pub fn command_completed(&mut self) {
        if let Phase::Open(open) = &mut self.phase {
            open.requests -= 1;
        }
    }

    /// Tells the client of a change of its desired properties, if it has subscribed to them.
    pub fn tell_desired(&mut self, version: u64, body: Bytes, now: Instant) {
        if let Phase::Open(open) = &mut self.phase
            && let Some(qos) = open.subscriptions.get(Subscription::Desired)
        {
            let publish = publish(topic::desired(version), body, qos);
            open.send(publish, Delivery::Notice, &mut self.output, now);
        }
    }

    /// Hands the client a direct method; `false` if it takes none.
    pub fn call_method(
        &mut self,
        name: &str,
        request_id: &str,
        payload: Bytes,
        now: Instant,
    ) -> bool {
        if let Phase::Open(open) = &mut self.phase
            && open.subscriptions.get(Subscription::Methods).is_some()
        {
            // IoT Hub sends methods at most once, whatever was subscribed to.
            let publish = publish(topic::method(name, request_id), payload, QoS::AtMostOnce);
            open.send(publish, Delivery::Notice, &mut self.output, now);
            return true;
        }
        false
    }

    /// How many more messages to the device may be sent; none if it has not subscribed to them.
    pub fn command_room(&self) -> usize {
        match &self.phase {
            Phase::Open(open)
                if open.takes_events(&self.output)
                    && open.subscriptions.get(Subscription::Commands).is_some() =>
            {
                open.window.command_room()
            }
            _ => 0,
        }
    }

    /// Sends a message to the device, again if `duplicate`; there has to be room.
    pub fn send_command(
        &mut self,
        number: u64,
        message: &Message,
        duplicate: bool,
        now: Instant,
    ) -> Result<CommandSent, CommandUnfit> {
        let Phase::Open(open) = &mut self.phase else {
            return Err(CommandUnfit::NotSubscribed);
        };
        let Some(qos) = open.subscriptions.get(Subscription::Commands) else {
            return Err(CommandUnfit::NotSubscribed);
        };
        if open.window.has_command(number) {
            return Ok(CommandSent::Awaited);
        }
        let topic = topic::command(&open.owner, message);
        if topic.len() > usize::from(u16::MAX) {
            return Err(CommandUnfit::TopicTooLong);
        }
        let mut publish = publish(topic, message.body.clone(), qos);
        publish.dup = duplicate && qos != QoS::AtMostOnce;
        open.send(publish, Delivery::Command(number), &mut self.output, now);
        Ok(match qos {
            QoS::AtMostOnce => CommandSent::Forgotten,
            _ => CommandSent::Awaited,
        })
    }

    /// Whether what subscribes to this is in force.
    pub fn is_subscribed(&self, subscription: Subscription) -> bool {
        match &self.phase {
            Phase::Open(open) => open.subscriptions.get(subscription).is_some(),
            _ => false,
        }
    }

    /// Whether more bytes are to be read.
    pub fn wants_input(&self) -> bool {
        match &self.phase {
            Phase::Waiting(_) => true,
            Phase::Deciding(_) | Phase::Over => false,
            Phase::Open(open) => !open.is_busy(&self.output),
        }
    }

    /// Whether more may be sent.
    pub fn wants_events(&self) -> bool {
        match &self.phase {
            Phase::Open(open) => open.takes_events(&self.output),
            _ => false,
        }
    }

    /// What is to be written.
    pub fn output(&self) -> &[u8] {
        self.output.bytes()
    }

    /// So many bytes of the output were written.
    pub fn written(&mut self, count: usize, now: Instant) {
        self.output.written(count, now);
    }

    /// When the time is up, if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        let (in_phase, unacknowledged) = match &self.phase {
            Phase::Waiting(deadline) => (Some(*deadline), None),
            Phase::Open(open) => (
                Some(open.heard + open.silence_max),
                open.unacknowledged_deadline(),
            ),
            Phase::Deciding(_) | Phase::Over => (None, None),
        };
        let deadlines = [in_phase, unacknowledged, self.output.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// The client was not listened to, and its silence means nothing.
    pub fn not_listened(&mut self, now: Instant) {
        if let Phase::Open(open) = &mut self.phase {
            open.heard = now;
        }
    }

    /// Whether the time is up, and why.
    pub fn overdue(&mut self, now: Instant) -> Option<Overdue> {
        let is_over = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if is_over(self.output.deadline()) {
            return Some(Overdue::Unread);
        }
        match &mut self.phase {
            Phase::Waiting(deadline) => (*deadline <= now).then_some(Overdue::Connect),
            Phase::Open(open) if is_over(open.unacknowledged_deadline()) => Some(Overdue::Unread),
            Phase::Open(open) if open.is_busy(&self.output) => {
                // It was not listened to.
                open.heard = now;
                None
            }
            Phase::Open(open) => {
                is_over(Some(open.heard + open.silence_max)).then_some(Overdue::Silent)
            }
            Phase::Deciding(_) | Phase::Over => None,
        }
    }

    /// What is to be sent for a client that is gone without taking its leave.
    pub fn take_will(&mut self) -> Option<Box<Message>> {
        match &mut self.phase {
            Phase::Open(open) => open.will.take(),
            _ => None,
        }
    }

    /// Bytes that are held for the client, in both directions; for tests of the limits.
    pub fn held_bytes(&self) -> usize {
        let unheard: usize = match &self.phase {
            Phase::Open(open) => open.unheard.iter().map(|it| it.body.len()).sum(),
            _ => 0,
        };
        self.frames.len() + self.output.bytes().len() + unheard
    }

    /// Reads the CONNECT.
    fn greet(&mut self, packet: Packet, now: Instant) -> Result<Demand, Violation> {
        let Packet::Connect(connect) = packet else {
            return Err(Violation::NoConnect);
        };
        match Greeting::read(connect) {
            Ok(greeting) => {
                let greeting = Box::new(greeting);
                self.phase = Phase::Deciding(greeting.clone());
                Ok(Demand::Admit(greeting))
            }
            Err(Unfit::Refused(refusal)) => Ok(self.turn_away(refusal, now)),
            Err(Unfit::Violation(violation)) => Err(violation),
        }
    }

    fn turn_away(&mut self, refusal: Refusal, now: Instant) -> Demand {
        let refused = ConnAck::new(refusal.code(), false);
        self.output.push(&Packet::ConnAck(refused), now);
        self.phase = Phase::Over;
        Demand::Refused(refusal)
    }
}

/// What becomes of a message to the device that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandSent {
    /// The device will acknowledge it: [`Demand::CommandReceived`].
    Awaited,
    /// The device does not acknowledge any.
    Forgotten,
}

/// Why a message to the device cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandUnfit {
    /// The device has not subscribed to messages.
    NotSubscribed,
    /// Its properties are longer than a topic can be.
    TopicTooLong,
}

impl Open {
    /// Whether so much is under way that nothing more is read.
    fn is_busy(&self, output: &Output) -> bool {
        self.acks.is_full() || self.requests >= REQUESTS_MAX || output.is_high()
    }

    fn takes_events(&self, output: &Output) -> bool {
        self.window.has_room() && !output.is_high()
    }

    fn take(
        &mut self,
        packet: Packet,
        output: &mut Output,
        now: Instant,
    ) -> Result<Option<Demand>, Violation> {
        match packet {
            Packet::Publish(publish) => self.published(publish, output, now),
            Packet::PubAck(ack) => Ok(self.acknowledged(ack, now)),
            Packet::Subscribe(subscribe) => self.subscribe(subscribe).map(Some),
            Packet::Unsubscribe(unsubscribe) => Ok(Some(self.unsubscribe(&unsubscribe))),
            Packet::PingReq => {
                output.push(&Packet::PingResp, now);
                Ok(None)
            }
            Packet::Disconnect => {
                self.will = None;
                Ok(Some(Demand::Disconnect))
            }
            Packet::Connect(_) => Err(Violation::SecondConnect),
            // The others were refused by their type already.
            _ => Err(Violation::NoConnect),
        }
    }

    fn published(
        &mut self,
        publish: Publish,
        output: &mut Output,
        now: Instant,
    ) -> Result<Option<Demand>, Violation> {
        let published = Published::of(&self.owner, &publish.topic).map_err(Violation::Topic)?;
        let packet_id = publish.pkid;
        let (request_id, request) = match published {
            Published::Telemetry { bag } => {
                let message = connect::telemetry(bag, &publish.payload, publish.retain)?;
                connect::check(&message)?;
                let ticket = self.acks.take(packet_id, message.size_bytes());
                let message = Box::new(message);
                return Ok(Some(Demand::Telemetry { ticket, message }));
            }
            Published::MethodAnswer { status, request_id } => {
                let request_id = request_id.to_owned();
                let payload = Bytes::copy_from_slice(&publish.payload);
                let ticket = self.acks.take(packet_id, 0);
                self.acknowledge(ticket, output, now);
                return Ok(Some(Demand::MethodAnswer {
                    request_id,
                    status,
                    payload,
                }));
            }
            Published::TwinGet { request_id } => (request_id, TwinRequest::Get),
            Published::Report {
                request_id,
                version,
            } => {
                let patch = Bytes::copy_from_slice(&publish.payload);
                (request_id, TwinRequest::Report { patch, version })
            }
        };
        let request_id = request_id.to_owned();
        self.requests += 1;
        Ok(Some(Demand::Twin {
            ticket: self.acks.take(packet_id, publish.payload.len()),
            request_id,
            request,
        }))
    }

    fn acknowledged(&mut self, ack: PubAck, now: Instant) -> Option<Demand> {
        let Delivery::Command(number) = self.window.acknowledged(ack.pkid, now)? else {
            return None;
        };
        self.requests += 1;
        Some(Demand::CommandReceived { number })
    }

    fn subscribe(&mut self, subscribe: Subscribe) -> Result<Demand, Violation> {
        let mut granted = Vec::with_capacity(subscribe.filters.len());
        for filter in &subscribe.filters {
            let subscription =
                Subscription::of(&self.owner, &filter.path).ok_or(Violation::Filter)?;
            let qos = match filter.qos {
                QoS::AtMostOnce => QoS::AtMostOnce,
                // The hub has nothing that is delivered exactly once.
                QoS::AtLeastOnce | QoS::ExactlyOnce => QoS::AtLeastOnce,
            };
            self.wanted.set(subscription, qos);
            granted.push(SubscribeReasonCode::Success(qos));
        }
        let answer = Packet::SubAck(SubAck::new(subscribe.pkid, granted));
        Ok(self.change_subscriptions(answer))
    }

    fn unsubscribe(&mut self, unsubscribe: &Unsubscribe) -> Demand {
        for filter in &unsubscribe.topics {
            if let Some(subscription) = Subscription::of(&self.owner, filter) {
                self.wanted.remove(subscription);
            }
        }
        self.change_subscriptions(Packet::UnsubAck(UnsubAck::new(unsubscribe.pkid)))
    }

    fn change_subscriptions(&mut self, answer: Packet) -> Demand {
        self.requests += 1;
        Demand::Subscribe(SubscriptionChange {
            subscriptions: self.wanted,
            answer,
        })
    }

    fn acknowledge(&mut self, ticket: Ticket, output: &mut Output, now: Instant) {
        self.acks.done(ticket);
        while let Some(packet_id) = self.acks.next() {
            output.push(&Packet::PubAck(PubAck::new(packet_id)), now);
        }
    }

    /// Answers a request; one who has not subscribed to answers gets it when it does.
    fn answer(&mut self, answer: TwinAnswer, output: &mut Output, now: Instant) {
        let Some(qos) = self.subscriptions.get(Subscription::TwinAnswers) else {
            if self.unheard.len() == UNHEARD_MAX {
                self.unheard.pop_front();
            }
            return self.unheard.push_back(answer);
        };
        let topic = topic::twin_answer(answer.status, &answer.request_id, answer.version);
        let publish = publish(topic, answer.body, qos);
        self.send(publish, Delivery::Notice, output, now);
    }

    /// Sends a message. To a client that owes as many acknowledgements as it may, answers go without
    /// asking for one: the hub is free to choose how surely it sends, and so nothing piles up.
    fn send(&mut self, publish: Publish, delivery: Delivery, output: &mut Output, now: Instant) {
        let mut publish = publish;
        if publish.qos != QoS::AtMostOnce && self.window.has_room() {
            publish.pkid = self.window.send(delivery, now);
        } else {
            publish.qos = QoS::AtMostOnce;
        }
        output.push(&Packet::Publish(publish), now);
    }

    /// When the client will have owed an acknowledgement for too long, while it keeps others waiting.
    fn unacknowledged_deadline(&self) -> Option<Instant> {
        if self.window.has_room() {
            return None;
        }
        Some(self.window.waits_since()? + UNACKNOWLEDGED_MAX)
    }
}

fn publish(topic: String, payload: Bytes, qos: QoS) -> Publish {
    Publish::from_bytes(topic, qos, payload)
}

/// The most that a client makes the hub hold: a packet and what is read at once, all that may be
/// taken in, answers that wait, and one event beyond the mark.
pub const HELD_MAX_BYTES: usize = PACKET_MAX_BYTES + 1024 * 1024;

#[cfg(test)]
mod tests;

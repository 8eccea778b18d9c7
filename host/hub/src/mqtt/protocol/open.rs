//! A connected client: what its packets mean, and what it is sent.
//!
//! Owns its subscriptions, what is under way in both directions, and how much
//! of that there may be. Leaves CONNECT, the bytes that come and go, and who
//! is told of what to the protocol, which has it while its connection is open.
//!
//! Source: MQTT 3.1.1 (OASIS), and Azure IoT Hub, "Communicate with your IoT
//! hub using the MQTT protocol".

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    Packet, PubAck, Publish, SubAck, Subscribe, SubscribeReasonCode, UnsubAck, Unsubscribe,
};
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::message::Message;

use super::acks::{Acks, Ticket};
use super::output::Output;
use super::window::{Delivery, Window};
use super::{CommandSent, CommandUnfit, Demand, SubscriptionChange, TwinAnswer, TwinRequest};
use crate::mqtt::connect::{self, Greeting};
use crate::mqtt::frame::Violation;
use crate::mqtt::subscriptions::Subscriptions;
use crate::mqtt::topic::{self, Published, Subscription};

/// Requests of a client that are being worked on or wait for it; with more it reads no further.
pub(super) const REQUESTS_MAX: usize = 16;

/// Answers that are kept for a client that asked before it subscribed to them.
const UNHEARD_MAX: usize = 4;

/// How long a client may owe an acknowledgement while none comes and nothing more may be sent.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(120);

/// A connected client.
#[derive(Debug)]
pub(super) struct Open {
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

impl Open {
    /// A client that was let in, with what it subscribed to when it was here last.
    pub(super) fn new(greeting: Greeting, subscriptions: Subscriptions, now: Instant) -> Self {
        Self {
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
        }
    }

    /// Whether so much is under way that nothing more is read.
    pub(super) fn is_busy(&self, output: &Output) -> bool {
        self.acks.is_full() || self.requests >= REQUESTS_MAX || output.is_high()
    }

    /// Whether more may be sent.
    pub(super) fn takes_events(&self, output: &Output) -> bool {
        self.window.has_room() && !output.is_high()
    }

    /// Takes a packet: what the client wants by it, if that is not done with already.
    pub(super) fn take(
        &mut self,
        packet: Packet,
        output: &mut Output,
        now: Instant,
    ) -> Result<Option<Demand>, Violation> {
        self.heard = now;
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

    /// A request about the twin is done.
    pub(super) fn answered(
        &mut self,
        ticket: Ticket,
        answer: TwinAnswer,
        output: &mut Output,
        now: Instant,
    ) {
        self.requests -= 1;
        self.acknowledge(ticket, output, now);
        self.answer(answer, output, now);
    }

    /// A change of subscriptions is stored.
    pub(super) fn subscribed(
        &mut self,
        change: &SubscriptionChange,
        output: &mut Output,
        now: Instant,
    ) {
        self.requests -= 1;
        self.subscriptions = change.subscriptions;
        output.push(&change.answer, now);
        if self.is_subscribed(Subscription::TwinAnswers) {
            for answer in std::mem::take(&mut self.unheard) {
                self.answer(answer, output, now);
            }
        }
    }

    /// It is noted that a message to the device was received.
    pub(super) fn command_completed(&mut self) {
        self.requests -= 1;
    }

    /// Tells the client of a change of its desired properties, if it has subscribed to them.
    pub(super) fn tell_desired(
        &mut self,
        version: u64,
        body: Bytes,
        output: &mut Output,
        now: Instant,
    ) {
        if let Some(qos) = self.subscriptions.get(Subscription::Desired) {
            let publish = publish(topic::desired(version), body, qos);
            self.send(publish, Delivery::Notice, output, now);
        }
    }

    /// Hands the client a direct method; `false` if it takes none.
    pub(super) fn call_method(
        &mut self,
        topic: String,
        payload: Bytes,
        output: &mut Output,
        now: Instant,
    ) -> bool {
        if !self.is_subscribed(Subscription::Methods) {
            return false;
        }
        // IoT Hub sends methods at most once, whatever was subscribed to.
        let publish = publish(topic, payload, QoS::AtMostOnce);
        self.send(publish, Delivery::Notice, output, now);
        true
    }

    /// How many more messages to the device may be sent; none if it has not subscribed to them.
    pub(super) fn command_room(&self, output: &Output) -> usize {
        if self.takes_events(output) && self.is_subscribed(Subscription::Commands) {
            return self.window.command_room();
        }
        0
    }

    /// Sends a message to the device, again if `duplicate`; there has to be room.
    pub(super) fn send_command(
        &mut self,
        number: u64,
        message: &Message,
        duplicate: bool,
        output: &mut Output,
        now: Instant,
    ) -> Result<CommandSent, CommandUnfit> {
        let Some(qos) = self.subscriptions.get(Subscription::Commands) else {
            return Err(CommandUnfit::NotSubscribed);
        };
        if self.window.has_command(number) {
            return Ok(CommandSent::Awaited);
        }
        let topic = topic::command(&self.owner, message);
        if topic.len() > usize::from(u16::MAX) {
            return Err(CommandUnfit::TopicTooLong);
        }
        let mut publish = publish(topic, message.body.clone(), qos);
        publish.dup = duplicate && qos != QoS::AtMostOnce;
        self.send(publish, Delivery::Command(number), output, now);
        Ok(match qos {
            QoS::AtMostOnce => CommandSent::Forgotten,
            _ => CommandSent::Awaited,
        })
    }

    /// Whether what subscribes to this is in force.
    pub(super) fn is_subscribed(&self, subscription: Subscription) -> bool {
        self.subscriptions.get(subscription).is_some()
    }

    /// When the client will have been silent for too long.
    pub(super) fn silence_deadline(&self) -> Instant {
        self.heard + self.silence_max
    }

    /// The client was not listened to, and its silence means nothing.
    pub(super) fn not_listened(&mut self, now: Instant) {
        self.heard = now;
    }

    /// What is to be sent if the client is gone without taking its leave.
    pub(super) fn take_will(&mut self) -> Option<Box<Message>> {
        self.will.take()
    }

    /// Bytes of answers that wait until the client subscribes to them.
    pub(super) fn unheard_bytes(&self) -> usize {
        self.unheard.iter().map(|answer| answer.body.len()).sum()
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

    /// What the ticket stands for is done; acknowledges what may be acknowledged by now.
    pub(super) fn acknowledge(&mut self, ticket: Ticket, output: &mut Output, now: Instant) {
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
    pub(super) fn unacknowledged_deadline(&self) -> Option<Instant> {
        if self.window.has_room() {
            return None;
        }
        Some(self.window.waits_since()? + UNACKNOWLEDGED_MAX)
    }
}

fn publish(topic: String, payload: Bytes, qos: QoS) -> Publish {
    Publish::from_bytes(topic, qos, payload)
}

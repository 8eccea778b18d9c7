//! The protocol of one connection, as a state machine without input and output.
//!
//! Owns the phases of a connection, what may come in each of them and by when;
//! what an open client's packets mean, and what may be under way for it, is in
//! `protocol/open.rs`. Every limit of a connection is here or there.
//! Bytes go in, [`Demand`]s and bytes come out, and the time is given.
//! Leaves moving the bytes and meeting the demands to `connection.rs`, which
//! drives it; tests and the fuzz target drive it too.
//!
//! Source: MQTT 3.1.1 (OASIS), and Azure IoT Hub, "Communicate with your IoT
//! hub using the MQTT protocol".

use std::time::Instant;

use bytes::Bytes;
use rumqttc::mqttbytes::v4::{ConnAck, ConnectReturnCode, Packet};
use wasm_edge_model::message::Message;

use super::connect::{Greeting, Refusal, Unfit};
use super::frame::{Frames, PACKET_MAX_BYTES, Violation};
use super::subscriptions::Subscriptions;
use super::topic::{self, Subscription};

mod acks;
mod open;
mod output;
mod window;

pub use acks::Ticket;
use open::Open;
use output::Output;

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
        self.phase = Phase::Open(Box::new(Open::new(*greeting, subscriptions, now)));
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
            open.answered(ticket, answer, &mut self.output, now);
        }
    }

    /// A change of subscriptions is stored.
    pub fn subscribed(&mut self, change: &SubscriptionChange, now: Instant) {
        if let Phase::Open(open) = &mut self.phase {
            open.subscribed(change, &mut self.output, now);
        }
    }

    /// It is noted that a message to the device was received.
    pub fn command_completed(&mut self) {
        if let Phase::Open(open) = &mut self.phase {
            open.command_completed();
        }
    }

    /// Tells the client of a change of its desired properties, if it has subscribed to them.
    pub fn tell_desired(&mut self, version: u64, body: Bytes, now: Instant) {
        if let Phase::Open(open) = &mut self.phase {
            open.tell_desired(version, body, &mut self.output, now);
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
        match &mut self.phase {
            Phase::Open(open) => {
                let topic = topic::method(name, request_id);
                open.call_method(topic, payload, &mut self.output, now)
            }
            _ => false,
        }
    }

    /// How many more messages to the device may be sent; none if it has not subscribed to them.
    pub fn command_room(&self) -> usize {
        match &self.phase {
            Phase::Open(open) => open.command_room(&self.output),
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
        match &mut self.phase {
            Phase::Open(open) => {
                open.send_command(number, message, duplicate, &mut self.output, now)
            }
            _ => Err(CommandUnfit::NotSubscribed),
        }
    }

    /// Whether what subscribes to this is in force.
    pub fn is_subscribed(&self, subscription: Subscription) -> bool {
        match &self.phase {
            Phase::Open(open) => open.is_subscribed(subscription),
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
                Some(open.silence_deadline()),
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
            open.not_listened(now);
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
                open.not_listened(now);
                None
            }
            Phase::Open(open) => is_over(Some(open.silence_deadline())).then_some(Overdue::Silent),
            Phase::Deciding(_) | Phase::Over => None,
        }
    }

    /// What is to be sent for a client that is gone without taking its leave.
    pub fn take_will(&mut self) -> Option<Box<Message>> {
        match &mut self.phase {
            Phase::Open(open) => open.take_will(),
            _ => None,
        }
    }

    /// Bytes that are held for the client, in both directions; for tests of the limits.
    pub fn held_bytes(&self) -> usize {
        let unheard = match &self.phase {
            Phase::Open(open) => open.unheard_bytes(),
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

/// The most that a client makes the hub hold: a packet and what is read at once, all that may be
/// taken in, answers that wait, and one event beyond the mark.
pub const HELD_MAX_BYTES: usize = PACKET_MAX_BYTES + 1024 * 1024;

#[cfg(test)]
mod tests;

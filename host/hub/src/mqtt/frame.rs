//! Packets from bytes: the codec, with the strictness that it lacks.
//!
//! Owns where a packet begins and ends, how long each kind may be, and the
//! rules of the standard that can be seen in one packet alone: flags, packet
//! ids, lengths, texts. Leaves fields to the codec and their meaning to
//! `connect.rs`, `topic.rs` and `protocol.rs`.
//!
//! Source: MQTT 3.1.1 (OASIS), sections 1.5.3, 2.2, 3.

use bytes::BytesMut;
use rumqttc::mqttbytes::Error as CodecError;
use rumqttc::mqttbytes::v4::Packet;
use rumqttc::mqttbytes::{QoS, valid_topic};
use thiserror::Error;
use wasm_edge_model::message::MESSAGE_SIZE_MAX_BYTES;
use wasm_edge_net::mqtt::frame::{Head, head};

use super::topic::TopicError;

/// The longest topic that a packet can carry.
const TOPIC_MAX_BYTES: usize = 65_535;

/// The longest packet behind its fixed header: the largest message, the longest topic, their lengths
/// and a packet id. Properties are longer in a topic than they count in a message.
pub const PACKET_MAX_BYTES: usize = MESSAGE_SIZE_MAX_BYTES + TOPIC_MAX_BYTES + 4;

/// The longest CONNECT: whoever sends one is not known yet. Ids, a user name, a token, and a will of
/// a few kilobytes.
pub const CONNECT_MAX_BYTES: usize = 32 * 1024;

/// The longest SUBSCRIBE or UNSUBSCRIBE: several filters, each of two ids.
pub const SUBSCRIBE_MAX_BYTES: usize = 8 * 1024;

/// Filters in one SUBSCRIBE or UNSUBSCRIBE; there are five.
pub const FILTERS_MAX: usize = 16;

/// What a client did that ends its connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Violation {
    /// The first packet is no CONNECT.
    #[error("the first packet is no CONNECT")]
    NoConnect,
    /// It is another CONNECT.
    #[error("a second CONNECT")]
    SecondConnect,
    /// A server does not take such a packet.
    #[error("a packet of type {kind}, which a server of this kind does not take")]
    PacketType {
        /// The number of its type.
        kind: u8,
    },
    /// The reserved flags of a packet are not as they must be.
    #[error("a packet of type {kind} with wrong flags")]
    Flags {
        /// The number of its type.
        kind: u8,
    },
    /// The length of a packet is not written as it must be, or is not that of its kind.
    #[error("a packet with a wrong length")]
    Length,
    /// A packet is longer than its kind may be.
    #[error("a packet of type {kind} with {size_bytes} bytes")]
    TooLarge {
        /// The number of its type.
        kind: u8,
        /// What it would be.
        size_bytes: usize,
    },
    /// It is a CONNECT of another version of the protocol.
    #[error("another version of the protocol")]
    Version,
    /// The inside of a packet does not have the right form.
    #[error("a malformed packet: {problem}")]
    Malformed {
        /// What is wrong.
        problem: &'static str,
    },
    /// A packet has the id zero.
    #[error("a packet id of zero")]
    PacketId,
    /// A quality of service that the hub does not have.
    #[error("a message that is to be delivered exactly once")]
    ExactlyOnce,
    /// Nothing may be published to this topic.
    #[error("a message to a wrong topic")]
    Topic(#[source] TopicError),
    /// A filter is not one, or not one that the hub knows.
    #[error("a subscription to something unknown")]
    Filter,
    /// A message cannot be so.
    #[error("a message that cannot be taken: {problem}")]
    Message {
        /// What is wrong.
        problem: String,
    },
}

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 10;
const PINGREQ: u8 = 12;
const DISCONNECT: u8 = 14;

/// Bytes that came and are no whole packet yet.
#[derive(Debug, Default)]
pub(super) struct Frames {
    buffer: BytesMut,
}

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole packet, if there is one; with `first`, only a CONNECT is.
    pub(super) fn next(&mut self, first: bool) -> Result<Option<Packet>, Violation> {
        let Some(head) = head(&self.buffer).map_err(|_| Violation::Length)? else {
            self.let_go();
            return Ok(None);
        };
        check_head(head, first)?;
        let whole = head.length + head.remaining;
        if self.buffer.len() < whole {
            return Ok(None);
        }
        check_body(head, &self.buffer[head.length..whole])?;
        let packet = Packet::read(&mut self.buffer, PACKET_MAX_BYTES).map_err(malformed)?;
        check_packet(&packet)?;
        Ok(Some(packet))
    }

    /// A connection at rest holds no memory for what it may receive.
    fn let_go(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > 0 {
            self.buffer = BytesMut::new();
        }
    }
}

/// Checks what the first bytes of a packet say of it, before the rest is there.
fn check_head(head: Head, first: bool) -> Result<(), Violation> {
    let kind = head.kind();
    if first && kind != CONNECT {
        return Err(Violation::NoConnect);
    }
    let (flags, shortest, longest) = match kind {
        CONNECT if !first => return Err(Violation::SecondConnect),
        CONNECT => (0, 12, CONNECT_MAX_BYTES),
        PUBLISH => (head.flags(), 2, PACKET_MAX_BYTES),
        PUBACK => (0, 2, 2),
        SUBSCRIBE => (0b0010, 6, SUBSCRIBE_MAX_BYTES),
        UNSUBSCRIBE => (0b0010, 5, SUBSCRIBE_MAX_BYTES),
        PINGREQ | DISCONNECT => (0, 0, 0),
        _ => return Err(Violation::PacketType { kind }),
    };
    if head.flags() != flags {
        return Err(Violation::Flags { kind });
    }
    let size_bytes = head.remaining;
    match size_bytes {
        _ if size_bytes < shortest => Err(Violation::Length),
        _ if size_bytes <= longest => check_publish_flags(head),
        // What has one length only cannot be too large, just wrong.
        _ if shortest == longest => Err(Violation::Length),
        _ => Err(Violation::TooLarge { kind, size_bytes }),
    }
}

fn check_publish_flags(head: Head) -> Result<(), Violation> {
    if head.kind() != PUBLISH {
        return Ok(());
    }
    let (duplicate, qos) = (head.flags() & 0b1000 != 0, head.flags() >> 1 & 0b11);
    match qos {
        0 if duplicate => Err(Violation::Flags { kind: PUBLISH }),
        0 | 1 => Ok(()),
        2 => Err(Violation::ExactlyOnce),
        _ => Err(Violation::Flags { kind: PUBLISH }),
    }
}

/// Checks what the codec passes over or does not tell.
fn check_body(head: Head, body: &[u8]) -> Result<(), Violation> {
    match head.kind() {
        CONNECT => check_connect(body),
        SUBSCRIBE => check_filters(body, true),
        UNSUBSCRIBE => check_filters(body, false),
        _ => Ok(()),
    }
}

/// Flags of CONNECT, and that its fields fill it.
fn check_connect(mut body: &[u8]) -> Result<(), Violation> {
    let flags = Violation::Flags { kind: CONNECT };
    let name = take_text(&mut body)?;
    let [level] = take(&mut body)?;
    match (name, level) {
        (b"MQTT", 4) => {}
        (b"MQTT", _) | (b"MQIsdp", 3) => return Err(Violation::Version),
        _ => {
            let problem = "another protocol";
            return Err(Violation::Malformed { problem });
        }
    }
    // The last two are the keep-alive.
    let [connect, _, _] = take(&mut body)?;
    let has = |bit: u8| connect & bit != 0;
    let (user, password, will) = (has(0x80), has(0x40), has(0x04));
    let will_flags = connect & 0b0011_1000;
    let fits = !has(0x01) && (user || !password) && (will || will_flags == 0);
    if !fits || will_flags & 0b0001_1000 == 0b0001_1000 {
        return Err(flags);
    }
    take_text(&mut body)?;
    for _ in 0..[will, will, user, password]
        .into_iter()
        .filter(|is| *is)
        .count()
    {
        take_text(&mut body)?;
    }
    if body.is_empty() {
        Ok(())
    } else {
        Err(Violation::Length)
    }
}

/// The options behind each filter, and that there is one and not too many.
fn check_filters(mut body: &[u8], with_options: bool) -> Result<(), Violation> {
    let [_, _] = take(&mut body)?;
    let mut count = 0;
    while !body.is_empty() {
        take_text(&mut body)?;
        if with_options {
            let [options] = take(&mut body)?;
            if options > 2 {
                let problem = "options of a subscription";
                return Err(Violation::Malformed { problem });
            }
        }
        count += 1;
    }
    match count {
        0 => Err(Violation::Length),
        1..=FILTERS_MAX => Ok(()),
        _ => Err(Violation::Filter),
    }
}

fn take<const N: usize>(body: &mut &[u8]) -> Result<[u8; N], Violation> {
    let (taken, rest) = body.split_first_chunk().ok_or(Violation::Length)?;
    *body = rest;
    Ok(*taken)
}

/// Takes a text, or binary data, which have their length before them.
fn take_text<'a>(body: &mut &'a [u8]) -> Result<&'a [u8], Violation> {
    let length = usize::from(u16::from_be_bytes(take(body)?));
    let (text, rest) = body.split_at_checked(length).ok_or(Violation::Length)?;
    *body = rest;
    Ok(text)
}

/// Packet ids, and texts that are none.
fn check_packet(packet: &Packet) -> Result<(), Violation> {
    match packet {
        Packet::Publish(publish) => {
            check_text(&publish.topic)?;
            if publish.topic.is_empty() || !valid_topic(&publish.topic) {
                return Err(Violation::Topic(TopicError::Unknown));
            }
            // The codec refuses the id zero of those that have one.
            debug_assert!(publish.qos == QoS::AtMostOnce || publish.pkid != 0);
            Ok(())
        }
        Packet::PubAck(ack) => check_id(ack.pkid),
        Packet::Subscribe(subscribe) => {
            check_id(subscribe.pkid)?;
            let mut filters = subscribe.filters.iter();
            filters.try_for_each(|filter| check_text(&filter.path))
        }
        Packet::Unsubscribe(unsubscribe) => {
            check_id(unsubscribe.pkid)?;
            let mut topics = unsubscribe.topics.iter();
            topics.try_for_each(|topic| check_text(topic))
        }
        Packet::Connect(connect) => {
            check_text(&connect.client_id)?;
            connect
                .last_will
                .as_ref()
                .map_or(Ok(()), |will| check_text(&will.topic))?;
            let login = connect.login.as_ref();
            login.map_or(Ok(()), |login| check_text(&login.username))
        }
        _ => Ok(()),
    }
}

fn check_id(id: u16) -> Result<(), Violation> {
    if id == 0 {
        return Err(Violation::PacketId);
    }
    Ok(())
}

fn check_text(text: &str) -> Result<(), Violation> {
    if text.contains('\0') {
        let problem = "a text with a null character";
        return Err(Violation::Malformed { problem });
    }
    Ok(())
}

/// What the codec says, in the words of this module.
fn malformed(err: CodecError) -> Violation {
    let problem = match err {
        CodecError::PacketIdZero => return Violation::PacketId,
        CodecError::TopicNotUtf8 => "a text that is not UTF-8",
        _ => "its fields do not fit its length",
    };
    Violation::Malformed { problem }
}

#[cfg(test)]
mod tests;

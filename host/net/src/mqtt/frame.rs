//! Packets from bytes: the codec, with the strictness that it lacks.
//!
//! Owns where a packet begins and ends, and the rules of the standard for what a broker sends. Leaves fields to the
//! codec. [`head`] is also what a broker of ours begins with.
//!
//! Source: MQTT 3.1.1 (OASIS), sections 1.5.3, 2.2, 3.

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{Packet, SubAck, SubscribeReasonCode};
use rumqttc::mqttbytes::{Error as CodecError, valid_topic};

use super::{IDLE_BYTES, MqttError};

const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBACK: u8 = 9;
const UNSUBACK: u8 = 11;
const PINGRESP: u8 = 13;

/// The fixed header of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The first byte: kind and flags.
    pub first: u8,
    /// Its own length in bytes.
    pub length: usize,
    /// The length of what comes behind it, in bytes.
    pub remaining: usize,
}

/// The length of a packet is not written as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a packet with a wrong length")]
pub struct LengthError;

impl Head {
    /// The number of the packet's kind.
    pub fn kind(self) -> u8 {
        self.first >> 4
    }

    /// The flags of its kind.
    pub fn flags(self) -> u8 {
        self.first & 0x0f
    }
}

/// The fixed header at the beginning of `bytes`, if it is whole.
///
/// # Errors
/// [`LengthError`] if the length has more than four bytes, or is not written in its shortest form: the standard does
/// not demand that, but everybody writes it so.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, LengthError> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let mut remaining = 0;
    for index in 0..4 {
        let Some(&byte) = rest.get(index) else {
            return Ok(None);
        };
        remaining |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if index > 0 && byte == 0 {
                return Err(LengthError);
            }
            return Ok(Some(Head {
                first,
                length: index + 2,
                remaining,
            }));
        }
    }
    Err(LengthError)
}

/// What a broker may send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) packet_max_bytes: usize,
}

/// Bytes that came and are no whole packet yet.
#[derive(Debug)]
pub(super) struct Frames {
    buffer: BytesMut,
    limits: Limits,
}

impl Frames {
    pub(super) fn new(limits: Limits) -> Self {
        let buffer = BytesMut::new();
        Self { buffer, limits }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole packet, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Packet>, MqttError> {
        let head = head(&self.buffer).map_err(|_| MqttError::Violation("a wrong length"))?;
        let Some(head) = head else {
            // A connection at rest holds no memory for what it may receive.
            if self.buffer.is_empty() && self.buffer.capacity() > IDLE_BYTES {
                self.buffer = BytesMut::new();
            }
            return Ok(None);
        };
        check_head(head, self.limits)?;
        let whole = head.length + head.remaining;
        if self.buffer.len() < whole {
            return Ok(None);
        }
        check_body(head, &self.buffer[head.length..whole])?;
        let packet = Packet::read(&mut self.buffer, self.limits.packet_max_bytes);
        let packet = packet.map_err(|err| malformed(&err))?;
        check_packet(&packet)?;
        Ok(Some(packet))
    }
}

/// Whether the broker took a subscription.
pub(super) fn is_granted(ack: &SubAck) -> bool {
    matches!(
        ack.return_codes.as_slice(),
        [SubscribeReasonCode::Success(_)]
    )
}

/// Checks what the first bytes of a packet say of it, before the rest is there.
fn check_head(head: Head, limits: Limits) -> Result<(), MqttError> {
    let (shortest, longest) = match head.kind() {
        CONNACK | PUBACK | UNSUBACK => (2, 2),
        // There is one filter in each of our packets.
        SUBACK => (3, 3),
        PINGRESP => (0, 0),
        PUBLISH => (3, limits.packet_max_bytes),
        _ => return Err(MqttError::Violation("a packet that is not for clients")),
    };
    if head.length + head.remaining > limits.packet_max_bytes {
        return Err(MqttError::Violation("a packet above the limit"));
    }
    if head.remaining < shortest || head.remaining > longest {
        return Err(MqttError::Violation("a packet with a wrong length"));
    }
    let flags = head.flags();
    match head.kind() {
        // A message that is delivered at most once is no duplicate; 2 is exactly once, 3 is nothing.
        PUBLISH if flags & 0b0110 == 0 && flags & 0b1000 != 0 => {
            Err(MqttError::Violation("wrong flags"))
        }
        PUBLISH if flags & 0b0100 != 0 => Err(MqttError::Violation(
            "a message that is to be delivered exactly once",
        )),
        PUBLISH => Ok(()),
        _ if flags == 0 => Ok(()),
        _ => Err(MqttError::Violation("wrong flags")),
    }
}

/// Checks what the codec passes over.
fn check_body(head: Head, body: &[u8]) -> Result<(), MqttError> {
    match (head.kind(), body) {
        // Bits that are reserved, or a session for one that is refused.
        (CONNACK, [flags, code]) if *flags > 1 || (*flags == 1 && *code != 0) => {
            Err(MqttError::Violation("wrong flags in CONNACK"))
        }
        (SUBACK, [.., code]) if !matches!(code, 0 | 1 | 0x80) => {
            Err(MqttError::Violation("a wrong code in SUBACK"))
        }
        _ => Ok(()),
    }
}

fn check_packet(packet: &Packet) -> Result<(), MqttError> {
    let Packet::Publish(publish) = packet else {
        return Ok(());
    };
    let topic = publish.topic.as_str();
    match topic.is_empty() || topic.contains('\0') || !valid_topic(topic) {
        true => Err(MqttError::Violation("a message without a proper topic")),
        false => Ok(()),
    }
}

/// What the codec says, in the words of this module.
fn malformed(err: &CodecError) -> MqttError {
    MqttError::Violation(match err {
        CodecError::PacketIdZero => "a packet id of zero",
        CodecError::TopicNotUtf8 => "a text that is not UTF-8",
        CodecError::InvalidConnectReturnCode(_) => "a return code that there is none",
        _ => "a packet whose fields do not fit its length",
    })
}

#[cfg(test)]
mod tests;

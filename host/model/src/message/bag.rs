//! Property bags: what a topic's last level says of a message.
//!
//! Owns reading and writing `key=value&key=value`, percent-encoded as RFC 3986
//! has it, and which system properties travel in which direction. Leaves
//! limits of values to [`Message::check`]. Called on both sides of the wire:
//! by the hub's topics, and by the device's sessions.
//!
//! Source: Azure IoT Hub, "Communicate with your IoT hub using the MQTT protocol".

use std::fmt::Write as _;

use super::{Message, PROPERTIES_MAX, SystemProperty};
use crate::percent::RESERVED;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use thiserror::Error;

/// What names of system properties begin with.
const SYSTEM_PREFIX: &str = "$.";

/// Entries of one bag: all application properties and all system properties that there are.
const ENTRIES_MAX: usize = PROPERTIES_MAX + 32;

/// Why a text is no property bag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BagError {
    /// Decoded, a key or a value is not UTF-8.
    #[error("a property is not UTF-8")]
    NotUtf8,
    /// There are more entries than a message may have properties.
    #[error("there are more than {ENTRIES_MAX} properties")]
    TooMany,
}

/// Reads a bag into the properties of `message`.
///
/// A `/` at the end is passed over, as some clients write one. A `+` is a plus. Of a repeated key
/// the last value counts. What only the hub sets, and system properties that are not known, are
/// passed over; `$.on` is taken.
///
/// # Errors
/// [`BagError`]; `message` may have got some of the properties then.
pub fn read(bag: &str, message: &mut Message) -> Result<(), BagError> {
    let bag = bag.strip_suffix('/').unwrap_or(bag);
    let entries = bag.split('&').filter(|entry| !entry.is_empty());
    for (count, entry) in entries.enumerate() {
        if count == ENTRIES_MAX {
            return Err(BagError::TooMany);
        }
        let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
        let decode = |text| percent_decode_str(text).decode_utf8();
        let key = decode(key).map_err(|_| BagError::NotUtf8)?;
        let value = decode(value).map_err(|_| BagError::NotUtf8)?;
        match SystemProperty::from_wire_key(&key) {
            Some(property) if !property.set_by_host() || property == SystemProperty::OutputName => {
                message.system.set(property, value);
            }
            Some(_) => {}
            None if key.starts_with(SYSTEM_PREFIX) => {}
            None => message.properties.set(key, value),
        }
    }
    Ok(())
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toward {
    /// From a device or module to its hub.
    Hub,
    /// From the hub to a device.
    Receiver,
}

/// Appends the bag of `message` to `topic`.
///
/// The hub is told the output that the message was sent to, and not what it sets itself; a receiver
/// the other way round. What has no key on the wire is left out.
pub fn write(message: &Message, toward: Toward, topic: &mut String) {
    let system = message.system.iter().filter_map(|(property, value)| {
        let is_told = match toward {
            Toward::Hub => !property.set_by_host() || property == SystemProperty::OutputName,
            Toward::Receiver => !matches!(
                property,
                SystemProperty::OutputName | SystemProperty::InterfaceId
            ),
        };
        Some((property.wire_key().filter(|_| is_told)?, value))
    });
    let mut separator = "";
    for (key, value) in system.chain(message.properties.iter()) {
        let (key, value) = (encoded(key), encoded(value));
        write!(topic, "{separator}{key}={value}").expect("a String takes all that is written");
        separator = "&";
    }
}

/// A text in the form in which it may stand in a topic.
pub fn encoded(text: &str) -> percent_encoding::PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bag: &str, system: &[(SystemProperty, &str)], properties: &[(&str, &str)]) {
        let mut message = Message::default();
        read(bag, &mut message).unwrap();
        assert_eq!(message.system.iter().collect::<Vec<_>>(), system, "{bag}");
        let found: Vec<_> = message.properties.iter().collect();
        assert_eq!(found, properties, "{bag}");
    }

    #[test]
    fn bags_of_the_official_clients_are_read() {
        use SystemProperty::*;
        check("", &[], &[]);
        check("/", &[], &[]);
        check(
            "%24.on=out%201&%24.mid=id%201&%24.ct=application%2Fjson&%24.ce=utf-8&k%20y=v%2F1%2B2",
            &[
                (MessageId, "id 1"),
                (ContentType, "application/json"),
                (ContentEncoding, "utf-8"),
                (OutputName, "out 1"),
            ],
            &[("k y", "v/1+2")],
        );
        // Node writes a slash behind the bag of an output.
        check("%24.on=out1&a=1/", &[(OutputName, "out1")], &[("a", "1")]);
        check("$.mid=plain", &[(MessageId, "plain")], &[]);
        check("a+b=c+d", &[], &[("a+b", "c+d")]);
        check(
            "iothub-operation=x&ack=full",
            &[(Operation, "x")],
            &[("ack", "full")],
        );
    }

    #[test]
    fn odd_bags_are_read_as_far_as_they_have_a_meaning() {
        check(
            "k&l=&m==&=n",
            &[],
            &[("k", ""), ("l", ""), ("m", "="), ("", "n")],
        );
        check("&&a=1&&a=2&", &[], &[("a", "2")]);
        check("a=%zz%4&b=%C3%A4", &[], &[("a", "%zz%4"), ("b", "ä")]);
        // Who sent it is the hub's to say.
        check("%24.cdid=other&$.cmid=other&$.unknown=1", &[], &[]);
    }

    #[test]
    fn what_is_no_bag_is_refused() {
        let check = |bag: &str, expected| {
            assert_eq!(read(bag, &mut Message::default()), Err(expected));
        };
        check("a=%ff", BagError::NotUtf8);
        check("%ff=a", BagError::NotUtf8);
        check(&"a&".repeat(ENTRIES_MAX + 1), BagError::TooMany);
        read(&"a&".repeat(ENTRIES_MAX), &mut Message::default()).unwrap();
    }

    #[test]
    fn a_bag_is_written_as_each_side_reads_it() {
        let mut message = Message::default();
        for (property, value) in [
            (SystemProperty::OutputName, "out 1"),
            (SystemProperty::MessageId, "7/8"),
            (SystemProperty::ConnectionDeviceId, "d1"),
            (SystemProperty::InterfaceId, "i"),
            (SystemProperty::InputName, "in"),
            (SystemProperty::EnqueuedTime, "2026-01-01T00:00:00Z"),
        ] {
            message.system.set(property, value);
        }
        message.properties.set("k +", "a&b=c#");
        message.properties.set("empty", "");
        let check = |toward, expected: &str| {
            let mut topic = "t/".to_owned();
            write(&message, toward, &mut topic);
            assert_eq!(topic, expected);
        };
        check(
            Toward::Receiver,
            "t/%24.mid=7%2F8&%24.cdid=d1&k%20%2B=a%26b%3Dc%23&empty=",
        );
        check(
            Toward::Hub,
            "t/%24.mid=7%2F8&%24.on=out%201&%24.ifid=i&k%20%2B=a%26b%3Dc%23&empty=",
        );
    }
}

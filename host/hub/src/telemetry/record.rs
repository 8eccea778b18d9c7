//! How a message lies in the log: its head as JSON, with its length before it, then its body.
//!
//! Owns this form and that of a segment's head record. Version 1, named in
//! [`FORMAT`].

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};
use wasm_edge_model::message::{Message, SystemProperty};
use wasm_edge_model::time::Timestamp;

use super::Telemetry;

/// What the log's files say that they hold; the last byte is the version.
pub(super) const FORMAT: [u8; 8] = *b"hubtele\x01";

const LENGTH_BYTES: usize = 4;

/// The head record of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SegmentHead {
    /// The position of its first message.
    pub(super) first: u64,
    /// For how long the hub had run in all when it was begun.
    pub(super) begun_ms: u64,
}

impl SegmentHead {
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers are JSON")
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    position: u64,
    device: Cow<'a, DeviceId>,
    module: Option<Cow<'a, ModuleId>>,
    enqueued: Timestamp,
    /// Names and values in the sender's order.
    properties: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    system: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// Appends the record of `telemetry`.
pub(super) fn encode(telemetry: &Telemetry, bytes: &mut Vec<u8>) {
    let message = &telemetry.message;
    let system = message.system.iter();
    let head = Head {
        position: telemetry.position,
        device: Cow::Borrowed(telemetry.source.device()),
        module: telemetry.source.module().map(Cow::Borrowed),
        enqueued: telemetry.enqueued,
        properties: message
            .properties
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        system: system
            .map(|(property, value)| (property.name().into(), value.into()))
            .collect(),
    };
    let start = bytes.len();
    bytes.extend_from_slice(&[0; LENGTH_BYTES]);
    serde_json::to_writer(&mut *bytes, &head).expect("texts and numbers are JSON");
    let length = bytes.len() - start - LENGTH_BYTES;
    let length = u32::try_from(length).expect("a head is within a message's limits");
    bytes[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&message.body);
}

/// Reads a record; nothing if it is none.
pub(super) fn decode(bytes: &[u8]) -> Option<Telemetry> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (head, body) = rest.split_at_checked(length)?;
    let head: Head<'_> = serde_json::from_slice(head).ok()?;
    let device = head.device.into_owned();
    let source = match head.module {
        None => TwinOwner::Device(device),
        Some(module) => TwinOwner::Module(ModuleIdentity {
            device,
            module: module.into_owned(),
        }),
    };
    let mut message = Message {
        body: Bytes::copy_from_slice(body),
        ..Message::default()
    };
    for (name, value) in head.properties {
        message.properties.set(name, value);
    }
    for (name, value) in head.system {
        if let Some(property) = SystemProperty::from_name(&name) {
            message.system.set(property, value);
        }
    }
    Some(Telemetry {
        position: head.position,
        source,
        enqueued: head.enqueued,
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_was() {
        let mut message = Message {
            body: Bytes::from_static(b"\0\xff"),
            ..Message::default()
        };
        message.properties.set("b\"", "2");
        message.properties.set("a", "");
        message.system.set(SystemProperty::MessageId, "7");
        let device = DeviceId::new("d").unwrap();
        let module = ModuleId::new("$edgeAgent").unwrap();
        for source in [
            TwinOwner::Device(device.clone()),
            TwinOwner::Module(ModuleIdentity { device, module }),
        ] {
            let telemetry = Telemetry {
                position: u64::MAX,
                source,
                enqueued: "2026-08-01T10:00:00.1234567Z".parse().unwrap(),
                message: message.clone(),
            };
            let mut bytes = b"before".to_vec();
            encode(&telemetry, &mut bytes);
            assert_eq!(decode(&bytes[6..]), Some(telemetry));
            for end in 6..bytes.len() - 2 {
                assert_eq!(decode(&bytes[6..end]), None);
            }
        }
    }

    #[test]
    fn records_of_version_1_are_read() {
        let head = r#"{"position":3,"device":"d","module":null,"enqueued":"2026-08-01T10:00:00Z","properties":[["k","v"]],"system":[["contentType","text/plain"]]}"#;
        let mut bytes = u32::try_from(head.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(b"body");
        let telemetry = decode(&bytes).unwrap();
        assert_eq!(telemetry.position, 3);
        assert_eq!(telemetry.message.body, "body");
        assert_eq!(telemetry.message.properties.get("k"), Some("v"));
        let content_type = telemetry.message.system.get(SystemProperty::ContentType);
        assert_eq!(content_type, Some("text/plain"));
        let head = SegmentHead::decode(br#"{"first":7,"begunMs":100}"#);
        assert_eq!(
            head,
            Some(SegmentHead {
                first: 7,
                begun_ms: 100
            })
        );
    }
}

//! The stored form of one message to a device.
//!
//! Owns the JSON that the store keeps, with the version of its form; the
//! body is base64 in it. Leaves its place among the others to the queue.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasm_edge_model::message::{Message, SystemProperty};
use wasm_edge_model::time::Timestamp;

use crate::command::Feedback;

/// The version of the stored form that this build writes and reads.
const COMMAND_FORMAT: u32 = 1;

/// A message as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredCommand {
    /// The generation of the device that it was sent to.
    pub(super) generation_id: String,
    pub(super) enqueued: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) ack: Feedback,
    pub(super) message: Message,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    format: u32,
    generation_id: String,
    enqueued: Timestamp,
    expires_at: Timestamp,
    ack: Feedback,
    /// Names and values in the sender's order.
    properties: Vec<(String, String)>,
    system: Vec<(String, String)>,
    body: String,
}

impl StoredCommand {
    /// Reads the document; the error is for the log.
    pub(super) fn decode(content: &[u8]) -> Result<Self, String> {
        let stored: Stored = serde_json::from_slice(content).map_err(|err| err.to_string())?;
        if stored.format != COMMAND_FORMAT {
            let found = stored.format;
            return Err(format!(
                "it has format {found}, this version reads {COMMAND_FORMAT}"
            ));
        }
        let body = BASE64.decode(stored.body).map_err(|err| err.to_string())?;
        let mut message = Message {
            body: body.into(),
            properties: stored.properties.into_iter().collect(),
            ..Message::default()
        };
        for (name, value) in stored.system {
            let property = SystemProperty::from_name(&name)
                .ok_or_else(|| format!("`{name}` is no system property"))?;
            message.system.set(property, value);
        }
        Ok(Self {
            generation_id: stored.generation_id,
            enqueued: stored.enqueued,
            expires_at: stored.expires_at,
            ack: stored.ack,
            message,
        })
    }

    pub(super) fn encode(&self) -> Bytes {
        let pairs = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let message = &self.message;
        let properties = message.properties.iter();
        let system = message.system.iter();
        let stored = Stored {
            format: COMMAND_FORMAT,
            generation_id: self.generation_id.clone(),
            enqueued: self.enqueued,
            expires_at: self.expires_at,
            ack: self.ack,
            properties: properties.map(|(name, value)| pairs(name, value)).collect(),
            system: system
                .map(|(property, value)| pairs(property.name(), value))
                .collect(),
            body: BASE64.encode(&message.body),
        };
        Bytes::from(serde_json::to_vec(&stored).expect("texts and numbers are JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_format_is_read_and_written_as_it_was_and_no_other() {
        let stored = r#"{"format":1,"generationId":"639","enqueued":"2026-08-01T10:00:00.0000000Z","expiresAt":"2026-08-01T11:00:00.0000000Z","ack":"full","properties":[["b","2"],["a",""]],"system":[["messageId","7"],["absolute-expiry-time","2026-08-01T11:00:00Z"]],"body":"AP8="}"#;
        let command = StoredCommand::decode(stored.as_bytes()).unwrap();
        assert_eq!(command.message.body.as_ref(), b"\0\xff");
        assert_eq!(command.message.properties.get("a"), Some(""));
        assert_eq!(command.ack, Feedback::Full);
        assert_eq!(command.encode(), stored);
        for (change, expected) in [
            (
                ("\"format\":1", "\"format\":2"),
                "it has format 2, this version reads 1",
            ),
            (("messageId", "huh"), "`huh` is no system property"),
        ] {
            let other = stored.replace(change.0, change.1);
            assert_eq!(
                StoredCommand::decode(other.as_bytes()).unwrap_err(),
                expected
            );
        }
    }
}

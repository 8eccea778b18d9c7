//! Messages from the cloud to a device: what is sent, what waits, what the sender hears.
//!
//! Owns their form and limits. Leaves keeping them to the hub and bringing
//! them to the device to the faces. Modules get none.
//!
//! Feedback (`ack`) would go back over AMQP, which this hub does not speak:
//! what the sender asks for is kept and shown to the device, and nobody is
//! told what became of the message.
//!
//! Source: Azure IoT Hub, "Send cloud-to-device messages".

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasm_edge_model::message::Message;
use wasm_edge_model::time::Timestamp;

use crate::error::HubError;

/// The most that a message to a device may hold: body and application properties.
pub const COMMAND_SIZE_MAX_BYTES: usize = 64 * 1024;

/// How many messages may wait for one device.
pub const COMMANDS_PER_DEVICE_MAX: usize = 50;

/// How long a message waits when its sender does not say.
pub const TIME_TO_LIVE_DEFAULT: Duration = Duration::from_secs(60 * 60);

/// The longest time that a message may wait.
pub const TIME_TO_LIVE_MAX: Duration = Duration::from_secs(48 * 60 * 60);

/// How often a message is sent to the device at most, unless the hub is told otherwise.
pub const DELIVERIES_DEFAULT: u32 = 10;

/// How often a hub can be told to send a message to the device at most.
pub const DELIVERIES_MAX: u32 = 100;

/// How long messages to devices wait, and how often each is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandLimits {
    /// How long a message waits when its sender does not say; up to [`TIME_TO_LIVE_MAX`].
    pub time_to_live: Duration,
    /// How often a message is sent to the device before it is given up; 1 to [`DELIVERIES_MAX`].
    pub deliveries_max: u32,
}

impl Default for CommandLimits {
    fn default() -> Self {
        Self {
            time_to_live: TIME_TO_LIVE_DEFAULT,
            deliveries_max: DELIVERIES_DEFAULT,
        }
    }
}

/// What the sender of a message wants to hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Feedback {
    /// Nothing.
    #[default]
    None,
    /// That the device completed it.
    Positive,
    /// That it expired, was rejected or tried too often.
    Negative,
    /// Whatever became of it.
    Full,
}

impl Feedback {
    /// The value of `ack` in the service API and of `iothub-ack` in a property bag.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Full => "full",
        }
    }
}

impl FromStr for Feedback {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        [Self::None, Self::Positive, Self::Negative, Self::Full]
            .into_iter()
            .find(|feedback| feedback.as_str() == text)
            .ok_or_else(|| HubError::Invalid {
                problem: format!(
                    "`ack` is `{}`; expected `none`, `positive`, `negative` or `full`",
                    text.escape_debug()
                ),
            })
    }
}

/// How a message is sent to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommandOptions {
    /// What the sender wants to hear of it; see the head of this file.
    pub ack: Feedback,
    /// When it loses its meaning, at most [`TIME_TO_LIVE_MAX`] ahead; a point in time of the hub's
    /// clock, as in IoT Hub. Without one it waits [`CommandLimits::time_to_live`].
    pub expires_at: Option<Timestamp>,
}

/// What the sender of a message is told once it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandReceipt {
    /// Its id: the sender's, or one that the hub made.
    pub message_id: String,
    /// Its place in the order of this device's messages.
    pub number: u64,
    /// When it is thrown away.
    pub expires_at: Timestamp,
}

impl CommandReceipt {
    /// The receipt as REST gives it.
    pub fn to_json(&self) -> Value {
        json!({
            "messageId": self.message_id,
            "number": self.number,
            "expiresAt": self.expires_at,
        })
    }
}

/// A message that waits for its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its place in the order of this device's messages; never used twice as long as the device
    /// is the same ([`Command::generation_id`]).
    pub number: u64,
    /// The generation of the device that it was sent to.
    pub generation_id: String,
    /// When the hub took it.
    pub enqueued: Timestamp,
    /// When it is thrown away.
    pub expires_at: Timestamp,
    /// What the sender wants to hear of it.
    pub ack: Feedback,
    /// How often it was sent to the device so far.
    pub deliveries: u32,
    /// The message itself, with `to`, `messageId` and, where the sender gave one, `absolute-expiry-time`.
    pub message: Message,
}

/// How the attempt to bring a message to its device is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Send it.
    Send,
    /// Do not: it was completed, purged, expired, or tried too often.
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sender_wants_to_hear_has_four_names() {
        for name in ["none", "positive", "negative", "full"] {
            assert_eq!(name.parse::<Feedback>().unwrap().as_str(), name);
        }
        let err = "Full\n".parse::<Feedback>().unwrap_err();
        let expected = "`ack` is `Full\\n`; expected `none`, `positive`, `negative` or `full`";
        assert_eq!(err.to_string(), expected);
    }
}

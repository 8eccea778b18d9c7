//! Telemetry: kept on disk for a while, and read from there by position.
//!
//! Owns the numbers that messages get, what is kept and for how long, and
//! readers that go on where they stood. A message is acknowledged when it is
//! on disk; readers see only such ones. Memory does not grow with slow
//! readers, nor with what is kept. Leaves the files to the segmented log.
//!
//! The terms are those of Kafka and Event Hubs: a *position* is what they
//! call an offset or sequence number, *earliest* and *latest* are where a
//! reader without one begins.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::message::Message;
use wasm_edge_model::time::Timestamp;

pub mod consumer;
mod log;
mod reader;
mod record;
mod retention;
mod writer;

pub(crate) use log::TelemetryLog;
pub use reader::TelemetryReader;

/// How many may read at once; each holds about 256 KiB.
pub const READERS_MAX: usize = 16;

/// The folder of the log, beside the hub's database.
pub const TELEMETRY_FOLDER: &str = "telemetry";

/// The least that [`Retention::max_bytes`] may be: several segments that hold the largest messages.
pub const RETENTION_MIN_BYTES: u64 = 8 * 1024 * 1024;

/// How much telemetry is kept, read or not: the oldest goes when either is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// What the files may take; at least [`RETENTION_MIN_BYTES`] count.
    pub max_bytes: u64,
    /// How old a message may get, give or take an eighth. Time in which the hub does not run does
    /// not count, so that no clock that is set wrong or right drops anything.
    pub max_age: Duration,
}

impl Default for Retention {
    /// 256 MiB; one day, as at IoT Hub.
    fn default() -> Self {
        Self {
            max_bytes: 256 * 1024 * 1024,
            max_age: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartAt {
    /// With the oldest message that is kept.
    Earliest,
    /// With the next one that comes.
    #[default]
    Latest,
    /// With the message at this position.
    Position(u64),
}

/// A text is no [`StartAt`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no position; expected `earliest`, `latest` or a number", .text.escape_debug())]
pub struct StartAtError {
    text: String,
}

impl FromStr for StartAt {
    type Err = StartAtError;

    fn from_str(text: &str) -> Result<Self, StartAtError> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            number => {
                let digits = number.bytes().all(|byte| byte.is_ascii_digit());
                let position = number.parse().ok().filter(|_| digits);
                position.map(Self::Position).ok_or_else(|| StartAtError {
                    text: text.chars().take(60).collect(),
                })
            }
        }
    }
}

impl fmt::Display for StartAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Position(position) => position.fmt(f),
        }
    }
}

/// A message that the hub accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// Its number among all messages of the hub, which go on by one, also over restarts.
    pub position: u64,
    /// The device or module whose session sent it.
    pub source: TwinOwner,
    /// When the hub accepted it.
    pub enqueued: Timestamp,
    /// The message, with `connectionDeviceId`, `connectionModuleId` and `enqueuedTime` set by the hub.
    pub message: Message,
}

impl Telemetry {
    /// The message as one JSON object: that of [`Message::to_json`] with `position`, `device`,
    /// `module` and `enqueuedTime`.
    pub fn to_json(&self) -> Value {
        let mut json = self.message.to_json();
        json["position"] = Value::from(self.position);
        json["device"] = Value::from(self.source.device().as_str());
        json["module"] = self
            .source
            .module()
            .map(|module| Value::from(module.as_str()))
            .into();
        json["enqueuedTime"] = Value::from(self.enqueued.to_string());
        json
    }
}

/// What of the telemetry is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TelemetryStatus {
    /// The position of the oldest message that is kept; [`Self::next`] if there is none.
    pub earliest: u64,
    /// The position that the next message gets.
    pub next: u64,
    /// What the files take.
    pub bytes: u64,
    /// How many read at the moment.
    pub readers: usize,
    /// Whether the disk takes nothing at the moment, so that nothing is acknowledged.
    pub failing: bool,
}

/// What a reader of telemetry gets.
#[derive(Debug, Clone, PartialEq)]
pub enum TelemetryEvent {
    /// A message.
    Message(Box<Telemetry>),
    /// So many messages are gone: they were too old or too many, or damaged on disk.
    Lost(u64),
}

#[cfg(test)]
pub(crate) mod tests;

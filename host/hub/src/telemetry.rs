//! Telemetry as it arrives, for those who watch it.
//!
//! Owns a bounded stretch of the newest messages that all readers share: a
//! reader that is too slow loses the oldest and is told how many. Without
//! readers nothing is kept. Leaves storing telemetry to whoever reads it; the
//! hub itself only passes it on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::message::Message;
use wasm_edge_model::time::Timestamp;

use crate::error::HubError;
use crate::hub::Hub;

/// Bytes that are kept for slow readers, all together.
pub const KEPT_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Messages that are kept for slow readers, all together.
pub const KEPT_MAX_MESSAGES: usize = 4096;

/// How many may watch at once.
pub const READERS_MAX: usize = 16;

/// What a message is taken to cost beside its body and properties: the structures that hold it.
const MESSAGE_OVERHEAD_BYTES: usize = 512;

/// What a property is taken to cost beside its text: two strings' headers and the allocator's share.
const PROPERTY_OVERHEAD_BYTES: usize = 96;

/// A message that the hub accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// The device or module whose session sent it.
    pub source: TwinOwner,
    /// When the hub accepted it.
    pub enqueued: Timestamp,
    /// The message, with `connectionDeviceId`, `connectionModuleId` and `enqueuedTime` set by the hub.
    pub message: Message,
}

impl Telemetry {
    /// The message as one JSON object: that of [`Message::to_json`] with `device`, `module` and
    /// `enqueuedTime`.
    pub fn to_json(&self) -> Value {
        let mut json = self.message.to_json();
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

/// What a reader of telemetry gets.
#[derive(Debug, Clone, PartialEq)]
pub enum TelemetryEvent {
    /// A message.
    Message(Arc<Telemetry>),
    /// So many messages were dropped because the reader was too slow.
    Lost(u64),
}

/// The newest messages, shared by all readers.
#[derive(Debug)]
pub(crate) struct TelemetryFeed {
    /// Written by sessions that send, read by readers; short sections only.
    kept: Mutex<Kept>,
    /// Says that something changed in `kept`.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Kept {
    messages: VecDeque<(Arc<Telemetry>, usize)>,
    size_bytes: usize,
    /// The number of the first message in `messages`; the numbers go on for ever.
    first: u64,
    readers: usize,
    closed: bool,
}

impl Kept {
    fn next(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    fn push(&mut self, telemetry: Telemetry) {
        let message = &telemetry.message;
        let properties = message.properties.len() + message.system.len();
        let size_bytes = message.size_bytes()
            + message.system.bytes()
            + properties * PROPERTY_OVERHEAD_BYTES
            + MESSAGE_OVERHEAD_BYTES;
        self.messages.push_back((Arc::new(telemetry), size_bytes));
        self.size_bytes += size_bytes;
        while self.size_bytes > KEPT_MAX_BYTES || self.messages.len() > KEPT_MAX_MESSAGES {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((_, size_bytes)) = self.messages.pop_front() {
            self.size_bytes -= size_bytes;
            self.first += 1;
        }
    }
}

impl Default for TelemetryFeed {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl TelemetryFeed {
    pub(crate) fn publish(&self, telemetry: Telemetry) {
        let mut kept = self.kept();
        if kept.readers == 0 || kept.closed {
            return;
        }
        kept.push(telemetry);
        drop(kept);
        self.changed.send_replace(());
    }

    pub(crate) fn close(&self) {
        self.kept().closed = true;
        self.changed.send_replace(());
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads telemetry from the moment it was made on.
pub struct TelemetryReader {
    hub: Hub,
    /// The number of the message to read next.
    next: u64,
    changed: watch::Receiver<()>,
}

impl Hub {
    /// Watches all telemetry from now on.
    ///
    /// # Errors
    /// [`HubError::TooManyReaders`], [`HubError::Closed`].
    pub fn telemetry(&self) -> Result<TelemetryReader, HubError> {
        let feed = self.telemetry_feed();
        let mut kept = feed.kept();
        if kept.closed {
            return Err(HubError::Closed);
        }
        if kept.readers == READERS_MAX {
            return Err(HubError::TooManyReaders {
                what: "telemetry",
                limit: READERS_MAX,
            });
        }
        kept.readers += 1;
        let next = kept.next();
        drop(kept);
        Ok(TelemetryReader {
            hub: self.clone(),
            next,
            changed: feed.changed.subscribe(),
        })
    }
}

impl TelemetryReader {
    /// The next message, or how many were lost before it; nothing once the hub is closed.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<TelemetryEvent> {
        loop {
            // Marked as seen before looking, so that no message falls in between.
            self.changed.mark_unchanged();
            match self.take() {
                Taken::Event(event) => return Some(event),
                Taken::Closed => return None,
                Taken::Nothing => self.changed.changed().await.ok()?,
            }
        }
    }

    fn take(&mut self) -> Taken {
        let kept = self.hub.telemetry_feed().kept();
        if kept.closed {
            return Taken::Closed;
        }
        if self.next < kept.first {
            let lost = kept.first - self.next;
            self.next = kept.first;
            return Taken::Event(TelemetryEvent::Lost(lost));
        }
        let index = usize::try_from(self.next - kept.first).unwrap_or(usize::MAX);
        let Some((telemetry, _)) = kept.messages.get(index) else {
            return Taken::Nothing;
        };
        self.next += 1;
        Taken::Event(TelemetryEvent::Message(Arc::clone(telemetry)))
    }
}

enum Taken {
    Event(TelemetryEvent),
    Nothing,
    Closed,
}

impl Drop for TelemetryReader {
    fn drop(&mut self) {
        let mut kept = self.hub.telemetry_feed().kept();
        kept.readers -= 1;
        if kept.readers == 0 {
            while !kept.messages.is_empty() {
                kept.drop_first();
            }
            kept.messages.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests;

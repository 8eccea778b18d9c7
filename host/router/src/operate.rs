//! What an operator sees of the messages in the queues and does with them, in plain types.
//!
//! [`crate::router::Router`] has the calls: a look at what waits, which takes nothing, throwing away, and bringing
//! back what was put aside.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasm_edge_model::message::{Message, MessageId, MessageSource};

use crate::journal::commit::Stored;

/// Messages that one look shows at most: enough to see what waits, and no burden for the device.
pub const PEEK_MESSAGES_MAX: usize = 1_000;

/// Bytes that one look reads at most from each queue.
pub(crate) const PEEK_BYTES_MAX: usize = 1024 * 1024;

/// A message that waits at an endpoint.
#[derive(Debug, Clone)]
pub struct WaitingMessage {
    /// Its identity.
    pub id: MessageId,
    /// Its order of arrival in the router.
    pub sequence: u64,
    /// The priority it waits at; 0 is the highest.
    pub priority: u32,
    /// The message itself.
    pub message: Arc<Message>,
    /// Who sent it.
    pub source: MessageSource,
    /// Failed tries since the start of the device.
    pub failed_tries: u32,
    /// Times that the module asked for it later, since the start of the device.
    pub retries: u32,
    /// How long ago it was taken.
    pub age: Duration,
    /// How much longer it may wait; absent for ever.
    pub expires_in: Option<Duration>,
}

/// A part of what is at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What waits to be taken.
    Waiting,
    /// What was put aside.
    Aside,
}

/// How many messages came back to their queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retried {
    /// Those that wait again.
    pub messages: usize,
    /// Those that are still aside, since there is no room for them.
    pub without_room: usize,
}

impl Stored {
    /// As an operator sees it.
    pub(crate) fn show(self, store: u32, priority: u32, now: Instant) -> WaitingMessage {
        WaitingMessage {
            id: self.id.id(store),
            sequence: self.sequence.number(),
            priority,
            message: Arc::new(self.message),
            source: self.source,
            failed_tries: 0,
            retries: 0,
            age: now.saturating_duration_since(self.taken_at),
            expires_in: self.expires_at.map(|at| at.saturating_duration_since(now)),
        }
    }
}

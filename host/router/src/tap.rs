//! A look at what goes upstream, as it is accepted, for those who watch.
//!
//! Owns how much may wait for one who watches slowly. The state tells it of each message that enters the queue of
//! `$upstream`; without anybody who watches that costs one comparison.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use wasm_edge_model::message::{Message, MessageId, MessageSource};

/// Messages that one who watches may be behind; older ones are lost to him. Each may have 256 KiB, which are kept
/// as long as somebody has not seen them.
pub(crate) const BEHIND_MAX: usize = 32;

/// A message that was accepted for upstream.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Its id on this device.
    pub id: MessageId,
    /// Where it comes from.
    pub source: Arc<MessageSource>,
    /// The message.
    pub message: Arc<Message>,
}

/// What one who watches sees.
#[derive(Debug, Clone)]
pub enum Seen {
    /// A message.
    Accepted(Accepted),
    /// So many came too quickly.
    Lost(u64),
}

/// The messages that are accepted for upstream from now on.
#[derive(Debug)]
pub struct UpstreamTap {
    accepted: broadcast::Receiver<Accepted>,
}

/// Where the state tells of them.
#[derive(Debug)]
pub(crate) struct Tap {
    accepted: broadcast::Sender<Accepted>,
}

impl Tap {
    pub(crate) fn new() -> Self {
        Self {
            accepted: broadcast::Sender::new(BEHIND_MAX),
        }
    }

    /// Tells of a message, if anybody watches.
    pub(crate) fn tell(&self, accepted: impl FnOnce() -> Accepted) {
        if self.accepted.receiver_count() > 0 {
            // Nobody may be left, which is fine.
            let _ = self.accepted.send(accepted());
        }
    }

    pub(crate) fn open(&self) -> UpstreamTap {
        UpstreamTap {
            accepted: self.accepted.subscribe(),
        }
    }
}

impl UpstreamTap {
    /// The next one; `None` when the router is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<Seen> {
        match self.accepted.recv().await {
            Ok(accepted) => Some(Seen::Accepted(accepted)),
            Err(RecvError::Lagged(missed)) => Some(Seen::Lost(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

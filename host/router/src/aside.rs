//! Messages put aside: those that their module rejected or could not handle, kept to be looked at.
//!
//! Owns one bounded list per endpoint. The state decides what comes here and keeps the sum over all lists.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::time::Instant;
use wasm_edge_model::message::{Message, MessageSource};

use crate::endpoint::Endpoint;
use crate::lane::Entry;
use crate::limits::{Limits, REASON_BYTES_MAX};
use crate::tries::Tries;

/// Why a message was put aside. The text form is lower-case with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsideReason {
    /// The module said that it will never take it.
    Rejected,
    /// It failed too often ([`crate::limits::TRIES_MAX`]).
    TriesExhausted,
    /// The module asked for it later too often ([`crate::limits::RETRIES_MAX`]).
    RetriesExhausted,
}

impl AsideReason {
    /// The text form: `rejected`, `tries-exhausted`, `retries-exhausted`.
    pub fn as_str(self) -> &'static str {
        match self {
            AsideReason::Rejected => "rejected",
            AsideReason::TriesExhausted => "tries-exhausted",
            AsideReason::RetriesExhausted => "retries-exhausted",
        }
    }
}

impl fmt::Display for AsideReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for AsideReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A message that was put aside, as shown to the operator.
#[derive(Debug, Clone)]
pub struct AsideMessage {
    /// Where it waited.
    pub endpoint: Endpoint,
    /// The message itself.
    pub message: Arc<Message>,
    /// Who sent it.
    pub source: MessageSource,
    /// Its order of arrival in the router.
    pub sequence: u64,
    /// Failed tries.
    pub failed_tries: u32,
    /// Times that the module asked for it later.
    pub retries: u32,
    /// Why it was put aside.
    pub reason: AsideReason,
    /// What the module or the host said; at most [`REASON_BYTES_MAX`] bytes.
    pub detail: String,
    /// How long ago it was put aside.
    pub age: Duration,
}

/// One message in the list. Its sender's path is not kept: that would keep the endpoints of its other targets.
pub(crate) struct Kept {
    message: Arc<Message>,
    source: MessageSource,
    sequence: u64,
    tries: Tries,
    bytes: usize,
    reason: AsideReason,
    detail: String,
    since: Instant,
}

impl Kept {
    pub(crate) fn new(entry: Entry, reason: AsideReason, detail: &str, since: Instant) -> Self {
        let detail = kept_detail(detail).to_owned();
        Kept {
            message: entry.message,
            source: entry.path.source.clone(),
            sequence: entry.sequence,
            tries: entry.tries,
            bytes: entry.holding.charge_bytes + detail.len(),
            reason,
            detail,
            since,
        }
    }
}

/// The messages put aside at one endpoint, oldest first.
#[derive(Default)]
pub(crate) struct AsideList {
    kept: VecDeque<Kept>,
    bytes: usize,
}

impl AsideList {
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest came.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.kept.front().map(|kept| kept.since)
    }

    pub(crate) fn push(&mut self, kept: Kept) {
        self.bytes += kept.bytes;
        self.kept.push_back(kept);
    }

    pub(crate) fn drop_oldest(&mut self) -> bool {
        let Some(kept) = self.kept.pop_front() else {
            return false;
        };
        self.bytes -= kept.bytes;
        true
    }

    pub(crate) fn is_over(&self, limits: &Limits) -> bool {
        self.kept.len() > limits.aside_messages || self.bytes > limits.aside_bytes
    }

    pub(crate) fn show(
        &self,
        endpoint: &Endpoint,
        now: Instant,
    ) -> impl Iterator<Item = AsideMessage> {
        self.kept.iter().map(move |kept| AsideMessage {
            endpoint: endpoint.clone(),
            message: Arc::clone(&kept.message),
            source: kept.source.clone(),
            sequence: kept.sequence,
            failed_tries: kept.tries.failed,
            retries: kept.tries.retried,
            reason: kept.reason,
            detail: kept.detail.clone(),
            age: now.saturating_duration_since(kept.since),
        })
    }
}

/// As much of a reason as is kept.
pub(crate) fn kept_detail(detail: &str) -> &str {
    cut(detail, REASON_BYTES_MAX)
}

/// The longest start of a text that has at most so many bytes and ends between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(cut("größe", 3), "gr");
        assert_eq!(cut("größe", 4), "grö");
        assert_eq!(cut("", 4), "");
        assert_eq!(cut("größe", 100), "größe");
    }
}

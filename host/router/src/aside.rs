//! Messages put aside: those that their module rejected or could not handle, kept to be looked at.
//!
//! Owns one bounded list per endpoint. The state decides what comes here and keeps the sum over all lists.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::time::Instant;
use wasm_edge_model::message::{Message, MessageId, MessageSource};

use crate::endpoint::Endpoint;
use crate::journal::commit::{AsideNote, Place, Sequence, Stored};
use crate::lane::Entry;
use crate::limits::{Limits, REASON_BYTES_MAX};

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
    /// Its identity.
    pub id: MessageId,
    /// Where it waited.
    pub endpoint: Endpoint,
    /// The message itself.
    pub message: Arc<Message>,
    /// Who sent it.
    pub source: MessageSource,
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

/// One message in the list.
pub(crate) struct Kept {
    /// What its id is made of.
    pub(crate) id: Sequence,
    pub(crate) message: Arc<Message>,
    pub(crate) source: Arc<MessageSource>,
    /// Where it is in the journal.
    pub(crate) place: Option<Place>,
    pub(crate) note: AsideNote,
    /// Its order of arrival here.
    order: u64,
    bytes: usize,
    since: Instant,
}

impl Kept {
    pub(crate) fn new(entry: Entry, note: AsideNote, place: Option<Place>, since: Instant) -> Self {
        Kept {
            id: entry.id,
            message: entry.message,
            source: entry.source,
            place,
            order: 0,
            bytes: entry.holding.charge_bytes + note.detail.len(),
            note,
            since,
        }
    }

    /// As it came from the journal; `None` for what was not put aside.
    pub(crate) fn recovered(stored: Stored) -> Option<Self> {
        let note = stored.aside?;
        Some(Kept {
            id: stored.id,
            message: Arc::new(stored.message),
            source: Arc::new(stored.source),
            place: Some(stored.place),
            order: 0,
            bytes: stored.charge_bytes + note.detail.len(),
            note,
            since: stored.taken_at,
        })
    }
}

/// The messages put aside at one endpoint, oldest first.
#[derive(Default)]
pub(crate) struct AsideList {
    kept: VecDeque<Kept>,
    bytes: usize,
    next: u64,
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
        let order = self.next;
        self.next += 1;
        self.kept.push_back(Kept { order, ..kept });
    }

    pub(crate) fn pop_oldest(&mut self) -> Option<Kept> {
        let kept = self.kept.pop_front()?;
        self.bytes -= kept.bytes;
        Some(kept)
    }

    /// Takes the oldest out whose id is meant.
    pub(crate) fn take(&mut self, is_meant: impl Fn(Sequence) -> bool) -> Option<Kept> {
        let place = self.kept.iter().position(|kept| is_meant(kept.id))?;
        let kept = self.kept.remove(place)?;
        self.bytes -= kept.bytes;
        Some(kept)
    }

    /// Puts what was taken out back at its place.
    pub(crate) fn put_back(&mut self, kept: Kept) {
        self.bytes += kept.bytes;
        let place = self.kept.partition_point(|other| other.order < kept.order);
        self.kept.insert(place, kept);
    }

    pub(crate) fn is_over(&self, limits: &Limits) -> bool {
        self.kept.len() > limits.aside_messages || self.bytes > limits.aside_bytes
    }

    pub(crate) fn show(
        &self,
        endpoint: &Endpoint,
        store: u32,
        now: Instant,
    ) -> impl Iterator<Item = AsideMessage> {
        self.kept.iter().map(move |kept| AsideMessage {
            id: kept.id.id(store),
            endpoint: endpoint.clone(),
            message: Arc::clone(&kept.message),
            source: MessageSource::clone(&kept.source),
            failed_tries: kept.note.tries.failed,
            retries: kept.note.tries.retried,
            reason: kept.note.reason,
            detail: kept.note.detail.clone(),
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

//! One queue of one endpoint and priority, upstream also of one sender, in the order of arrival.
//!
//! Pure: what is in it, what may be handed over at a time, what has expired. The sums are the ledger's, the
//! choice between queues the state's.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;
use wasm_edge_model::message::Message;

use crate::ledger::{Holding, SenderId};
use crate::receipt::{Outcome, Tell};
use crate::table::Path;
use crate::tries::Tries;

/// Places that an emptied queue keeps; the memory of a longer one is given back.
const KEPT_CAPACITY: usize = 64;

/// A message waiting at one endpoint.
pub(crate) struct Entry {
    /// Order of arrival in the router; all entries of a message share it.
    pub(crate) sequence: u64,
    pub(crate) message: Arc<Message>,
    /// Its sender's path, for the source.
    pub(crate) path: Arc<Path>,
    pub(crate) holding: Holding,
    pub(crate) expires_at: Option<Instant>,
    /// Set after a try: it is not handed over before.
    pub(crate) not_before: Option<Instant>,
    pub(crate) tries: Tries,
    /// Whoever wants to know how it ends.
    pub(crate) receipt: Option<Tell>,
}

impl Entry {
    /// Tells whoever holds the receipt; after the first time there is nobody.
    pub(crate) fn tell(&mut self, outcome: impl FnOnce() -> Outcome) {
        if let Some(receipt) = self.receipt.take() {
            // Nobody has to wait for it.
            let _ = receipt.send(outcome());
        }
    }

    fn is_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// Which of an endpoint's queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneKey {
    pub(crate) priority: u32,
    /// Upstream only: each sender has a session of its own, and one that is away holds up nobody else.
    pub(crate) sender: Option<SenderId>,
}

/// What the head of a queue allows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// It can be handed over; this is its sequence.
    Due(u64),
    /// It waits; at this time look again.
    Waits(Instant),
    /// There is none.
    Empty,
}

/// One of an endpoint's queues, oldest first.
pub(crate) struct Lane {
    pub(crate) key: LaneKey,
    entries: VecDeque<Entry>,
    /// No entry expires before; may be too early, never too late. Spares a look at every entry each time that
    /// space is wanted.
    earliest_expiry: Option<Instant>,
}

impl Lane {
    pub(crate) fn new(key: LaneKey) -> Self {
        Lane {
            key,
            entries: VecDeque::new(),
            earliest_expiry: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds the newest message.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.note_expiry(entry.expires_at);
        self.entries.push_back(entry);
    }

    /// Puts a message that was taken back at its place.
    pub(crate) fn put_back(&mut self, entry: Entry) {
        self.note_expiry(entry.expires_at);
        let place = self
            .entries
            .partition_point(|other| other.sequence < entry.sequence);
        self.entries.insert(place, entry);
    }

    pub(crate) fn head(&self, now: Instant) -> Head {
        match self.entries.front() {
            None => Head::Empty,
            Some(entry) => match entry.not_before.filter(|at| *at > now) {
                None => Head::Due(entry.sequence),
                // When it expires first, the next one's turn comes then.
                Some(at) => Head::Waits(entry.expires_at.map_or(at, |expires| at.min(expires))),
            },
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front();
        if self.entries.is_empty() {
            self.earliest_expiry = None;
            if self.entries.capacity() > 4 * KEPT_CAPACITY {
                self.entries.shrink_to(KEPT_CAPACITY);
            }
        }
        entry
    }

    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Entry> {
        if self
            .entries
            .front()
            .is_some_and(|entry| entry.is_expired(now))
        {
            self.pop()
        } else {
            None
        }
    }

    /// Takes every expired message out, wherever it stands.
    pub(crate) fn sweep(&mut self, now: Instant, mut expired: impl FnMut(Entry)) {
        if self.earliest_expiry.is_none_or(|at| at > now) {
            return;
        }
        self.earliest_expiry = None;
        for _ in 0..self.entries.len() {
            let Some(entry) = self.entries.pop_front() else {
                break;
            };
            if entry.is_expired(now) {
                expired(entry);
            } else {
                self.push(entry);
            }
        }
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Entry> {
        self.earliest_expiry = None;
        std::mem::take(&mut self.entries).into_iter()
    }

    fn note_expiry(&mut self, expires_at: Option<Instant>) {
        self.earliest_expiry = match (self.earliest_expiry, expires_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

//! One queue of one endpoint and priority, upstream also of one sender, in the order of arrival.
//!
//! Pure: what is in it, what may be handed over at a time, what has expired. Of messages that are in the journal
//! it keeps the oldest in memory, a window of bounded size, and of those behind only how many there are. The sums
//! are the ledger's, the choice between queues the state's, reading from the journal the keeper's.

mod stored;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasm_edge_model::message::{Message, MessageSource};
use wasm_edge_model::route::Durability;

use crate::journal::commit::{Place, Sequence};
use crate::ledger::{Class, Holding, SenderId};
use crate::operate::WaitingMessage;
use crate::receipt::{Outcome, Tell};
use crate::tries::Tries;
pub(crate) use stored::{Behind, Filling, LoadRequest, Purpose, StoredLane};

/// Places that an emptied queue keeps; the memory of a longer one is given back.
const KEPT_CAPACITY: usize = 64;

/// A message waiting at one endpoint.
pub(crate) struct Entry {
    /// Order of arrival in the router; all entries of a message share it.
    pub(crate) sequence: Sequence,
    /// The sequence at which it came first: what its id is made of.
    pub(crate) id: Sequence,
    pub(crate) message: Arc<Message>,
    pub(crate) source: Arc<MessageSource>,
    pub(crate) holding: Holding,
    /// Where it is in the journal; absent for one that is in memory only.
    pub(crate) place: Option<Place>,
    /// Upstream gets it once it is kept so.
    pub(crate) durability: Durability,
    pub(crate) taken_at: Instant,
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

    /// As an operator sees it.
    pub(crate) fn show(&self, store: u32, priority: u32, now: Instant) -> WaitingMessage {
        WaitingMessage {
            id: self.id.id(store),
            sequence: self.sequence.number(),
            priority,
            message: Arc::clone(&self.message),
            source: MessageSource::clone(&self.source),
            failed_tries: self.tries.failed,
            retries: self.tries.retried,
            age: now.saturating_duration_since(self.taken_at),
            expires_in: self.expires_at.map(|at| at.saturating_duration_since(now)),
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

/// Through which sequences messages are kept, for those who get them only then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    pub(crate) written: Sequence,
    pub(crate) synced: Sequence,
}

impl Reached {
    /// For those who may have every message at once.
    pub(crate) const ALL: Reached = Reached {
        written: Sequence::MAX,
        synced: Sequence::MAX,
    };

    fn allows(self, entry: &Entry) -> bool {
        entry.sequence
            <= match entry.durability {
                _ if entry.place.is_none() => Sequence::MAX,
                Durability::None => Sequence::MAX,
                Durability::Process => self.written,
                Durability::Power => self.synced,
            }
    }
}

/// What the head of a queue allows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// It can be handed over; this is its sequence.
    Due(Sequence),
    /// It waits; at this time look again.
    Waits(Instant),
    /// It is on the disk, or on its way there.
    Stalled,
    /// There is none.
    Empty,
}

/// One of an endpoint's queues, oldest first.
pub(crate) struct Lane {
    pub(crate) key: LaneKey,
    /// Those in memory: the window on the journal, and all that are in no journal, by sequence.
    entries: VecDeque<Entry>,
    /// No entry expires before; may be too early, never too late. Spares a look at every entry each time that
    /// space is wanted.
    earliest_expiry: Option<Instant>,
    /// Those up to here were looked at when messages of this queue were thinned out last.
    thinned_through: Sequence,
    /// The lane in the journal; absent until a message of this queue goes there.
    pub(crate) stored: Option<StoredLane>,
}

impl Lane {
    pub(crate) fn new(key: LaneKey) -> Self {
        Lane {
            key,
            entries: VecDeque::new(),
            earliest_expiry: None,
            thinned_through: Sequence::default(),
            stored: None,
        }
    }

    /// How many wait, in memory or not.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() + self.behind_len()
    }

    /// How many wait on the disk only.
    pub(crate) fn behind_len(&self) -> usize {
        self.stored.as_ref().map_or(0, StoredLane::behind_len)
    }

    /// How long the oldest has been waiting, as far as it is in memory.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        let oldest = self.entries.front()?;
        Some(now.saturating_duration_since(oldest.taken_at))
    }

    /// Those in memory, oldest first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Adds the newest message: to those in memory, or to those behind when there is no room for it among them.
    pub(crate) fn push(&mut self, entry: Entry) {
        if let (Some(stored), Some(place)) = (&mut self.stored, entry.place)
            && !stored.takes(&entry)
        {
            stored.push_behind(entry, place);
            return;
        }
        self.note_in(&entry);
        self.entries.push_back(entry);
    }

    /// Puts a message that was taken back at its place.
    pub(crate) fn put_back(&mut self, entry: Entry) {
        self.note_in(&entry);
        let place = self
            .entries
            .partition_point(|other| other.sequence < entry.sequence);
        self.entries.insert(place, entry);
    }

    pub(crate) fn head(&self, now: Instant, reached: Reached) -> Head {
        let gap = self.stored.as_ref().and_then(StoredLane::gap);
        match self.entries.front() {
            None if gap.is_some() => Head::Stalled,
            None => Head::Empty,
            Some(entry) if gap.is_some_and(|gap| entry.sequence > gap) => Head::Stalled,
            Some(entry) => match entry.not_before.filter(|at| *at > now) {
                // When it expires first, the next one's turn comes then.
                Some(at) => Head::Waits(entry.expires_at.map_or(at, |expires| at.min(expires))),
                None if !reached.allows(entry) => Head::Stalled,
                None => Head::Due(entry.sequence),
            },
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Entry> {
        self.remove(0)
    }

    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Entry> {
        let is_expired = self
            .entries
            .front()
            .is_some_and(|entry| entry.is_expired(now));
        if is_expired { self.pop() } else { None }
    }

    /// Takes every expired message in memory out, wherever it stands.
    pub(crate) fn sweep(&mut self, now: Instant, mut expired: impl FnMut(Entry)) {
        if self.earliest_expiry.is_none_or(|at| at > now) {
            return;
        }
        self.earliest_expiry = None;
        for _ in 0..self.entries.len() {
            let Some(entry) = self.pop() else {
                break;
            };
            if entry.is_expired(now) {
                expired(entry);
            } else {
                self.note_in(&entry);
                self.entries.push_back(entry);
            }
        }
    }

    /// Takes the oldest message in memory out that a sender has here in a class.
    pub(crate) fn take_oldest(&mut self, of: SenderId, class: Class) -> Option<Entry> {
        let place = self
            .entries
            .iter()
            .position(|entry| entry.holding.sender == of && entry.holding.class == class)?;
        self.remove(place)
    }

    /// Takes every second message of the older half out that a sender has in memory in a class, the oldest of them
    /// not. Each is looked at once, until all of the half were.
    pub(crate) fn thin(
        &mut self,
        of: SenderId,
        class: Class,
        out: &mut impl FnMut(Entry),
    ) -> usize {
        let dropped = self.thin_those_not_looked_at(of, class, out);
        // All of the half that is in memory were looked at: the next one is another half.
        let is_through = self.behind_len() == 0 && self.thinned_through > Sequence::default();
        if dropped > 0 || !is_through {
            return dropped;
        }
        self.thinned_through = Sequence::default();
        self.thin_those_not_looked_at(of, class, out)
    }

    /// The next time all of the older half are looked at again.
    pub(crate) fn begin_to_thin_anew(&mut self) {
        self.thinned_through = Sequence::default();
    }

    fn thin_those_not_looked_at(
        &mut self,
        of: SenderId,
        class: Class,
        out: &mut impl FnMut(Entry),
    ) -> usize {
        let older_half = self.len() / 2;
        let (mut seen, mut place, mut dropped) = (0, 0, 0);
        while place + dropped < older_half && place < self.entries.len() {
            let entry = &self.entries[place];
            let holding = &entry.holding;
            let is_meant = holding.sender == of
                && holding.class == class
                && entry.sequence > self.thinned_through;
            if is_meant {
                seen += 1;
                self.thinned_through = entry.sequence;
            }
            if is_meant && seen % 2 == 0 {
                self.remove(place).into_iter().for_each(&mut *out);
                dropped += 1;
            } else {
                place += 1;
            }
        }
        dropped
    }

    /// Takes everything in memory out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Entry> {
        self.earliest_expiry = None;
        if let Some(stored) = &mut self.stored {
            stored.empty_window();
        }
        std::mem::take(&mut self.entries).into_iter()
    }

    fn remove(&mut self, place: usize) -> Option<Entry> {
        let entry = match place {
            0 => self.entries.pop_front(),
            _ => self.entries.remove(place),
        };
        if let (Some(stored), Some(entry)) = (&mut self.stored, &entry)
            && entry.place.is_some()
        {
            stored.note_out(entry);
        }
        if self.entries.is_empty() {
            self.earliest_expiry = None;
            if self.entries.capacity() > 4 * KEPT_CAPACITY {
                self.entries.shrink_to(KEPT_CAPACITY);
            }
        }
        entry
    }

    fn note_in(&mut self, entry: &Entry) {
        if let (Some(stored), Some(_)) = (&mut self.stored, entry.place) {
            stored.note_in(entry);
        }
        self.earliest_expiry = match (self.earliest_expiry, entry.expires_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

/// What a message takes of a window: about what it takes of the memory.
pub(crate) fn window_bytes(entry: &Entry) -> usize {
    entry.holding.charge_bytes + crate::limits::MESSAGE_OVERHEAD_BYTES
}

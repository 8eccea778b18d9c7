//! Messages put aside at an endpoint: in, out by age, back to their queues, away.
//!
//! They are in memory, in a bounded list, and in a lane of the journal of their own, so that they outlive the
//! process whatever the durability of their routes was.

use std::sync::Arc;

use tokio::time::Instant;

use super::Queue;
use crate::aside::{self, AsideMessage, AsideReason, Kept};
use crate::endpoint::Endpoint;
use crate::journal::commit::{
    AsideNote, LaneHandle, LaneKind, LaneName, NewMessage, NewTarget, Place, Sequence, Stored,
};
use crate::lane::Entry;
use crate::ledger::Ledger;
use crate::receipt::Outcome;

impl Queue {
    /// A message in hand is put aside: it gives its place back and counts in the list from now on.
    pub(crate) fn put_aside(
        &mut self,
        mut entry: Entry,
        priority: u32,
        reason: AsideReason,
        detail: &str,
        now: Instant,
        ledger: &mut Ledger,
    ) {
        self.note_in_hand(&entry, |in_hand| in_hand - 1);
        ledger.store.done(entry.place);
        self.release(&entry.holding, ledger);
        *match reason {
            AsideReason::Rejected => &mut self.counters.rejected,
            AsideReason::TriesExhausted => &mut self.counters.tries_exhausted,
            AsideReason::RetriesExhausted => &mut self.counters.retries_exhausted,
        } += 1;
        entry.tell(|| Outcome::Aside {
            reason,
            detail: aside::kept_detail(detail).to_owned(),
        });
        let note = AsideNote {
            reason,
            detail: aside::kept_detail(detail).to_owned(),
            tries: entry.tries,
            priority,
        };
        let place = self.write_aside(&entry, &note, now, ledger);
        self.aside.push(Kept::new(entry, note, place, now));
        while self.aside.is_over(&ledger.limits) {
            self.drop_oldest_aside(ledger);
        }
    }

    /// What an earlier process put aside.
    pub(crate) fn recover_aside(&mut self, stored: Stored, ledger: &mut Ledger) {
        if let Some(kept) = Kept::recovered(stored) {
            self.aside.push(kept);
        }
        while self.aside.is_over(&ledger.limits) {
            self.drop_oldest_aside(ledger);
        }
    }

    pub(crate) fn recover_aside_lane(&mut self, handle: LaneHandle) {
        self.aside_lane = Some(handle);
    }

    pub(crate) fn drop_oldest_aside(&mut self, ledger: &mut Ledger) {
        if let Some(kept) = self.aside.pop_oldest() {
            ledger.store.done(kept.place);
            self.counters.aside_dropped += 1;
        }
    }

    /// Throws away what was put aside; gives how many messages that were.
    pub(crate) fn clear_aside(&mut self, ledger: &mut Ledger) -> usize {
        let count = self.aside.len();
        for _ in 0..count {
            self.drop_oldest_aside(ledger);
        }
        count
    }

    /// The first message put aside that is meant, out of the list. It is not written down that it is gone.
    pub(crate) fn take_aside(&mut self, is_meant: impl Fn(Sequence) -> bool) -> Option<Kept> {
        self.aside.take(is_meant)
    }

    /// A message taken out of the list comes back to it.
    pub(crate) fn put_back_aside(&mut self, kept: Kept) {
        self.aside.put_back(kept);
    }

    pub(crate) fn show_aside(
        &self,
        store: u32,
        now: Instant,
    ) -> impl Iterator<Item = AsideMessage> {
        self.aside.show(&self.endpoint, store, now)
    }

    fn write_aside(
        &mut self,
        entry: &Entry,
        note: &AsideNote,
        now: Instant,
        ledger: &mut Ledger,
    ) -> Option<Place> {
        if self.aside_lane.is_none() {
            self.aside_lane = ledger.store.lane(&LaneName {
                endpoint: Endpoint::clone(&self.endpoint),
                priority: 0,
                sender: None,
                kind: LaneKind::Aside,
            });
        }
        let place = self.aside_lane.as_mut()?.next_place();
        let sequence = ledger.store.sequence();
        let message = NewMessage {
            sequence,
            id: entry.id,
            message: Arc::clone(&entry.message),
            source: Arc::clone(&entry.source),
            targets: vec![NewTarget {
                place,
                time_to_live: None,
            }],
            charge_bytes: entry.holding.charge_bytes,
            taken_at: now,
            aside: Some(note.clone()),
        };
        ledger.store.entered(message, entry.durability);
        Some(place)
    }
}

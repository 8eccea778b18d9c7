//! The part of an endpoint that is in the journal: its lanes, what comes back from the disk, what is given up there.

use std::sync::Arc;

use wasm_edge_model::route::Durability;

use super::{Loss, Queue};
use crate::endpoint::Endpoint;
use crate::journal::commit::{LaneHandle, LaneKind, LaneName, Loaded, Place, Stored};
use crate::lane::{Behind, Entry, LaneKey, LoadRequest, Purpose, StoredLane};
use crate::ledger::{Class, Holding, Ledger, SenderId, Usage};
use crate::tries::Tries;

impl Queue {
    /// The place in the journal of a message that comes next; `None` without a journal.
    pub(crate) fn place(
        &mut self,
        sender: SenderId,
        priority: u32,
        ledger: &Ledger,
    ) -> Option<Place> {
        let key = self.key(sender, priority);
        if self.lane(key).stored.is_none() {
            let handle = ledger.store.lane(&LaneName {
                endpoint: Endpoint::clone(&self.endpoint),
                priority,
                sender: key.sender.map(|id| ledger.senders[id].module.clone()),
                kind: LaneKind::Waiting,
            })?;
            let windows_bytes = Arc::clone(&ledger.store.windows_bytes);
            self.lane(key).stored = Some(StoredLane::new(handle, windows_bytes));
        }
        let stored = self.lane(key).stored.as_mut()?;
        Some(stored.handle.next_place())
    }

    /// What an earlier process left in a queue, for each sender.
    pub(crate) fn recover(
        &mut self,
        handle: LaneHandle,
        key: LaneKey,
        shares: Vec<(SenderId, Usage)>,
        ledger: &mut Ledger,
    ) {
        for (sender, usage) in &shares {
            self.counters.recovered += usage.messages as u64;
            self.queued += usage.messages;
            self.used.of_mut(Class::Store).add_all(*usage);
            self.share_mut(*sender).of_mut(Class::Store).add_all(*usage);
            self.drop_empty_share(*sender);
            ledger.recover(*sender, *usage);
        }
        let windows_bytes = Arc::clone(&ledger.store.windows_bytes);
        let mut stored = StoredLane::new(handle, windows_bytes);
        stored.found(shares);
        self.lane(key).stored = Some(stored);
    }

    /// What the keeper read comes in, unless it is not wanted any more; with the sender of each. Gives what to read
    /// next to thin out.
    pub(crate) fn loaded(
        &mut self,
        request: &LoadRequest,
        loaded: Loaded,
        senders: &[SenderId],
        ledger: &mut Ledger,
    ) -> Option<LoadRequest> {
        match request.purpose {
            Purpose::Fill => {
                self.take_in(request, loaded, senders, ledger);
                None
            }
            Purpose::Thin(of) => self.thin_loaded(request, of, loaded, senders, ledger),
        }
    }

    /// Reading failed.
    pub(crate) fn not_loaded(&mut self, request: &LoadRequest) {
        if let Some(stored) = &mut self.lane(request.key).stored
            && stored.take_up(request)
        {
            stored.note_failed();
        }
    }

    fn take_in(
        &mut self,
        request: &LoadRequest,
        loaded: Loaded,
        senders: &[SenderId],
        ledger: &mut Ledger,
    ) {
        let lane = self.lane(request.key);
        let wanted = |stored: &mut StoredLane| stored.take_up(request);
        if !lane.stored.as_mut().is_some_and(wanted) {
            return;
        }
        for (message, sender) in loaded.messages.into_iter().zip(senders) {
            let Some(stored) = &mut lane.stored else {
                return;
            };
            let (receipt, durability) = stored.advance(
                message.place,
                message.sequence,
                *sender,
                message.charge_bytes,
            );
            let mut entry = entry(message, *sender);
            entry.receipt = receipt;
            entry.durability = durability;
            lane.put_back(entry);
        }
        let stored = lane.stored.as_mut();
        let damaged = stored.and_then(|stored| {
            stored.note_damaged(&loaded.damaged, loaded.is_end, request.written)
        });
        if let Some(behind) = damaged {
            self.counters.damaged += behind.len() as u64;
            self.give_up(behind, ledger);
        }
    }

    fn thin_loaded(
        &mut self,
        request: &LoadRequest,
        of: SenderId,
        loaded: Loaded,
        senders: &[SenderId],
        ledger: &mut Ledger,
    ) -> Option<LoadRequest> {
        let count = loaded.messages.len();
        let up_to = loaded.messages.last().map(|last| last.place.ordinal + 1);
        let meant = loaded.messages.iter().zip(senders);
        let meant = meant.filter(|(_, sender)| **sender == of);
        for (message, sender) in meant.skip(1).step_by(2) {
            let bytes = message.charge_bytes;
            let stored = self.lane(request.key).stored.as_mut()?;
            if !stored.drop_behind(message.place, *sender, bytes) {
                continue;
            }
            ledger.store.done(Some(message.place));
            self.queued -= 1;
            self.count_loss(Loss::ThinnedOut, 1, *sender, ledger);
            self.release(&holding(*sender, bytes), ledger);
        }
        let stored = self.lane(request.key).stored.as_mut()?;
        stored.thinned(count, up_to.unwrap_or(request.from));
        let next = stored.thin_next(request.key, of);
        if next.is_none() {
            self.lane(request.key).begin_to_thin_anew();
        }
        next
    }

    /// Gives up what a queue has behind its window.
    pub(super) fn clear_behind(&mut self, index: usize, loss: Loss, ledger: &mut Ledger) {
        let Some(stored) = &mut self.lanes[index].stored else {
            return;
        };
        let done = stored.behind_from().and_then(|from| stored.all_from(from));
        let Some(behind) = stored.take_behind() else {
            return;
        };
        ledger.store.all_done(done);
        for (sender, usage) in &behind.shares {
            self.count_loss(loss, usage.messages as u64, *sender, ledger);
        }
        // They are out of `queued` already.
        self.queued += behind.len();
        self.give_up(behind, ledger);
    }

    /// Takes messages out of the sums that are behind no more.
    fn give_up(&mut self, behind: Behind, ledger: &mut Ledger) {
        self.queued -= behind.len();
        for (sender, usage) in behind.shares {
            self.used.of_mut(Class::Store).remove_all(usage);
            self.share_mut(sender)
                .of_mut(Class::Store)
                .remove_all(usage);
            self.drop_empty_share(sender);
            ledger.release_behind(sender, usage);
        }
    }

    /// Gives the handles of lanes back that have nothing any more: of those of one sender, or of all.
    pub(crate) fn forget_lanes(&mut self, of: Option<SenderId>, ledger: &Ledger) {
        let is_meant = |key: &LaneKey| of.is_none() || key.sender == of;
        for lane in self.lanes.extract_if(.., |lane| is_meant(&lane.key)) {
            if let Some(stored) = lane.stored {
                ledger.store.forget(stored.handle);
            }
        }
        if of.is_none()
            && let Some(handle) = self.aside_lane.take()
        {
            ledger.store.forget(handle);
        }
    }
}

/// A message as it came from the disk.
fn entry(stored: Stored, sender: SenderId) -> Entry {
    Entry {
        sequence: stored.sequence,
        id: stored.id,
        message: Arc::new(stored.message),
        source: Arc::new(stored.source),
        holding: holding(sender, stored.charge_bytes),
        place: Some(stored.place),
        durability: Durability::Process,
        taken_at: stored.taken_at,
        expires_at: stored.expires_at,
        not_before: None,
        tries: Tries::default(),
        receipt: None,
    }
}

fn holding(sender: SenderId, charge_bytes: usize) -> Holding {
    Holding {
        sender,
        class: Class::Store,
        charge_bytes,
        holders: None,
    }
}

//! The part of a queue that is in the journal: how much of it is in memory, and how much behind.
//!
//! Pure. What is behind is known by number and charge, for each sender; the keeper reads it back in order once the
//! window runs low.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasm_edge_model::route::Durability;

use super::{Entry, LaneKey, window_bytes};
use crate::journal::commit::{Done, LaneHandle, LaneId, Place, Sequence};
use crate::ledger::{SenderId, Usage};
use crate::limits::{
    THIN_MESSAGES, WINDOW_BYTES, WINDOW_LOW_MESSAGES, WINDOW_MESSAGES, WINDOWS_BYTES,
};
use crate::receipt::Tell;

/// A lane of the journal, as its queue knows it.
pub(crate) struct StoredLane {
    pub(crate) handle: LaneHandle,
    /// What is in memory of it, in hand not counted.
    window: Usage,
    /// Bytes of the windows of all queues; changed under the router's lock only.
    all_windows_bytes: Arc<AtomicUsize>,
    /// What is on the disk only.
    behind: Option<Behind>,
    /// The greatest sequence here whose sender wants it synced.
    power_through: Sequence,
    /// The receipts of messages behind, by their places.
    receipts: BTreeMap<u64, Tell>,
}

/// What waits on the disk only.
#[derive(Debug)]
pub(crate) struct Behind {
    /// The first place of it.
    from: u64,
    /// Every message of it has a greater sequence than this one, and every one in memory that is durable a smaller
    /// one, or this.
    gap: Sequence,
    messages: usize,
    /// The newest of it.
    newest: Sequence,
    /// Places of it that turned out to be unreadable.
    damaged: usize,
    /// What each sender has of it.
    pub(crate) shares: Vec<(SenderId, Usage)>,
    is_loading: bool,
    /// Where thinning out goes on, and how many more messages it looks at; absent when it is not under way.
    thinning: Option<(u64, usize)>,
    /// The last attempt to read failed; the next one is made after a wait.
    has_failed: bool,
}

/// A wish of a queue to be filled from the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoadRequest {
    pub(crate) lane: LaneId,
    pub(crate) key: LaneKey,
    /// From this place on.
    pub(crate) from: u64,
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: usize,
    /// Through which sequence messages are written by now.
    pub(crate) written: Sequence,
    pub(crate) purpose: Purpose,
}

/// What messages are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be handed over.
    Fill,
    /// To be thinned out where they are: every second one of this sender goes.
    Thin(SenderId),
}

/// What a queue does about what is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filling {
    /// Nothing: enough is in memory, or it is being read.
    Idle,
    /// It wishes to be filled.
    Wishes(LoadRequest),
    /// Reading failed a moment ago.
    Failed,
}

impl Behind {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.messages
    }
}

impl StoredLane {
    pub(crate) fn new(handle: LaneHandle, all_windows_bytes: Arc<AtomicUsize>) -> Self {
        StoredLane {
            handle,
            window: Usage::default(),
            all_windows_bytes,
            behind: None,
            power_through: Sequence::default(),
            receipts: BTreeMap::new(),
        }
    }

    /// What an earlier process left, for each sender; all of it is behind.
    pub(crate) fn found(&mut self, shares: Vec<(SenderId, Usage)>) {
        let messages = shares.iter().map(|(_, usage)| usage.messages).sum();
        let behind = Behind {
            from: 0,
            gap: Sequence::default(),
            newest: Sequence::default(),
            messages,
            damaged: 0,
            shares,
            is_loading: false,
            thinning: None,
            has_failed: false,
        };
        self.behind = (messages > 0).then_some(behind);
    }

    pub(super) fn note_in(&mut self, entry: &Entry) {
        let bytes = window_bytes(entry);
        self.window.add(bytes);
        self.all_windows_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn note_out(&mut self, entry: &Entry) {
        let bytes = window_bytes(entry);
        self.window.remove(bytes);
        self.all_windows_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn empty_window(&mut self) {
        let window = std::mem::take(&mut self.window);
        self.all_windows_bytes
            .fetch_sub(window.bytes, Ordering::Relaxed);
    }

    fn room_bytes(&self) -> usize {
        WINDOWS_BYTES.saturating_sub(self.all_windows_bytes.load(Ordering::Relaxed))
    }

    pub(super) fn behind_len(&self) -> usize {
        self.behind.as_ref().map_or(0, |behind| behind.messages)
    }

    /// What is in memory must not be newer than this to be handed over.
    pub(crate) fn gap(&self) -> Option<Sequence> {
        self.behind.as_ref().map(|behind| behind.gap)
    }

    /// Whether the newest message stays in memory.
    pub(super) fn takes(&self, entry: &Entry) -> bool {
        let bytes = window_bytes(entry);
        let fits = self.window.messages < WINDOW_MESSAGES
            && self.window.bytes + bytes <= WINDOW_BYTES
            && bytes <= self.room_bytes();
        self.behind.is_none() && (fits || self.window.messages == 0)
    }

    /// Keeps no more of the newest message than its number and charge.
    pub(super) fn push_behind(&mut self, mut entry: Entry, place: Place) {
        if entry.durability == Durability::Power {
            self.power_through = entry.sequence;
        }
        if let Some(receipt) = entry.receipt.take() {
            self.receipts.insert(place.ordinal, receipt);
        }
        let behind = self.behind.get_or_insert_with(|| Behind {
            from: place.ordinal,
            gap: entry.sequence.previous(),
            newest: entry.sequence,
            messages: 0,
            damaged: 0,
            shares: Vec::new(),
            is_loading: false,
            thinning: None,
            has_failed: false,
        });
        behind.newest = entry.sequence;
        behind.messages += 1;
        let (sender, bytes) = (entry.holding.sender, entry.holding.charge_bytes);
        match behind.shares.iter_mut().find(|(id, _)| *id == sender) {
            Some((_, usage)) => usage.add(bytes),
            None => behind.shares.push((sender, Usage { messages: 1, bytes })),
        }
    }

    /// What to load, if the window runs low and nothing is being loaded; from now on it is. One message may always
    /// come, whatever the windows of all queues hold.
    pub(crate) fn fill(&mut self, key: LaneKey, written: Sequence) -> Filling {
        let room_bytes = self.room_bytes();
        let Some(behind) = &mut self.behind else {
            return Filling::Idle;
        };
        if behind.is_loading || self.window.messages > WINDOW_LOW_MESSAGES {
            return Filling::Idle;
        }
        if std::mem::take(&mut behind.has_failed) {
            return Filling::Failed;
        }
        let window_room = WINDOW_BYTES.saturating_sub(self.window.bytes);
        let bytes_max = window_room.min(room_bytes);
        if bytes_max == 0 && self.window.messages > 0 {
            return Filling::Idle;
        }
        behind.is_loading = true;
        Filling::Wishes(LoadRequest {
            lane: self.handle.id(),
            key,
            from: behind.from,
            messages_max: WINDOW_MESSAGES - self.window.messages,
            bytes_max: bytes_max.max(1),
            written,
            purpose: Purpose::Fill,
        })
    }

    /// What to read to thin so many messages out, unless that is under way.
    pub(crate) fn thin(
        &mut self,
        key: LaneKey,
        of: SenderId,
        messages: usize,
    ) -> Option<LoadRequest> {
        let behind = self.behind.as_mut()?;
        if behind.thinning.is_some() || messages == 0 {
            return None;
        }
        behind.thinning = Some((behind.from, messages));
        self.thin_next(key, of)
    }

    /// What to read next to thin out.
    pub(crate) fn thin_next(&mut self, key: LaneKey, of: SenderId) -> Option<LoadRequest> {
        let behind = self.behind.as_mut()?;
        let (from, left) = behind.thinning.as_mut()?;
        // What came to memory meanwhile is not thinned out any more.
        *from = behind.from.max(*from);
        Some(LoadRequest {
            lane: self.handle.id(),
            key,
            from: *from,
            messages_max: THIN_MESSAGES.min(*left),
            bytes_max: WINDOW_BYTES,
            written: Sequence::default(),
            purpose: Purpose::Thin(of),
        })
    }

    /// So many messages were looked at, up to before this place. Ends thinning out when those were all, or none.
    pub(crate) fn thinned(&mut self, messages: usize, up_to: u64) {
        if let Some(behind) = &mut self.behind
            && let Some((from, left)) = &mut behind.thinning
        {
            *from = up_to;
            *left = left.saturating_sub(messages);
            if *left == 0 || messages == 0 {
                behind.thinning = None;
            }
        }
    }

    /// A message behind is dropped where it is; false when it is not behind any more.
    pub(crate) fn drop_behind(
        &mut self,
        place: Place,
        sender: SenderId,
        charge_bytes: usize,
    ) -> bool {
        let is_mine = place.lane == self.handle.id();
        let behind = self.behind.as_mut();
        let Some(behind) = behind.filter(|behind| is_mine && place.ordinal >= behind.from) else {
            return false;
        };
        behind.messages = behind.messages.saturating_sub(1);
        if let Some((_, usage)) = behind.shares.iter_mut().find(|(id, _)| *id == sender) {
            usage.remove(charge_bytes);
        }
        self.receipts.remove(&place.ordinal);
        if behind.messages == 0 {
            self.behind = None;
        }
        true
    }

    /// Reading failed.
    pub(crate) fn note_failed(&mut self) {
        if let Some(behind) = &mut self.behind {
            behind.has_failed = true;
        }
    }

    /// Whether what was loaded is still wanted: nothing was purged meanwhile. Ends the loading.
    pub(crate) fn take_up(&mut self, request: &LoadRequest) -> bool {
        match &mut self.behind {
            Some(behind)
                if behind.is_loading
                    && behind.from == request.from
                    && self.handle.id() == request.lane =>
            {
                behind.is_loading = false;
                true
            }
            _ => false,
        }
    }

    /// A message that was behind comes to memory; gives its receipt, and whether it has to be synced before it
    /// goes upstream.
    pub(crate) fn advance(
        &mut self,
        place: Place,
        sequence: Sequence,
        sender: SenderId,
        charge_bytes: usize,
    ) -> (Option<Tell>, Durability) {
        if let Some(behind) = &mut self.behind {
            behind.from = place.ordinal + 1;
            behind.gap = sequence;
            behind.messages = behind.messages.saturating_sub(1);
            if let Some((_, usage)) = behind.shares.iter_mut().find(|(id, _)| *id == sender) {
                usage.remove(charge_bytes);
            }
            if behind.messages == 0 {
                self.behind = None;
            }
        }
        let durability = match sequence <= self.power_through {
            true => Durability::Power,
            false => Durability::Process,
        };
        (self.receipts.remove(&place.ordinal), durability)
    }

    /// Places behind could not be read, or nothing more of the lane was found although all of it was written. Once
    /// nothing else is left, gives what is to be taken out of the sums: whose messages they were is not known before.
    pub(crate) fn note_damaged(
        &mut self,
        damaged: &[Place],
        is_end: bool,
        written: Sequence,
    ) -> Option<Behind> {
        let behind = self.behind.as_mut()?;
        behind.damaged += damaged.len();
        if let Some(last) = damaged.last() {
            behind.from = behind.from.max(last.ordinal + 1);
        }
        let is_over = is_end && behind.newest <= written;
        if behind.messages > behind.damaged && !is_over {
            return None;
        }
        self.take_behind()
    }

    /// Gives up what is behind: nothing of it is loaded any more.
    pub(crate) fn take_behind(&mut self) -> Option<Behind> {
        self.receipts.clear();
        self.behind.take()
    }

    /// All places that were taken up to now, and not before this one.
    pub(crate) fn all_from(&self, first: u64) -> Option<Done> {
        let last = self.handle.next_ordinal().checked_sub(1)?;
        (first <= last).then_some(Done {
            lane: self.handle.id(),
            first,
            last,
        })
    }

    /// The lane, and the first place on the disk only.
    pub(crate) fn behind_at(&self) -> Option<(LaneId, u64)> {
        self.behind_from().map(|from| (self.handle.id(), from))
    }

    /// From which place on messages are on the disk only.
    pub(crate) fn behind_from(&self) -> Option<u64> {
        self.behind.as_ref().map(|behind| behind.from)
    }
}

//! What the state writes down: the commits to the journal, one for each call of the state.
//!
//! Owns the commit that is being put together under the router's lock, and the sequences. Whatever enters or leaves
//! the durable queues during one call goes into one commit, so that it happens as a whole or not at all. Without
//! a journal nothing is written and every message is in memory only.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::oneshot;
use wasm_edge_model::route::Durability;

use crate::journal::commit::{Commit, Done, LaneHandle, LaneName, NewMessage, Place, Sequence};
use crate::journal::{Journal, Space};
use crate::keeper::Work;
use crate::lane::Reached;
use crate::limits::PENDING_BYTES;

/// The router's side of the journal.
pub(crate) struct Store {
    /// The first part of the ids of messages.
    pub(crate) id: u32,
    journal: Option<Journal>,
    /// What the keeper is asked to do.
    pub(crate) work: Arc<Work>,
    next: Sequence,
    /// Put together during one call of the state.
    commit: Commit,
    /// The strongest of what is in it.
    durability: Durability,
    /// Bytes of all windows on the journal; changed under the router's lock only.
    pub(crate) windows_bytes: Arc<AtomicUsize>,
}

impl Store {
    /// Keeps everything in memory. The ids of messages are then those of this process alone.
    pub(crate) fn none() -> Self {
        Store {
            id: 0,
            journal: None,
            work: Arc::default(),
            next: Sequence::new(1),
            commit: Commit::default(),
            durability: Durability::None,
            windows_bytes: Arc::default(),
        }
    }

    /// Writes to a journal, from a sequence on.
    pub(crate) fn new(journal: Journal, next: Sequence) -> Self {
        Store {
            id: journal.store(),
            journal: Some(journal),
            next,
            ..Store::none()
        }
    }

    /// Whether messages of this durability are written.
    pub(crate) fn keeps(&self, durability: Durability) -> bool {
        durability > Durability::None && self.journal.is_some()
    }

    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// Gives the next sequence.
    pub(crate) fn sequence(&mut self) -> Sequence {
        let sequence = self.next;
        self.next = sequence.next();
        sequence
    }

    /// The right to add to a lane; `None` without a journal.
    pub(crate) fn lane(&self, name: &LaneName) -> Option<LaneHandle> {
        Some(self.journal.as_ref()?.lane(name))
    }

    /// A lane that nothing refers to any more.
    pub(crate) fn forget(&self, lane: LaneHandle) {
        if let Some(journal) = &self.journal {
            journal.forget_lane(lane);
        }
    }

    /// A message is dealt with, whatever the way.
    pub(crate) fn done(&mut self, place: Option<Place>) {
        // Only what is in a journal has a place.
        let Some(place) = place else { return };
        match self.commit.done.last_mut() {
            Some(last) if last.lane == place.lane && last.last + 1 == place.ordinal => {
                last.last = place.ordinal;
            }
            _ => self.commit.done.push(place.into()),
        }
    }

    /// A range of a lane is dealt with.
    pub(crate) fn all_done(&mut self, done: Option<Done>) {
        self.commit.done.extend(done);
    }

    /// A message entered lanes.
    pub(crate) fn entered(&mut self, message: NewMessage, durability: Durability) {
        self.commit.messages.push(message);
        self.durability = self.durability.max(durability);
    }

    /// Hands over what was put together, if there is anything. Called under the router's lock, so that the journal
    /// has the order of the state.
    pub(crate) fn submit(&mut self) {
        self.hand_over(None);
    }

    /// Hands over what was put together; what it gives is told once that is kept as it is to be. `None` when nothing
    /// is to be kept.
    pub(crate) fn submit_and_tell(&mut self) -> Option<oneshot::Receiver<()>> {
        if self.is_empty() {
            return None;
        }
        let (tell, told) = oneshot::channel();
        self.hand_over(Some(tell));
        Some(told)
    }

    fn is_empty(&self) -> bool {
        self.commit.done.is_empty() && self.commit.messages.is_empty()
    }

    fn hand_over(&mut self, tell: Option<oneshot::Sender<()>>) {
        if self.is_empty() {
            return;
        }
        let commit = std::mem::take(&mut self.commit);
        // That something is done need not last through a power cut: then it comes again.
        let durability = self.durability.max(Durability::Process);
        self.durability = Durability::None;
        if let Some(journal) = &self.journal {
            journal.submit(commit, durability, tell);
        }
    }

    /// Whether new messages may be staged.
    pub(crate) fn takes(&self) -> bool {
        let space = self.space();
        // Records that are dead in part take their whole space until they are copied.
        let written = space.live_bytes.saturating_add(space.pending_bytes);
        !space.is_failing && space.pending_bytes <= PENDING_BYTES && written <= space.capacity_bytes
    }

    /// Whether a module may get its next message: not so much of what modules did is on its way to the disk.
    pub(crate) fn is_keeping_up(&self) -> bool {
        let space = self.space();
        // While nothing can be written deliveries go on; what they add are completions, which are small.
        space.pending_bytes <= PENDING_BYTES
    }

    pub(crate) fn space(&self) -> Space {
        self.journal
            .as_ref()
            .map_or(Space::default(), Journal::space)
    }

    /// Bytes of the windows of all durable queues.
    #[cfg(test)]
    pub(crate) fn windows_bytes(&self) -> usize {
        self.windows_bytes
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    pub(crate) fn reached(&self) -> Reached {
        self.journal
            .as_ref()
            .map_or(Reached::ALL, |journal| Reached {
                written: journal.written_through(),
                synced: journal.synced_through(),
            })
    }
}

//! What goes into the journal and comes out of it again: commits, messages, places in lanes.
//!
//! Plain values without behaviour beyond their invariants. The state fills them, the codec writes and reads
//! them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::{Message, MessageId, MessageSource};

use crate::aside::AsideReason;
use crate::endpoint::Endpoint;
use crate::tries::Tries;

/// Bits of a sequence that count within an epoch.
const COUNT_BITS: u32 = 40;

/// The order of arrival of messages in one router, over restarts: 24 bits of epoch, which grows each time the
/// journal is opened, and 40 bits that count within it.
///
/// At 100,000 messages a second the count lasts for 127 days; an overflow goes into the epoch, which stays
/// ahead of what was given out because the next epoch follows the greatest sequence found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(u64);

/// What a lane is: one queue in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LaneName {
    pub(crate) endpoint: Endpoint,
    pub(crate) priority: u32,
    /// Upstream each sending module has lanes of its own; absent elsewhere.
    pub(crate) sender: Option<ModuleId>,
    pub(crate) kind: LaneKind,
}

/// What the messages of a lane are there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LaneKind {
    /// To be taken by whoever consumes from the endpoint.
    Waiting,
    /// Put aside, to be looked at.
    Aside,
}

/// The number of a lane. As long as the journal holds anything of a lane, its name has the same number; a number is never
/// used for another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LaneId(pub(crate) u32);

/// A message's place in a lane: ordinals are dense and grow with each message of the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) lane: LaneId,
    pub(crate) ordinal: u64,
}

/// The right to add to a lane. There is one per lane; its holder is the state's queue for the lane.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LaneHandle {
    pub(super) id: LaneId,
    pub(super) next: u64,
}

impl LaneHandle {
    pub(crate) fn id(&self) -> LaneId {
        self.id
    }

    /// The ordinal of the next place, which is not taken yet.
    pub(crate) fn next_ordinal(&self) -> u64 {
        self.next
    }

    /// The place of the next message. Places are submitted in the order in which they were taken; one that is
    /// never submitted counts as done.
    pub(crate) fn next_place(&mut self) -> Place {
        let ordinal = self.next;
        self.next += 1;
        Place {
            lane: self.id,
            ordinal,
        }
    }
}

/// One step, done as a whole or not at all: messages that are dealt with, and new ones.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    pub(crate) done: Vec<Done>,
    pub(crate) messages: Vec<NewMessage>,
}

/// Places of a lane that are dealt with, whatever the way: both ends and all between them, as far as they
/// were taken yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) lane: LaneId,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl From<Place> for Done {
    fn from(place: Place) -> Self {
        Done {
            lane: place.lane,
            first: place.ordinal,
            last: place.ordinal,
        }
    }
}

/// A message that enters lanes.
#[derive(Debug)]
pub(crate) struct NewMessage {
    /// Grows from message to message, in the order in which they are submitted.
    pub(crate) sequence: Sequence,
    /// What its [`MessageId`] is made of: the sequence, unless it was in a lane before (put aside, retried).
    pub(crate) id: Sequence,
    pub(crate) message: Arc<Message>,
    pub(crate) source: Arc<MessageSource>,
    /// Not empty. The body is written once for all of them.
    pub(crate) targets: Vec<NewTarget>,
    /// What each target is charged; the journal keeps the number and adds it up, no more.
    pub(crate) charge_bytes: usize,
    /// When it was taken; its times to live start here.
    pub(crate) taken_at: Instant,
    pub(crate) aside: Option<AsideNote>,
}

/// A place of a new message, and how long it may wait there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewTarget {
    pub(crate) place: Place,
    pub(crate) time_to_live: Option<Duration>,
}

/// Why a message was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AsideNote {
    pub(crate) reason: AsideReason,
    /// At most [`crate::limits::REASON_BYTES_MAX`] bytes.
    pub(crate) detail: String,
    pub(crate) tries: Tries,
    /// The priority it waited at, to go back to it.
    pub(crate) priority: u32,
}

/// A message as it comes back from the journal, at one of its places.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    pub(crate) place: Place,
    pub(crate) sequence: Sequence,
    pub(crate) id: Sequence,
    pub(crate) message: Message,
    pub(crate) source: MessageSource,
    pub(crate) charge_bytes: usize,
    /// On the clock of this process; before its start for what came in an earlier one.
    pub(crate) taken_at: Instant,
    /// Not before the start of the process, even when it was over by then.
    pub(crate) expires_at: Option<Instant>,
    pub(crate) aside: Option<AsideNote>,
}

/// What a lane held when the journal was opened.
#[derive(Debug, PartialEq)]
pub(crate) struct RecoveredLane {
    pub(crate) name: LaneName,
    pub(crate) handle: LaneHandle,
    pub(crate) messages: usize,
    /// The sum of their charges.
    pub(crate) bytes: usize,
    /// The same by the module that sent them.
    pub(crate) senders: Vec<RecoveredShare>,
}

/// What one module has in a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecoveredShare {
    pub(crate) module: ModuleId,
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// What was found in a lane.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// In order, oldest first.
    pub(crate) messages: Vec<Stored>,
    /// Places between these that could not be read any more. They count as done already; the caller takes
    /// them out of its counts.
    pub(crate) damaged: Vec<Place>,
    /// There is nothing more of the lane on the disk behind these. What is submitted and not written yet may
    /// follow.
    pub(crate) is_end: bool,
}

impl Sequence {
    /// After all that can be.
    pub(crate) const MAX: Self = Sequence(u64::MAX);

    /// The first sequence of an epoch.
    pub(crate) fn of_epoch(epoch: u32) -> Self {
        Sequence(u64::from(epoch) << COUNT_BITS)
    }

    /// The one with this number.
    pub fn new(number: u64) -> Self {
        Sequence(number)
    }

    /// The number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The id of the message that had this sequence first.
    pub(crate) fn id(self, store: u32) -> MessageId {
        MessageId {
            store,
            sequence: self.0,
        }
    }

    /// The one after it.
    pub(crate) fn next(self) -> Self {
        Sequence(self.0 + 1)
    }

    /// The one before it, for the first one itself.
    pub(crate) fn previous(self) -> Self {
        Sequence(self.0.saturating_sub(1))
    }

    pub(crate) fn epoch(self) -> u32 {
        u32::try_from(self.0 >> COUNT_BITS).expect("24 bits are left")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_knows_its_epoch() {
        assert_eq!(Sequence::of_epoch(2).next().epoch(), 2);
    }

    #[test]
    fn places_of_a_lane_are_dense() {
        let mut handle = LaneHandle {
            id: LaneId(3),
            next: 7,
        };
        let ordinals = [handle.next_place().ordinal, handle.next_place().ordinal];
        assert_eq!(ordinals, [7, 8]);
    }
}

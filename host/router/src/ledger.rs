//! Who holds how much: places taken in all, at an endpoint, and by each sender.
//!
//! Owns the sums and the rule that decides whether there is room. The queues (`state`) ask before they take
//! and report what left them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasm_edge_model::identity::ModuleId;

use crate::junction::Junctions;
use crate::limits::Limits;
use crate::slots::{Id, Slots};
use crate::snapshot::SenderCounters;

/// The number of a sender.
pub(crate) type SenderId = Id<SenderState>;

/// Messages and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Usage {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    pub(crate) fn remove(&mut self, bytes: usize) {
        debug_assert!(
            self.messages > 0 && self.bytes >= bytes,
            "released more than was taken"
        );
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Whether one more message of `bytes` fits where `used` of `capacity` is taken, `mine` of it by its sender.
///
/// After taking it the sender may hold no more than what is then still free. So one sender alone gets half,
/// two that flood a third each, and however many there are, another one still finds room.
pub(crate) fn fits(used: Usage, mine: Usage, capacity: Usage, bytes: usize) -> bool {
    let share = |used: usize, mine: usize, capacity: usize, wanted: usize| {
        let free_after = capacity.checked_sub(used + wanted);
        free_after.is_some_and(|free| mine + wanted <= free)
    };
    share(used.messages, mine.messages, capacity.messages, 1)
        && share(used.bytes, mine.bytes, capacity.bytes, bytes)
}

/// What one sender holds, did, and where its outputs lead.
pub(crate) struct SenderState {
    pub(crate) module: ModuleId,
    pub(crate) used: Usage,
    pub(crate) counters: SenderCounters,
    /// Shared with every handle; when this is the only one left, nobody can send as this module.
    pub(crate) handle: Arc<()>,
    /// Upstream does not take its messages now.
    pub(crate) upstream_paused: bool,
    /// The module was removed: the slot goes once nothing of it is held.
    pub(crate) removed: bool,
    /// Found with the present routes; emptied when they change.
    pub(crate) junctions: Junctions,
}

impl SenderState {
    pub(crate) fn new(module: ModuleId) -> Self {
        SenderState {
            module,
            used: Usage::default(),
            counters: SenderCounters::default(),
            handle: Arc::new(()),
            upstream_paused: false,
            removed: false,
            junctions: Junctions::default(),
        }
    }

    /// Whether the slot can be used for another sender.
    pub(crate) fn is_over(&self) -> bool {
        self.removed && self.used.messages == 0 && Arc::strong_count(&self.handle) == 1
    }
}

/// One message held on behalf of its sender, at one endpoint or more.
#[derive(Clone)]
pub(crate) struct Holding {
    pub(crate) sender: SenderId,
    pub(crate) charge_bytes: usize,
    /// How many endpoints still hold it; absent for a message with one endpoint, which is most of them and
    /// saves them the allocation. Changed under the router's lock only.
    pub(crate) holders: Option<Arc<AtomicUsize>>,
}

/// The sums over all endpoints.
pub(crate) struct Ledger {
    pub(crate) limits: Limits,
    pub(crate) used: Usage,
    pub(crate) senders: Slots<SenderState>,
    /// Somebody was told that there is no room since the last release.
    pub(crate) refused: bool,
    /// There is a release that those who were refused have not heard of.
    pub(crate) announce: bool,
}

impl Ledger {
    pub(crate) fn new(limits: Limits) -> Self {
        Ledger {
            limits,
            used: Usage::default(),
            senders: Slots::new(),
            refused: false,
            announce: false,
        }
    }

    /// Whether all endpoints together have room for one more message of this sender.
    pub(crate) fn admits(&self, sender: SenderId, bytes: usize) -> bool {
        let capacity = Usage {
            messages: self.limits.messages,
            bytes: self.limits.bytes,
        };
        fits(self.used, self.senders[sender].used, capacity, bytes)
    }

    /// Takes a place for a message that `endpoints` endpoints will hold.
    pub(crate) fn hold(&mut self, sender: SenderId, bytes: usize, endpoints: usize) -> Holding {
        if endpoints > 0 {
            self.used.add(bytes);
            self.senders[sender].used.add(bytes);
        }
        let holders = (endpoints > 1).then(|| Arc::new(AtomicUsize::new(endpoints)));
        Holding {
            sender,
            charge_bytes: bytes,
            holders,
        }
    }

    /// One endpoint gave the message up; the last one gives its place back.
    pub(crate) fn release(&mut self, holding: &Holding) {
        let last = match &holding.holders {
            None => true,
            Some(holders) => holders.fetch_sub(1, Ordering::Relaxed) == 1,
        };
        if last {
            self.used.remove(holding.charge_bytes);
            self.senders[holding.sender]
                .used
                .remove(holding.charge_bytes);
        }
        self.announce |= std::mem::take(&mut self.refused);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAPACITY: Usage = Usage {
        messages: 100,
        bytes: 10_000,
    };

    fn usage(messages: usize, bytes: usize) -> Usage {
        Usage { messages, bytes }
    }

    /// Fills up for each sender in turn and gives back what each one got.
    fn flood(senders: usize) -> Vec<usize> {
        let mut used = Usage::default();
        let mut held = vec![Usage::default(); senders];
        loop {
            let before = used;
            for mine in &mut held {
                if fits(used, *mine, CAPACITY, 10) {
                    mine.add(10);
                    used.add(10);
                }
            }
            if used == before {
                return held.iter().map(|mine| mine.messages).collect();
            }
        }
    }

    #[test]
    fn one_sender_gets_half_and_several_leave_room_for_another() {
        assert_eq!(flood(1), [50]);
        assert_eq!(flood(2), [33, 33]);
        for senders in 3..20 {
            let held: usize = flood(senders).iter().sum();
            assert!(
                fits(usage(held, held * 10), Usage::default(), CAPACITY, 10),
                "{senders}"
            );
        }
    }

    #[test]
    fn bytes_count_as_messages_do() {
        assert!(fits(Usage::default(), Usage::default(), CAPACITY, 5_000));
        assert!(!fits(Usage::default(), Usage::default(), CAPACITY, 5_001));
        assert!(!fits(usage(1, 5_000), usage(1, 5_000), CAPACITY, 1));
        assert!(fits(usage(1, 5_000), Usage::default(), CAPACITY, 2_500));
    }

    proptest! {
        #[test]
        fn nothing_goes_over_the_capacity(messages in 0..200_usize, bytes in 0..20_000_usize, mine in 0..50_usize, wanted in 0..20_000_usize) {
            let used = usage(messages, bytes);
            if fits(used, usage(mine.min(messages), 0), CAPACITY, wanted) {
                prop_assert!(messages < CAPACITY.messages && bytes + wanted <= CAPACITY.bytes);
            }
        }
    }
}

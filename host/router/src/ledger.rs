//! Who holds how much: places taken in all, at an endpoint, and by each sender.
//!
//! Owns the sums and the rule that decides whether there is room. The queues (`state`) ask before they take
//! and report what left them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasm_edge_model::identity::ModuleId;

use crate::junction::Junctions;
use crate::limits::{Limits, STORE_SHARE, rank_part};
use crate::slots::{Id, Slots};
use crate::snapshot::SenderCounters;
use crate::store::Store;

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

    pub(crate) fn add_all(&mut self, other: Usage) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }

    pub(crate) fn remove_all(&mut self, other: Usage) {
        debug_assert!(
            self.messages >= other.messages && self.bytes >= other.bytes,
            "released more than was taken"
        );
        self.messages = self.messages.saturating_sub(other.messages);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// Where a message is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// In memory only.
    Memory,
    /// In the journal.
    Store,
}

/// What is used of each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Used {
    memory: Usage,
    store: Usage,
}

impl Used {
    pub(crate) fn of(&self, class: Class) -> Usage {
        match class {
            Class::Memory => self.memory,
            Class::Store => self.store,
        }
    }

    pub(crate) fn of_mut(&mut self, class: Class) -> &mut Usage {
        match class {
            Class::Memory => &mut self.memory,
            Class::Store => &mut self.store,
        }
    }

    /// Both.
    pub(crate) fn messages(&self) -> usize {
        self.memory.messages + self.store.messages
    }

    /// Both.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes + self.store.bytes
    }
}

/// A message that asks for room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) sender: SenderId,
    pub(crate) class: Class,
    pub(crate) bytes: usize,
}

/// Whether one more message of `bytes` fits where `used` of `capacity` is taken, `mine` of it by its sender.
///
/// After taking it the sender may hold no more than `share` times what is then still free. With a share of 1 one
/// sender alone gets half, two that flood a third each, and however many there are, another one still finds room.
pub(crate) fn fits(used: Usage, mine: Usage, capacity: Usage, share: usize, bytes: usize) -> bool {
    let fits = |used: usize, mine: usize, capacity: usize, wanted: usize| {
        let free_after = capacity.checked_sub(used.saturating_add(wanted));
        free_after.is_some_and(|free| mine + wanted <= free.saturating_mul(share))
    };
    fits(used.messages, mine.messages, capacity.messages, 1)
        && fits(used.bytes, mine.bytes, capacity.bytes, bytes)
}

/// What one sender holds, did, and where its outputs lead.
pub(crate) struct SenderState {
    pub(crate) module: ModuleId,
    pub(crate) used: Used,
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
            used: Used::default(),
            counters: SenderCounters::default(),
            handle: Arc::new(()),
            upstream_paused: false,
            removed: false,
            junctions: Junctions::default(),
        }
    }

    /// Whether the slot can be used for another sender.
    pub(crate) fn is_over(&self) -> bool {
        self.removed && self.used.messages() == 0 && Arc::strong_count(&self.handle) == 1
    }
}

/// One message held on behalf of its sender, at one endpoint or more.
#[derive(Clone)]
pub(crate) struct Holding {
    pub(crate) sender: SenderId,
    pub(crate) class: Class,
    pub(crate) charge_bytes: usize,
    /// How many endpoints still hold it. Absent in the store, where it counts at each, and for a message with one
    /// endpoint, which is most of them and saves them the allocation. Changed under the router's lock only.
    pub(crate) holders: Option<Arc<AtomicUsize>>,
}

/// The sums over all endpoints, and what is to be written down of the changes to them.
pub(crate) struct Ledger {
    pub(crate) limits: Limits,
    pub(crate) used: Used,
    pub(crate) senders: Slots<SenderState>,
    /// Somebody was told that there is no room since the last release.
    pub(crate) refused: bool,
    /// There is a release that those who were refused have not heard of.
    pub(crate) announce: bool,
    pub(crate) store: Store,
}

impl Ledger {
    pub(crate) fn new(limits: Limits, store: Store) -> Self {
        Ledger {
            limits,
            used: Used::default(),
            senders: Slots::new(),
            refused: false,
            announce: false,
            store,
        }
    }

    /// Whether all endpoints together have room for one more message.
    pub(crate) fn admits(&self, wish: Wish, rank: usize) -> bool {
        let mine = self.senders[wish.sender].used.of(wish.class);
        match wish.class {
            Class::Memory => {
                let capacity = Usage {
                    messages: self.limits.messages,
                    bytes: self.limits.bytes,
                };
                fits(self.used.memory, mine, capacity, 1, wish.bytes)
            }
            Class::Store => {
                let capacity_bytes = self.store.space().capacity_bytes;
                let capacity_bytes = usize::try_from(capacity_bytes).unwrap_or(usize::MAX);
                let capacity_bytes = capacity_bytes.min(self.limits.store_bytes);
                let capacity = Usage {
                    messages: rank_part(self.limits.store_messages, rank),
                    bytes: rank_part(capacity_bytes, rank),
                };
                fits(self.used.store, mine, capacity, STORE_SHARE, wish.bytes)
            }
        }
    }

    /// Takes a place for a message that `endpoints` endpoints will hold.
    pub(crate) fn hold(&mut self, wish: Wish, endpoints: usize) -> Holding {
        let times = match wish.class {
            Class::Memory => endpoints.min(1),
            Class::Store => endpoints,
        };
        for _ in 0..times {
            self.used.of_mut(wish.class).add(wish.bytes);
            let sender = &mut self.senders[wish.sender];
            sender.used.of_mut(wish.class).add(wish.bytes);
        }
        let is_shared = wish.class == Class::Memory && endpoints > 1;
        Holding {
            sender: wish.sender,
            class: wish.class,
            charge_bytes: wish.bytes,
            holders: is_shared.then(|| Arc::new(AtomicUsize::new(endpoints))),
        }
    }

    /// One endpoint gave the message up; the last one gives its place back.
    pub(crate) fn release(&mut self, holding: &Holding) {
        let last = match &holding.holders {
            None => true,
            Some(holders) => holders.fetch_sub(1, Ordering::Relaxed) == 1,
        };
        if last {
            let bytes = holding.charge_bytes;
            self.used.of_mut(holding.class).remove(bytes);
            let sender = &mut self.senders[holding.sender];
            sender.used.of_mut(holding.class).remove(bytes);
        }
        self.note_released();
    }

    /// What came out of an earlier process is held again.
    pub(crate) fn recover(&mut self, sender: SenderId, usage: Usage) {
        self.used.store.add_all(usage);
        self.senders[sender].used.store.add_all(usage);
    }

    /// Gives up what a sender held in the store behind the windows.
    pub(crate) fn release_behind(&mut self, sender: SenderId, usage: Usage) {
        self.used.store.remove_all(usage);
        self.senders[sender].used.store.remove_all(usage);
        self.note_released();
    }

    /// Those who were refused try again.
    pub(crate) fn note_released(&mut self) {
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
                if fits(used, *mine, CAPACITY, 1, 10) {
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
                fits(usage(held, held * 10), Usage::default(), CAPACITY, 1, 10),
                "{senders}"
            );
        }
    }

    #[test]
    fn bytes_count_as_messages_do() {
        assert!(fits(Usage::default(), Usage::default(), CAPACITY, 1, 5_000));
        assert!(!fits(
            Usage::default(),
            Usage::default(),
            CAPACITY,
            1,
            5_001
        ));
        assert!(!fits(usage(1, 5_000), usage(1, 5_000), CAPACITY, 1, 1));
        assert!(fits(usage(1, 5_000), Usage::default(), CAPACITY, 1, 2_500));
    }

    proptest! {
        #[test]
        fn nothing_goes_over_the_capacity(messages in 0..200_usize, bytes in 0..20_000_usize, mine in 0..50_usize, wanted in 0..20_000_usize) {
            let used = usage(messages, bytes);
            if fits(used, usage(mine.min(messages), 0), CAPACITY, 1, wanted) {
                prop_assert!(messages < CAPACITY.messages && bytes + wanted <= CAPACITY.bytes);
            }
        }
    }
}

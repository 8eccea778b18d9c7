//! One endpoint: its queues by priority, what its senders hold of it, and what was put aside.
//!
//! Owns the messages that wait here and the counts of what happened to them. What they take in all is the
//! ledger's, which is passed in wherever something leaves; the state chooses between endpoints.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::aside::{self, AsideList, AsideMessage, AsideReason, Kept};
use crate::endpoint::Endpoint;
use crate::lane::{Entry, Head, Lane, LaneKey};
use crate::ledger::{Holding, Ledger, SenderId, Usage, fits};
use crate::limits::Limits;
use crate::receipt::Outcome;
use crate::snapshot::{EndpointCounters, EndpointSnapshot, PrioritySnapshot};
use crate::state::MailboxId;

/// What one of an endpoint's queues has for whoever takes from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// A message that can be handed over.
    Due { lane: LaneKey, sequence: u64 },
    /// Messages wait after a try; look again then.
    Waits(Instant),
}

/// What a sender has at an endpoint.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    /// Staged, waiting and in hand.
    used: Usage,
    in_hand: usize,
}

/// Why a message leaves without having been dealt with.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Expired,
    Removed,
}

/// One endpoint.
pub(crate) struct Queue {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) mailbox: MailboxId,
    /// Whether a route of the present table leads here.
    pub(crate) routed: bool,
    pub(crate) counters: EndpointCounters,
    pub(crate) aside: AsideList,
    /// By priority, highest first, and then by sender.
    lanes: Vec<Lane>,
    /// Staged, waiting and in hand.
    used: Usage,
    queued: usize,
    in_hand: usize,
    /// What each sender has of `used`; senders with nothing are not in it.
    shares: Vec<(SenderId, Share)>,
}

impl Queue {
    pub(crate) fn new(endpoint: Endpoint, mailbox: MailboxId) -> Self {
        Queue {
            endpoint: Arc::new(endpoint),
            mailbox,
            routed: false,
            counters: EndpointCounters::default(),
            aside: AsideList::default(),
            lanes: Vec::new(),
            used: Usage::default(),
            queued: 0,
            in_hand: 0,
            shares: Vec::new(),
        }
    }

    /// Whether nothing is here, on its way here, or in hand.
    pub(crate) fn is_idle(&self) -> bool {
        self.used.messages == 0 && self.aside.len() == 0
    }

    /// How many messages of a sender are here, on their way here, or in hand.
    pub(crate) fn held_of(&self, sender: SenderId) -> usize {
        self.share(sender).used.messages
    }

    /// Whether there is room for one more message of a sender.
    pub(crate) fn admits(&self, sender: SenderId, bytes: usize, limits: &Limits) -> bool {
        let capacity = Usage {
            messages: limits.endpoint_messages,
            bytes: limits.endpoint_bytes,
        };
        fits(self.used, self.share(sender).used, capacity, bytes)
    }

    /// Takes a place.
    pub(crate) fn hold(&mut self, sender: SenderId, bytes: usize) {
        self.used.add(bytes);
        match self.shares.iter_mut().find(|(id, _)| *id == sender) {
            Some((_, share)) => share.used.add(bytes),
            None => {
                let used = Usage { messages: 1, bytes };
                self.shares.push((sender, Share { used, in_hand: 0 }));
            }
        }
    }

    /// Gives a place back, here and in all.
    pub(crate) fn release(&mut self, holding: &Holding, ledger: &mut Ledger) {
        self.used.remove(holding.charge_bytes);
        if let Some(place) = self.shares.iter().position(|(id, _)| *id == holding.sender) {
            let used = &mut self.shares[place].1.used;
            used.remove(holding.charge_bytes);
            if used.messages == 0 {
                self.shares.swap_remove(place);
            }
        }
        ledger.release(holding);
    }

    /// A message for which a place was taken comes in.
    pub(crate) fn enter(&mut self, entry: Entry, priority: u32) {
        self.counters.taken += 1;
        self.queued += 1;
        self.lane(self.key(&entry, priority)).push(entry);
    }

    /// A message for which a place was taken comes in, but its module is gone.
    pub(crate) fn enter_removed(&mut self, entry: Entry, ledger: &mut Ledger) {
        self.counters.taken += 1;
        self.lose(entry, Loss::Removed, ledger);
    }

    /// Tells of each queue what can be handed over now, but of senders only that are not paused and have fewer
    /// messages in hand than a consumer wants of each. Messages that expired at the head of a queue are dropped first.
    pub(crate) fn offer(
        &mut self,
        now: Instant,
        of_each_max: usize,
        ledger: &mut Ledger,
        mut offered: impl FnMut(Offer),
    ) {
        if self.queued == 0 {
            return;
        }
        for index in 0..self.lanes.len() {
            while let Some(entry) = self.lanes[index].pop_expired(now) {
                self.queued -= 1;
                self.lose(entry, Loss::Expired, ledger);
            }
            let lane = &self.lanes[index];
            let sender = lane.key.sender;
            let held_up = |sender| {
                self.share(sender).in_hand >= of_each_max || ledger.senders[sender].upstream_paused
            };
            if sender.is_some_and(held_up) {
                continue;
            }
            match lane.head(now) {
                Head::Due(sequence) => offered(Offer::Due {
                    lane: lane.key,
                    sequence,
                }),
                Head::Waits(at) => offered(Offer::Waits(at)),
                Head::Empty => {}
            }
        }
    }

    /// Hands out the first message of a queue.
    pub(crate) fn take(&mut self, lane: LaneKey) -> Option<Entry> {
        let entry = self.lane(lane).pop()?;
        self.queued -= 1;
        self.note_in_hand(&entry, |in_hand| in_hand + 1);
        Some(entry)
    }

    /// A message in hand is dealt with.
    pub(crate) fn complete(&mut self, entry: &mut Entry, ledger: &mut Ledger) {
        entry.tell(|| Outcome::Completed);
        self.note_in_hand(entry, |in_hand| in_hand - 1);
        self.counters.delivered += 1;
        self.release(&entry.holding, ledger);
    }

    /// A message in hand comes back to its place.
    pub(crate) fn put_back(&mut self, entry: Entry, priority: u32) {
        self.note_in_hand(&entry, |in_hand| in_hand - 1);
        self.queued += 1;
        self.lane(self.key(&entry, priority)).put_back(entry);
    }

    /// A message in hand comes back, but its module is gone.
    pub(crate) fn put_back_removed(&mut self, entry: Entry, ledger: &mut Ledger) {
        self.note_in_hand(&entry, |in_hand| in_hand - 1);
        self.lose(entry, Loss::Removed, ledger);
    }

    /// A message in hand is put aside: it gives its place back and counts in the list from now on.
    pub(crate) fn put_aside(
        &mut self,
        mut entry: Entry,
        reason: AsideReason,
        detail: &str,
        now: Instant,
        ledger: &mut Ledger,
    ) {
        self.note_in_hand(&entry, |in_hand| in_hand - 1);
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
        self.aside.push(Kept::new(entry, reason, detail, now));
        while self.aside.is_over(&ledger.limits) {
            self.drop_oldest_aside();
        }
    }

    pub(crate) fn drop_oldest_aside(&mut self) {
        if self.aside.drop_oldest() {
            self.counters.aside_dropped += 1;
        }
    }

    /// Drops what has expired, wherever it stands, to make room.
    pub(crate) fn sweep(&mut self, now: Instant, ledger: &mut Ledger) {
        let mut expired = Vec::new();
        for lane in &mut self.lanes {
            lane.sweep(now, |entry| expired.push(entry));
        }
        self.queued -= expired.len();
        for entry in expired {
            self.lose(entry, Loss::Expired, ledger);
        }
    }

    /// Drops everything that waits and what was put aside. What is in hand stays until it is ended.
    pub(crate) fn clear(&mut self, ledger: &mut Ledger) {
        let waiting: Vec<Entry> = self.lanes.iter_mut().flat_map(Lane::drain).collect();
        self.queued = 0;
        for entry in waiting {
            self.lose(entry, Loss::Removed, ledger);
        }
        while self.aside.len() > 0 {
            self.drop_oldest_aside();
        }
    }

    /// Forgets priorities at which nothing waits.
    pub(crate) fn drop_empty_lanes(&mut self) {
        self.lanes.retain(|lane| lane.len() > 0);
    }

    pub(crate) fn show_aside(&self, now: Instant) -> impl Iterator<Item = AsideMessage> {
        self.aside.show(&self.endpoint, now)
    }

    pub(crate) fn snapshot(&self, now: Instant) -> EndpointSnapshot {
        let waiting: Vec<_> = self.lanes.iter().filter(|lane| lane.len() > 0).collect();
        let priorities = waiting.chunk_by(|a, b| a.key.priority == b.key.priority);
        let priorities = priorities.map(|lanes| PrioritySnapshot {
            priority: lanes[0].key.priority,
            messages: lanes.iter().map(|lane| lane.len()).sum(),
            waits: shortest_wait(lanes, now),
        });
        EndpointSnapshot {
            endpoint: Endpoint::clone(&self.endpoint),
            routed: self.routed,
            queued_messages: self.queued,
            in_hand_messages: self.in_hand,
            staged_messages: self.used.messages - self.queued - self.in_hand,
            bytes: self.used.bytes,
            priorities: priorities.collect(),
            aside_messages: self.aside.len(),
            aside_bytes: self.aside.bytes(),
            counters: self.counters,
        }
    }

    /// Which queue a message belongs to.
    fn key(&self, entry: &Entry, priority: u32) -> LaneKey {
        let is_upstream = *self.endpoint == Endpoint::Upstream;
        LaneKey {
            priority,
            sender: is_upstream.then_some(entry.holding.sender),
        }
    }

    /// A queue, made when there is none.
    fn lane(&mut self, key: LaneKey) -> &mut Lane {
        let place = self.lanes.partition_point(|lane| lane.key < key);
        if self.lanes.get(place).is_none_or(|lane| lane.key != key) {
            self.lanes.insert(place, Lane::new(key));
        }
        &mut self.lanes[place]
    }

    fn share(&self, sender: SenderId) -> Share {
        let share = self.shares.iter().find(|(id, _)| *id == sender);
        share.map_or(Share::default(), |(_, share)| *share)
    }

    fn note_in_hand(&mut self, entry: &Entry, change: impl Fn(usize) -> usize) {
        self.in_hand = change(self.in_hand);
        let sender = entry.holding.sender;
        let share = self.shares.iter_mut().find(|(id, _)| *id == sender);
        // Its place is given back only after it has left its consumer's hands.
        if let Some((_, share)) = share {
            share.in_hand = change(share.in_hand);
        }
    }

    fn lose(&mut self, mut entry: Entry, loss: Loss, ledger: &mut Ledger) {
        match loss {
            Loss::Expired => {
                entry.tell(|| Outcome::Expired);
                self.counters.expired += 1;
                ledger.senders[entry.holding.sender].counters.expired += 1;
            }
            Loss::Removed => {
                entry.tell(|| Outcome::Removed);
                self.counters.removed += 1;
            }
        }
        self.release(&entry.holding, ledger);
    }
}

/// How long until the first of several queues can hand something over; `None` when one can now.
fn shortest_wait(lanes: &[&Lane], now: Instant) -> Option<Duration> {
    let waits = lanes.iter().map(|lane| match lane.head(now) {
        Head::Waits(at) => at.saturating_duration_since(now),
        Head::Due(_) | Head::Empty => Duration::ZERO,
    });
    waits.min().filter(|wait| !wait.is_zero())
}

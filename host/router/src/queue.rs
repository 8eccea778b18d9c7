//! One endpoint: its queues by priority, what its senders hold of it, and what was put aside.
//!
//! Owns the messages that wait here and the counts of what happened to them. What they take in all is the
//! ledger's, which is passed in wherever something leaves; the state chooses between endpoints.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::aside::{self, AsideList, AsideMessage, AsideReason, Kept};
use crate::endpoint::Endpoint;
use crate::lane::{Entry, Head, Lane};
use crate::ledger::{Holding, Ledger, SenderId, Usage, fits};
use crate::limits::Limits;
use crate::receipt::Outcome;
use crate::snapshot::{EndpointCounters, EndpointSnapshot, PrioritySnapshot};
use crate::state::MailboxId;

/// What an endpoint has for whoever takes from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// The first message that can be handed over.
    Due { priority: u32, sequence: u64 },
    /// Messages wait after a try; look again then.
    Waits(Instant),
    /// Nothing.
    Empty,
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
    /// By priority, highest first.
    lanes: Vec<Lane>,
    /// Staged, waiting and in hand.
    used: Usage,
    queued: usize,
    in_hand: usize,
    /// What each sender holds of `used`; senders with nothing are not in it.
    shares: Vec<(SenderId, Usage)>,
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
        let share = self.shares.iter().find(|(id, _)| *id == sender);
        share.map_or(0, |(_, usage)| usage.messages)
    }

    /// Whether there is room for one more message of a sender.
    pub(crate) fn admits(&self, sender: SenderId, bytes: usize, limits: &Limits) -> bool {
        let share = self.shares.iter().find(|(id, _)| *id == sender);
        let mine = share.map_or(Usage::default(), |(_, usage)| *usage);
        let capacity = Usage {
            messages: limits.endpoint_messages,
            bytes: limits.endpoint_bytes,
        };
        fits(self.used, mine, capacity, bytes)
    }

    /// Takes a place.
    pub(crate) fn hold(&mut self, sender: SenderId, bytes: usize) {
        self.used.add(bytes);
        match self.shares.iter_mut().find(|(id, _)| *id == sender) {
            Some((_, usage)) => usage.add(bytes),
            None => self.shares.push((sender, Usage { messages: 1, bytes })),
        }
    }

    /// Gives a place back, here and in all.
    pub(crate) fn release(&mut self, holding: &Holding, ledger: &mut Ledger) {
        self.used.remove(holding.charge_bytes);
        if let Some(place) = self.shares.iter().position(|(id, _)| *id == holding.sender) {
            let usage = &mut self.shares[place].1;
            usage.remove(holding.charge_bytes);
            if usage.messages == 0 {
                self.shares.swap_remove(place);
            }
        }
        ledger.release(holding);
    }

    /// A message for which a place was taken comes in.
    pub(crate) fn enter(&mut self, entry: Entry, priority: u32) {
        self.counters.taken += 1;
        self.queued += 1;
        self.lane(priority).push(entry);
    }

    /// A message for which a place was taken comes in, but its module is gone.
    pub(crate) fn enter_removed(&mut self, entry: Entry, ledger: &mut Ledger) {
        self.counters.taken += 1;
        self.lose(entry, Loss::Removed, ledger);
    }

    /// What can be handed over now. Messages that expired at the head of a queue are dropped first.
    pub(crate) fn offer(&mut self, now: Instant, ledger: &mut Ledger) -> Offer {
        if self.queued == 0 {
            return Offer::Empty;
        }
        let mut offer = Offer::Empty;
        for index in 0..self.lanes.len() {
            while let Some(entry) = self.lanes[index].pop_expired(now) {
                self.queued -= 1;
                self.lose(entry, Loss::Expired, ledger);
            }
            let lane = &self.lanes[index];
            offer = match (lane.head(now), offer) {
                (Head::Due(sequence), _) => {
                    return Offer::Due {
                        priority: lane.priority,
                        sequence,
                    };
                }
                (Head::Waits(at), Offer::Waits(other)) => Offer::Waits(at.min(other)),
                (Head::Waits(at), _) => Offer::Waits(at),
                (Head::Empty, offer) => offer,
            };
        }
        offer
    }

    /// Hands out the first message of a priority.
    pub(crate) fn take(&mut self, priority: u32) -> Option<Entry> {
        let entry = self.lane(priority).pop()?;
        self.queued -= 1;
        self.in_hand += 1;
        Some(entry)
    }

    /// A message in hand is dealt with.
    pub(crate) fn complete(&mut self, entry: &mut Entry, ledger: &mut Ledger) {
        entry.tell(|| Outcome::Completed);
        self.in_hand -= 1;
        self.counters.delivered += 1;
        self.release(&entry.holding, ledger);
    }

    /// A message in hand comes back to its place.
    pub(crate) fn put_back(&mut self, entry: Entry, priority: u32) {
        self.in_hand -= 1;
        self.queued += 1;
        self.lane(priority).put_back(entry);
    }

    /// A message in hand comes back, but its module is gone.
    pub(crate) fn put_back_removed(&mut self, entry: Entry, ledger: &mut Ledger) {
        self.in_hand -= 1;
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
        self.in_hand -= 1;
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
        let waiting = self.lanes.iter().filter(|lane| lane.len() > 0);
        let priorities = waiting.map(|lane| PrioritySnapshot {
            priority: lane.priority,
            messages: lane.len(),
            waits: match lane.head(now) {
                Head::Waits(at) => Some(at.saturating_duration_since(now)),
                Head::Due(_) | Head::Empty => None::<Duration>,
            },
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

    /// The queue of a priority, made when there is none.
    fn lane(&mut self, priority: u32) -> &mut Lane {
        let place = self.lanes.partition_point(|lane| lane.priority < priority);
        if self
            .lanes
            .get(place)
            .is_none_or(|lane| lane.priority != priority)
        {
            self.lanes.insert(place, Lane::new(priority));
        }
        &mut self.lanes[place]
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

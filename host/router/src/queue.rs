//! One endpoint: its queues by priority, what its senders hold of it, and what was put aside.
//!
//! Owns the messages that wait here and the counts of what happened to them. What they take in all, and what is
//! written down of it, is the ledger's, which is passed in wherever something enters or leaves; the state chooses
//! between endpoints.

mod aside;
mod give_way;
mod stored;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::aside::AsideList;
use crate::endpoint::Endpoint;
use crate::journal::commit::{LaneHandle, Sequence};
use crate::keeper;
use crate::lane::{Entry, Filling, Head, Lane, LaneKey, Reached, StoredLane};
use crate::ledger::{Class, Holding, Ledger, SenderId, Usage, Used, Wish, fits};
use crate::limits::{Limits, READ_AGAIN_AFTER, STORE_SHARE, rank_part};
use crate::receipt::Outcome;
use crate::snapshot::{EndpointCounters, EndpointSnapshot, PrioritySnapshot};
use crate::state::{EndpointId, MailboxId, Seen};

/// What one of an endpoint's queues has for whoever takes from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// A message that can be handed over.
    Due { lane: LaneKey, sequence: Sequence },
    /// Messages wait after a try; look again then.
    Waits(Instant),
    /// Messages are on the disk, or on their way there.
    Stalled,
}

/// What a sender has at an endpoint.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    /// Staged, waiting and in hand.
    used: Used,
    in_hand: usize,
}

/// Why a message leaves without having been dealt with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loss {
    /// Its time to live was over.
    Expired,
    /// Its module was removed.
    Removed,
    /// It gave way to a newer one of its sender.
    DroppedOldest,
    /// It gave way when every second one did.
    ThinnedOut,
    /// An operator threw it away.
    Purged,
}

/// One endpoint.
pub(crate) struct Queue {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) mailbox: MailboxId,
    /// Whether a route of the present table leads here.
    pub(crate) routed: bool,
    pub(crate) counters: EndpointCounters,
    pub(crate) aside: AsideList,
    /// The lane in the journal of what was put aside; absent until a message is.
    aside_lane: Option<LaneHandle>,
    /// By priority, highest first, and then by sender.
    lanes: Vec<Lane>,
    /// Staged, waiting and in hand.
    used: Used,
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
            aside_lane: None,
            lanes: Vec::new(),
            used: Used::default(),
            queued: 0,
            in_hand: 0,
            shares: Vec::new(),
        }
    }

    /// Whether nothing is here, on its way here, or in hand.
    pub(crate) fn is_idle(&self) -> bool {
        self.used.messages() == 0 && self.aside.len() == 0
    }

    /// How many messages of a sender are here, on their way here, or in hand.
    pub(crate) fn held_of(&self, sender: SenderId) -> usize {
        self.share(sender).used.messages()
    }

    /// Whether there is room for one more message at a priority of this rank.
    pub(crate) fn admits(&self, wish: Wish, rank: usize, limits: &Limits) -> bool {
        let used = self.used.of(wish.class);
        let mine = self.share(wish.sender).used.of(wish.class);
        let (capacity, share) = match wish.class {
            Class::Memory => {
                let capacity = Usage {
                    messages: limits.endpoint_messages,
                    bytes: limits.endpoint_bytes,
                };
                (capacity, 1)
            }
            Class::Store => {
                let capacity = Usage {
                    messages: rank_part(limits.store_endpoint_messages, rank),
                    bytes: rank_part(limits.store_endpoint_bytes, rank),
                };
                (capacity, STORE_SHARE)
            }
        };
        fits(used, mine, capacity, share, wish.bytes)
    }

    /// Takes a place.
    pub(crate) fn hold(&mut self, wish: Wish) {
        let usage = Usage {
            messages: 1,
            bytes: wish.bytes,
        };
        self.used.of_mut(wish.class).add_all(usage);
        self.share_mut(wish.sender)
            .of_mut(wish.class)
            .add_all(usage);
    }

    /// Gives a place back, here and in all.
    pub(crate) fn release(&mut self, holding: &Holding, ledger: &mut Ledger) {
        let bytes = holding.charge_bytes;
        self.used.of_mut(holding.class).remove(bytes);
        self.share_mut(holding.sender)
            .of_mut(holding.class)
            .remove(bytes);
        self.drop_empty_share(holding.sender);
        ledger.release(holding);
    }

    /// A message for which a place was taken comes in.
    pub(crate) fn enter(&mut self, entry: Entry, priority: u32) {
        self.counters.taken += 1;
        self.queued += 1;
        self.lane(self.key(entry.holding.sender, priority))
            .push(entry);
    }

    /// A message that was put aside waits again.
    pub(crate) fn enter_again(&mut self, entry: Entry, priority: u32) {
        self.queued += 1;
        self.lane(self.key(entry.holding.sender, priority))
            .push(entry);
    }

    /// The first messages in each queue, as far as they are in memory.
    pub(crate) fn peek(&self, store: u32, messages_max: usize, now: Instant) -> Vec<Seen> {
        let lanes = self.lanes.iter().filter(|lane| lane.len() > 0);
        lanes
            .map(|lane| {
                let gap = lane.stored.as_ref().and_then(StoredLane::gap);
                // In the order in which they will be handed over: what is newer comes after what is behind.
                let entries = lane
                    .entries()
                    .take_while(|entry| gap.is_none_or(|gap| entry.sequence <= gap));
                let priority = lane.key.priority;
                let shown = entries.map(|entry| entry.show(store, priority, now));
                Seen {
                    messages: shown.take(messages_max).collect(),
                    behind: lane.stored.as_ref().and_then(StoredLane::behind_at),
                    priority,
                }
            })
            .collect()
    }

    /// A message for which a place was taken comes in, but its module is gone.
    pub(crate) fn enter_removed(&mut self, entry: Entry, ledger: &mut Ledger) {
        self.counters.taken += 1;
        self.lose(entry, Loss::Removed, ledger);
    }

    /// Tells of each queue what can be handed over now, but of senders only that are not paused and have fewer
    /// messages in hand than a consumer wants of each. Messages that expired at the head of a queue are dropped first;
    /// queues that run low wish to be filled.
    pub(crate) fn offer(
        &mut self,
        id: EndpointId,
        now: Instant,
        of_each_max: usize,
        ledger: &mut Ledger,
        mut offered: impl FnMut(Offer),
    ) {
        if self.queued == 0 {
            return;
        }
        let reached = match *self.endpoint {
            Endpoint::Upstream => ledger.store.reached(),
            // What a module does with a message comes after it in the journal, so that it need not be kept yet.
            Endpoint::Module { .. } => Reached::ALL,
        };
        for index in 0..self.lanes.len() {
            while let Some(entry) = self.lanes[index].pop_expired(now) {
                self.queued -= 1;
                self.lose(entry, Loss::Expired, ledger);
            }
            if let Filling::Failed = self.fill(id, index, ledger) {
                offered(Offer::Waits(now + READ_AGAIN_AFTER));
            }
            let lane = &self.lanes[index];
            let sender = lane.key.sender;
            let held_up = |sender| {
                self.share(sender).in_hand >= of_each_max || ledger.senders[sender].upstream_paused
            };
            if sender.is_some_and(held_up) {
                continue;
            }
            match lane.head(now, reached) {
                Head::Due(sequence) => offered(Offer::Due {
                    lane: lane.key,
                    sequence,
                }),
                Head::Waits(at) => offered(Offer::Waits(at)),
                Head::Stalled => offered(Offer::Stalled),
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
        ledger.store.done(entry.place);
        self.note_in_hand(entry, |in_hand| in_hand - 1);
        self.counters.delivered += 1;
        self.release(&entry.holding, ledger);
    }

    /// A message in hand comes back to its place.
    pub(crate) fn put_back(&mut self, entry: Entry, priority: u32) {
        self.note_in_hand(&entry, |in_hand| in_hand - 1);
        self.queued += 1;
        self.lane(self.key(entry.holding.sender, priority))
            .put_back(entry);
    }

    /// A message in hand comes back, but its module is gone.
    pub(crate) fn put_back_removed(&mut self, entry: Entry, ledger: &mut Ledger) {
        self.note_in_hand(&entry, |in_hand| in_hand - 1);
        self.lose(entry, Loss::Removed, ledger);
    }

    /// Drops what has expired in memory, wherever it stands, to make room.
    pub(crate) fn sweep(&mut self, id: EndpointId, now: Instant, ledger: &mut Ledger) {
        let mut expired = Vec::new();
        for lane in &mut self.lanes {
            lane.sweep(now, |entry| expired.push(entry));
        }
        self.queued -= expired.len();
        for entry in expired {
            self.lose(entry, Loss::Expired, ledger);
        }
        // What is behind may have expired as well.
        for index in 0..self.lanes.len() {
            self.fill(id, index, ledger);
        }
    }

    /// Drops everything that waits; gives how many that were. What is in hand stays until it is ended.
    pub(crate) fn clear(&mut self, loss: Loss, ledger: &mut Ledger) -> usize {
        let waiting: Vec<Entry> = self.lanes.iter_mut().flat_map(Lane::drain).collect();
        let count = self.queued;
        self.queued = 0;
        for entry in waiting {
            self.lose(entry, loss, ledger);
        }
        for index in 0..self.lanes.len() {
            self.clear_behind(index, loss, ledger);
        }
        count
    }

    /// Forgets queues in which nothing waits and which have no lane in the journal.
    pub(crate) fn drop_empty_lanes(&mut self) {
        self.lanes
            .retain(|lane| lane.len() > 0 || lane.stored.is_some());
    }

    pub(crate) fn snapshot(&self, now: Instant) -> EndpointSnapshot {
        let waiting: Vec<_> = self.lanes.iter().filter(|lane| lane.len() > 0).collect();
        let priorities = waiting.chunk_by(|a, b| a.key.priority == b.key.priority);
        let priorities = priorities.map(|lanes| PrioritySnapshot {
            priority: lanes[0].key.priority,
            messages: lanes.iter().map(|lane| lane.len()).sum(),
            oldest: lanes.iter().filter_map(|lane| lane.age(now)).max(),
            waits: shortest_wait(lanes, now),
        });
        EndpointSnapshot {
            endpoint: Endpoint::clone(&self.endpoint),
            routed: self.routed,
            queued_messages: self.queued,
            in_hand_messages: self.in_hand,
            staged_messages: self.used.messages() - self.queued - self.in_hand,
            bytes: self.used.bytes(),
            priorities: priorities.collect(),
            aside_messages: self.aside.len(),
            aside_bytes: self.aside.bytes(),
            counters: self.counters,
        }
    }

    /// Which queue a sender's message belongs to.
    fn key(&self, sender: SenderId, priority: u32) -> LaneKey {
        let is_upstream = *self.endpoint == Endpoint::Upstream;
        LaneKey {
            priority,
            sender: is_upstream.then_some(sender),
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

    fn share_mut(&mut self, sender: SenderId) -> &mut Used {
        let place = self.shares.iter().position(|(id, _)| *id == sender);
        let place = place.unwrap_or_else(|| {
            self.shares.push((sender, Share::default()));
            self.shares.len() - 1
        });
        &mut self.shares[place].1.used
    }

    fn drop_empty_share(&mut self, sender: SenderId) {
        self.shares
            .retain(|(id, share)| *id != sender || share.used.messages() > 0);
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

    /// Wishes to be filled, if it runs low.
    fn fill(&mut self, id: EndpointId, index: usize, ledger: &mut Ledger) -> Filling {
        let lane = &mut self.lanes[index];
        let Some(stored) = &mut lane.stored else {
            return Filling::Idle;
        };
        let filling = stored.fill(lane.key, ledger.store.reached().written);
        if let Filling::Wishes(request) = filling {
            ledger.store.work.push(keeper::Wish {
                endpoint: id,
                request,
            });
        }
        filling
    }

    /// A message that waited leaves without having been dealt with.
    fn lose(&mut self, mut entry: Entry, loss: Loss, ledger: &mut Ledger) {
        ledger.store.done(entry.place);
        entry.tell(|| match loss {
            Loss::Expired => Outcome::Expired,
            _ => Outcome::Removed,
        });
        self.count_loss(loss, 1, entry.holding.sender, ledger);
        self.release(&entry.holding, ledger);
    }

    fn count_loss(&mut self, loss: Loss, messages: u64, sender: SenderId, ledger: &mut Ledger) {
        *match loss {
            Loss::Expired => &mut self.counters.expired,
            Loss::Removed => &mut self.counters.removed,
            Loss::DroppedOldest => &mut self.counters.dropped_oldest,
            Loss::ThinnedOut => &mut self.counters.thinned_out,
            Loss::Purged => &mut self.counters.purged,
        } += messages;
        if let Loss::Expired = loss {
            ledger.senders[sender].counters.expired += messages;
        }
    }
}

/// How long until the first of several queues can hand something over; `None` when one can now.
fn shortest_wait(lanes: &[&Lane], now: Instant) -> Option<Duration> {
    let waits = lanes.iter().map(|lane| match lane.head(now, Reached::ALL) {
        Head::Waits(at) => at.saturating_duration_since(now),
        Head::Due(_) | Head::Stalled | Head::Empty => Duration::ZERO,
    });
    waits.min().filter(|wait| !wait.is_zero())
}

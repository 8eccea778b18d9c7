//! Everything the router knows, and every change to it, with the time as an argument.
//!
//! The handles (`router`, `sender`, `inbox`) lock it for one of these calls at a time and wake who waits
//! afterwards; nothing here waits, sleeps or reads a clock. What a call changes in the durable queues is put together
//! to one commit and submitted at its end (`store`).

mod names;
mod operate;
mod room;
mod stored;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::Message;

use crate::aside::AsideReason;
use crate::endpoint::Endpoint;
use crate::journal::commit::{NewMessage, NewTarget, Sequence};
use crate::junction::{Chosen, Junction, Origin};
use crate::lane::{Entry, LaneKey};
use crate::ledger::{Class, Holding, Ledger, SenderId};
use crate::limits::Limits;
use crate::queue::{Offer, Queue};
use crate::receipt::Tell;
use crate::slots::{Id, Slots};
use crate::snapshot::{RouterSnapshot, SenderSnapshot, StoreSnapshot};
use crate::stamp::Stamp;
use crate::store::Store;
use crate::table::{NumberedRoute, Path};
use crate::tap::{Accepted, Tap};
use crate::tries::{AfterTry, Tries};
use crate::turns::{RANKS, Turns, rank};

pub(crate) use operate::Seen;
pub(crate) use room::Reserved;

/// The number of an endpoint.
pub(crate) type EndpointId = Id<Queue>;

/// The number of a mailbox.
pub(crate) type MailboxId = Id<Mailbox>;

/// The endpoints that one consumer takes from: all inputs of a module, or upstream.
pub(crate) struct Mailbox {
    /// Absent for upstream.
    module: Option<ModuleId>,
    endpoints: Vec<EndpointId>,
    turns: Turns,
    notify: Arc<Notify>,
    /// The module was removed: what is for it is dropped, until it is named or asks again.
    removed: bool,
}

/// The routes applied last.
#[derive(Debug)]
pub(crate) struct Routes {
    /// Grows with each table; a path found with another version is not used.
    pub(crate) version: u64,
    pub(crate) routes: Vec<NumberedRoute>,
    time_to_live: Option<Duration>,
}

/// What is known of the way of a set of routes.
pub(crate) enum Known {
    /// The way.
    Path(Arc<Path>),
    /// Nothing: it has to be put together.
    Nothing,
    /// The routes have changed since they were evaluated.
    Outdated,
}

/// A message with its places on a path, not in any queue yet.
pub(crate) struct Held {
    pub(crate) holding: Holding,
    /// Targets of the path, by their index, where it was dropped for want of room.
    pub(crate) dropped: Vec<usize>,
    /// Absent when it goes nowhere: then it is only counted.
    pub(crate) message: Option<Arc<Message>>,
    /// When it was taken; its time to live starts here.
    pub(crate) taken_at: Instant,
    /// Whoever wants to know how it ends.
    pub(crate) receipt: Option<Tell>,
}

/// A message handed over and not ended yet.
pub(crate) struct Lease {
    pub(crate) endpoint: EndpointId,
    pub(crate) priority: u32,
    pub(crate) entry: Entry,
}

/// What a consumer gets.
pub(crate) enum Next {
    /// A message, and the input it is for.
    Lease(Lease, Arc<Endpoint>),
    /// Nothing before this time.
    Waits(Instant),
    /// Nothing before the journal has gone on, or before this time.
    Stalled(Option<Instant>),
    /// Nothing.
    Empty,
}

/// How a message in hand was ended without being completed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending<'a> {
    /// The module asked for it later.
    Retry(Duration),
    /// The try failed.
    Fail(&'a str),
    /// The module will never take it.
    Reject(&'a str),
}

/// All queues, places and counters.
pub(crate) struct State {
    pub(crate) ledger: Ledger,
    pub(crate) routes: Arc<Routes>,
    queues: Slots<Queue>,
    queue_ids: HashMap<Endpoint, EndpointId>,
    mailboxes: Slots<Mailbox>,
    upstream: MailboxId,
    mailbox_ids: HashMap<ModuleId, MailboxId>,
    sender_ids: HashMap<ModuleId, SenderId>,
    pub(crate) stamp: Stamp,
    /// Tells those who watch what is accepted for upstream.
    pub(crate) tap: Tap,
}

impl State {
    pub(crate) fn new(limits: Limits, store: Store) -> Self {
        let mut mailboxes = Slots::new();
        let upstream = mailboxes.insert(Mailbox::new(None));
        let routes = Routes {
            version: 1,
            routes: Vec::new(),
            time_to_live: None,
        };
        State {
            ledger: Ledger::new(limits, store),
            routes: Arc::new(routes),
            queues: Slots::new(),
            queue_ids: HashMap::new(),
            mailboxes,
            upstream,
            mailbox_ids: HashMap::new(),
            sender_ids: HashMap::new(),
            stamp: Stamp::new(),
            tap: Tap::new(),
        }
    }

    /// Where a sender's messages part, if it is remembered.
    pub(crate) fn junction(&self, sender: SenderId, origin: Origin<'_>) -> Option<&Arc<Junction>> {
        self.ledger.senders[sender].junctions.of(origin)
    }

    /// Remembers a junction, unless the routes it was found with are not the present ones.
    pub(crate) fn remember(&mut self, sender: SenderId, junction: Arc<Junction>) {
        if junction.version() == self.routes.version {
            self.ledger.senders[sender].junctions.remember(junction);
        }
    }

    /// The path of a set of routes, as far as the junction's routes are the present ones.
    pub(crate) fn path(
        &self,
        sender: SenderId,
        junction: &Arc<Junction>,
        chosen: &Chosen,
    ) -> Known {
        if junction.version() != self.routes.version {
            return Known::Outdated;
        }
        let path = self.ledger.senders[sender].junctions.path(junction, chosen);
        path.map_or(Known::Nothing, Known::Path)
    }

    /// Remembers the path of a set of routes; false when the routes it was found with are not the present ones.
    pub(crate) fn remember_path(
        &mut self,
        sender: SenderId,
        junction: &Arc<Junction>,
        chosen: &Chosen,
        path: &Arc<Path>,
    ) -> bool {
        let present = junction.version() == self.routes.version;
        if present {
            let junctions = &mut self.ledger.senders[sender].junctions;
            junctions.remember_path(junction, chosen, Arc::clone(path));
        }
        present
    }

    /// A staged message enters its queues.
    pub(crate) fn enter(&mut self, path: &Arc<Path>, mut held: Held) {
        let counters = &mut self.ledger.senders[held.holding.sender].counters;
        counters.taken += 1;
        let Some(message) = held.message else {
            counters.no_route += u64::from(path.targets.is_empty());
            return;
        };
        let sequence = self.ledger.store.sequence();
        let sender = held.holding.sender;
        let is_stored = held.holding.class == Class::Store;
        let mut targets = Vec::new();
        for (index, target) in path.targets.iter().enumerate() {
            if held.dropped.contains(&index) {
                continue;
            }
            let queue = &mut self.queues[target.endpoint];
            if queue.mailbox == self.upstream {
                let store = self.ledger.store.id;
                self.tap.tell(|| Accepted {
                    id: sequence.id(store),
                    source: Arc::clone(&path.source),
                    message: Arc::clone(&message),
                });
            }
            let removed = self.mailboxes[queue.mailbox].removed;
            let place = (is_stored && !removed)
                .then(|| queue.place(sender, target.priority, &self.ledger))
                .flatten();
            let time_to_live = target.time_to_live;
            targets.extend(place.map(|place| NewTarget {
                place,
                time_to_live,
            }));
            // A time to live beyond what the clock can tell never ends.
            let expires_at = time_to_live.and_then(|ttl| held.taken_at.checked_add(ttl));
            let entry = Entry {
                sequence,
                id: sequence,
                message: Arc::clone(&message),
                source: Arc::clone(&path.source),
                holding: held.holding.clone(),
                place,
                durability: path.durability,
                taken_at: held.taken_at,
                expires_at,
                not_before: None,
                tries: Tries::default(),
                // A message that somebody asks about has one endpoint.
                receipt: held.receipt.take(),
            };
            if removed {
                queue.enter_removed(entry, &mut self.ledger);
            } else {
                queue.enter(entry, target.priority);
            }
        }
        if !targets.is_empty() {
            let message = NewMessage {
                sequence,
                id: sequence,
                message,
                source: Arc::clone(&path.source),
                targets,
                charge_bytes: held.holding.charge_bytes,
                taken_at: held.taken_at,
                aside: None,
            };
            self.ledger.store.entered(message, path.durability);
        }
    }

    /// Hands out the next message of a mailbox: highest priority first, as [`crate::turns`] has it, then the oldest.
    /// A queue whose first message waits after a try stands still, as does one whose sender has as many in hand
    /// as the consumer wants of each; the others go on.
    pub(crate) fn take(&mut self, mailbox: MailboxId, of_each_max: usize, now: Instant) -> Next {
        let mailbox = &mut self.mailboxes[mailbox];
        if mailbox.module.is_some() && !self.ledger.store.is_keeping_up() {
            return Next::Stalled(None);
        }
        let mut due: [Option<(Sequence, EndpointId, LaneKey)>; RANKS] = [None; RANKS];
        let mut waiting = 0;
        let mut waits: Option<Instant> = None;
        let mut is_stalled = false;
        for id in &mailbox.endpoints {
            let queue = &mut self.queues[*id];
            queue.offer(
                *id,
                now,
                of_each_max,
                &mut self.ledger,
                |offer| match offer {
                    Offer::Due { lane, sequence } => {
                        let rank = rank(lane.priority);
                        let offered = (sequence, *id, lane);
                        waiting |= 1 << rank;
                        due[rank] = Some(due[rank].map_or(offered, |best| best.min(offered)));
                    }
                    Offer::Waits(at) => waits = Some(waits.map_or(at, |waits| waits.min(at))),
                    Offer::Stalled => is_stalled = true,
                },
            );
        }
        let turn = mailbox.turns.give(waiting).and_then(|rank| due[rank]);
        let taken = turn.and_then(|(_, endpoint, lane)| {
            let entry = self.queues[endpoint].take(lane)?;
            Some(Lease {
                endpoint,
                priority: lane.priority,
                entry,
            })
        });
        match (taken, waits) {
            (Some(lease), _) => {
                let endpoint = Arc::clone(&self.queues[lease.endpoint].endpoint);
                Next::Lease(lease, endpoint)
            }
            (None, waits) if is_stalled => Next::Stalled(waits),
            (None, Some(at)) => Next::Waits(at),
            (None, None) => Next::Empty,
        }
    }

    /// A message in hand is dealt with. The caller drops it, after the lock: freeing it takes longer than this.
    pub(crate) fn complete(&mut self, lease: &mut Lease) {
        self.queues[lease.endpoint].complete(&mut lease.entry, &mut self.ledger);
    }

    /// A message in hand comes back to its place as it was; false when its module is gone.
    pub(crate) fn put_back(&mut self, lease: Lease) -> bool {
        let queue = &mut self.queues[lease.endpoint];
        let removed = self.mailboxes[queue.mailbox].removed;
        if removed {
            queue.put_back_removed(lease.entry, &mut self.ledger);
        } else {
            queue.put_back(lease.entry, lease.priority);
        }
        !removed
    }

    /// A message in hand was not completed: it waits, or is put aside.
    pub(crate) fn end_try(
        &mut self,
        mut lease: Lease,
        ending: Ending<'_>,
        now: Instant,
    ) -> AfterTry {
        let counters = &mut self.queues[lease.endpoint].counters;
        let tries = &mut lease.entry.tries;
        let (after, detail) = match ending {
            Ending::Retry(asked) => {
                counters.retries += 1;
                (tries.after_retry(asked), "")
            }
            Ending::Fail(detail) => {
                counters.failed_tries += 1;
                (tries.after_failure(), detail)
            }
            Ending::Reject(detail) => (AfterTry::Aside(AsideReason::Rejected), detail),
        };
        match after {
            AfterTry::Again { after: wait } => {
                lease.entry.not_before = now.checked_add(wait);
                if self.put_back(lease) {
                    after
                } else {
                    AfterTry::Removed
                }
            }
            AfterTry::Aside(reason) => self.put_aside(lease, reason, detail, now),
            AfterTry::Removed => after,
        }
    }

    /// Lets upstream take the messages of a module, or not; whether that is a change.
    pub(crate) fn pause_upstream(&mut self, module: &ModuleId, paused: bool) -> bool {
        let sender = self.sender_ids.get(module).copied();
        sender.is_some_and(|sender| {
            let sender = &mut self.ledger.senders[sender];
            std::mem::replace(&mut sender.upstream_paused, paused) != paused
        })
    }

    /// How many messages of a module wait for upstream or are on their way there.
    pub(crate) fn waiting_upstream_of(&mut self, module: &ModuleId, now: Instant) -> usize {
        let Some(sender) = self.sender_ids.get(module).copied() else {
            return 0;
        };
        let mut waiting = 0;
        for id in &self.mailboxes[self.upstream].endpoints {
            let queue = &mut self.queues[*id];
            queue.sweep(*id, now, &mut self.ledger);
            waiting += queue.held_of(sender);
        }
        waiting
    }

    pub(crate) fn snapshot(&mut self, now: Instant) -> RouterSnapshot {
        self.sweep_all(now);
        let mut endpoints: Vec<_> = self
            .queues
            .iter()
            .map(|(_, queue)| queue.snapshot(now))
            .collect();
        endpoints.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
        let senders = self
            .ledger
            .senders
            .iter()
            .map(|(_, sender)| SenderSnapshot {
                module: sender.module.clone(),
                messages: sender.used.messages(),
                bytes: sender.used.bytes(),
                counters: sender.counters,
            });
        let mut senders: Vec<_> = senders.collect();
        senders.sort_by(|a, b| a.module.cmp(&b.module));
        RouterSnapshot {
            messages: self.ledger.used.of(Class::Memory).messages,
            bytes: self.ledger.used.of(Class::Memory).bytes,
            messages_max: self.ledger.limits.messages,
            bytes_max: self.ledger.limits.bytes,
            store: self.store_snapshot(),
            endpoints,
            senders,
        }
    }

    fn put_aside(
        &mut self,
        lease: Lease,
        reason: AsideReason,
        detail: &str,
        now: Instant,
    ) -> AfterTry {
        let queue = &mut self.queues[lease.endpoint];
        if self.mailboxes[queue.mailbox].removed {
            queue.put_back_removed(lease.entry, &mut self.ledger);
            return AfterTry::Removed;
        }
        queue.put_aside(
            lease.entry,
            lease.priority,
            reason,
            detail,
            now,
            &mut self.ledger,
        );
        self.drop_what_is_too_much_aside();
        AfterTry::Aside(reason)
    }

    /// Keeps what all endpoints together put aside within its limit; the oldest of all goes first.
    fn drop_what_is_too_much_aside(&mut self) {
        let bytes = |(_, queue): (EndpointId, &Queue)| queue.aside.bytes();
        while self.queues.iter().map(bytes).sum::<usize>() > self.ledger.limits.aside_total_bytes {
            let kept = self.queues.iter_mut();
            let kept = kept.filter(|(_, queue)| queue.aside.len() > 0);
            let oldest = kept.min_by_key(|(_, queue)| queue.aside.oldest());
            let Some((_, queue)) = oldest else { break };
            queue.drop_oldest_aside(&mut self.ledger);
        }
    }

    fn store_snapshot(&self) -> Option<StoreSnapshot> {
        let journal = self.ledger.store.journal()?;
        let used = self.ledger.used.of(Class::Store);
        Some(StoreSnapshot {
            messages: used.messages,
            bytes: used.bytes,
            messages_max: self.ledger.limits.store_messages,
            space: journal.space(),
            figures: journal.figures(),
        })
    }

    fn sweep_all(&mut self, now: Instant) {
        for (id, queue) in self.queues.iter_mut() {
            queue.sweep(id, now, &mut self.ledger);
        }
    }
}

#[cfg(test)]
mod tests;

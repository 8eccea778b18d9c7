//! What an operator does with the queues: look into them, bring back what was put aside, throw away.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;
use wasm_edge_model::message::MessageId;

use super::{EndpointId, State};
use crate::aside::{AsideMessage, Kept};
use crate::endpoint::Endpoint;
use crate::journal::commit::{LaneId, NewMessage, NewTarget, Sequence};
use crate::lane::Entry;
use crate::ledger::{Class, Wish};
use crate::limits::{charge_bytes, stored_bytes};
use crate::operate::{Part, Retried, WaitingMessage};
use crate::queue::Loss;
use crate::tries::Tries;
use crate::turns::rank;

/// What a look into one queue found in memory, and where the rest of it is.
pub(crate) struct Seen {
    pub(crate) messages: Vec<WaitingMessage>,
    /// The lane in the journal and the first place on the disk only, if messages are behind these.
    pub(crate) behind: Option<(LaneId, u64)>,
    pub(crate) priority: u32,
}

impl State {
    /// All messages put aside.
    pub(crate) fn aside(&self, now: Instant) -> Vec<AsideMessage> {
        let store = self.ledger.store.id;
        let mut all: Vec<_> = self
            .queues
            .iter()
            .flat_map(|(_, queue)| queue.show_aside(store, now))
            .collect();
        all.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
        all
    }

    /// The first messages that wait in each queue of an endpoint, as far as they are in memory.
    pub(crate) fn peek(&self, endpoint: &Endpoint, messages_max: usize, now: Instant) -> Vec<Seen> {
        let Some(id) = self.queue_ids.get(endpoint) else {
            return Vec::new();
        };
        self.queues[*id].peek(self.ledger.store.id, messages_max, now)
    }

    /// Throws away what waits at an endpoint, or what was put aside there; gives how many messages that were. What is
    /// in hand stays until it is ended.
    pub(crate) fn purge(&mut self, endpoint: &Endpoint, part: Part) -> usize {
        let Some(id) = self.queue_ids.get(endpoint).copied() else {
            return 0;
        };
        let queue = &mut self.queues[id];
        match part {
            Part::Waiting => queue.clear(Loss::Purged, &mut self.ledger),
            Part::Aside => queue.clear_aside(&mut self.ledger),
        }
    }

    /// Brings messages put aside at an endpoint back to the queues they came from: one of them, or all. They keep
    /// their ids, and their tries begin anew.
    pub(crate) fn retry(
        &mut self,
        endpoint: &Endpoint,
        which: Option<MessageId>,
        now: Instant,
    ) -> Retried {
        let Some(id) = self.queue_ids.get(endpoint).copied() else {
            return Retried::default();
        };
        let store = self.ledger.store.id;
        let is_meant = |sequence: Sequence| which.is_none_or(|which| which == sequence.id(store));
        let mut retried = Retried::default();
        let mut back = Vec::new();
        while let Some(kept) = self.queues[id].take_aside(is_meant) {
            match self.bring_back(id, kept, now) {
                Ok(()) => retried.messages += 1,
                Err(kept) => back.push(kept),
            }
        }
        retried.without_room = back.len();
        for kept in back {
            self.queues[id].put_back_aside(*kept);
        }
        retried
    }

    /// A message put aside waits again; it comes back when there is no room.
    fn bring_back(&mut self, id: EndpointId, kept: Kept, now: Instant) -> Result<(), Box<Kept>> {
        let class = match kept.place {
            Some(_) => Class::Store,
            None => Class::Memory,
        };
        let wish = Wish {
            sender: self.known_sender(kept.source.module()),
            class,
            bytes: match class {
                Class::Store => stored_bytes(&kept.message),
                Class::Memory => charge_bytes(&kept.message),
            },
        };
        let priority = kept.note.priority;
        let rank = rank(priority);
        let queue = &self.queues[id];
        let has_room = queue.admits(wish, rank, &self.ledger.limits)
            && self.ledger.admits(wish, rank)
            && (class == Class::Memory || self.ledger.store.takes());
        if !has_room {
            return Err(Box::new(kept));
        }
        let queue = &mut self.queues[id];
        queue.hold(wish);
        queue.counters.retried += 1;
        let holding = self.ledger.hold(wish, 1);
        let sequence = self.ledger.store.sequence();
        let place = match class {
            Class::Store => queue.place(wish.sender, priority, &self.ledger),
            Class::Memory => None,
        };
        let time_to_live = self.routes.time_to_live;
        let durability = queue.endpoint.default_durability();
        self.ledger.store.done(kept.place);
        if let Some(place) = place {
            let message = NewMessage {
                sequence,
                id: kept.id,
                message: Arc::clone(&kept.message),
                source: Arc::clone(&kept.source),
                targets: vec![NewTarget {
                    place,
                    time_to_live,
                }],
                charge_bytes: wish.bytes,
                taken_at: now,
                aside: None,
            };
            self.ledger.store.entered(message, durability);
        }
        let entry = Entry {
            sequence,
            id: kept.id,
            message: kept.message,
            source: kept.source,
            holding,
            place,
            durability,
            taken_at: now,
            expires_at: time_to_live.and_then(|ttl| now.checked_add(ttl)),
            not_before: None,
            tries: Tries::default(),
            receipt: None,
        };
        queue.enter_again(entry, priority);
        Ok(())
    }

    /// Whoever takes from an endpoint.
    pub(crate) fn consumer_of(&self, endpoint: &Endpoint) -> Option<Arc<Notify>> {
        let id = self.queue_ids.get(endpoint)?;
        let mailbox = self.queues[*id].mailbox;
        Some(Arc::clone(&self.mailboxes[mailbox].notify))
    }
}

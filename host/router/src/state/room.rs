//! Taking places: whether there is room for a message, and what gives way when there is not.

use tokio::time::Instant;
use wasm_edge_model::route::WhenFull;

use super::{Held, State};
use crate::endpoint::Endpoint;
use crate::ledger::{Class, Holding, Wish};
use crate::table::{Path, Target};
use crate::turns::{RANKS, rank};

/// Places of a message.
pub(crate) struct Reserved {
    pub(crate) holding: Holding,
    /// Targets of the path, by their index, where it was dropped for want of room.
    pub(crate) dropped: Vec<usize>,
}

impl State {
    /// In which class the messages of a path are held.
    pub(crate) fn class(&self, path: &Path) -> Class {
        match self.ledger.store.keeps(path.durability) {
            true => Class::Store,
            false => Class::Memory,
        }
    }

    /// The largest charge that there could ever be room for.
    pub(crate) fn charge_max_bytes(&self, class: Class) -> usize {
        match class {
            Class::Memory => self.ledger.limits.charge_max_bytes(),
            Class::Store => {
                let capacity = self.ledger.store.space().capacity_bytes;
                let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
                self.ledger.limits.stored_max_bytes(capacity)
            }
        }
    }

    /// Takes a place for a message at every endpoint of its path and in all, or none; but where a route says so, it
    /// or others are dropped instead.
    ///
    /// # Errors
    /// The endpoint that has no room.
    pub(crate) fn reserve(
        &mut self,
        wish: Wish,
        path: &Path,
        now: Instant,
    ) -> Result<Reserved, Endpoint> {
        if wish.class == Class::Store
            && !self.ledger.store.takes()
            && let Some(first) = path.targets.first()
        {
            return Err(self.refuse(first));
        }
        // Nothing gives way for a message that is refused elsewhere.
        for target in &path.targets {
            if target.when_full == WhenFull::Refuse && !self.has_room(target, wish, now) {
                return Err(self.refuse(target));
            }
        }
        let mut dropped = Vec::new();
        for (index, target) in path.targets.iter().enumerate() {
            if target.when_full == WhenFull::Refuse || self.make_room(target, wish, now) {
                continue;
            }
            match target.when_full {
                WhenFull::DropNewest => dropped.push(index),
                _ => return Err(self.refuse(target)),
            }
        }
        self.make_room_in_all(path, wish, &mut dropped, now)?;
        for index in &dropped {
            let endpoint = path.targets[*index].endpoint;
            self.queues[endpoint].counters.dropped_newest += 1;
        }
        let targets = path.targets.iter().enumerate();
        for (_, target) in targets.filter(|(index, _)| !dropped.contains(index)) {
            self.queues[target.endpoint].hold(wish);
        }
        let endpoints = path.targets.len() - dropped.len();
        Ok(Reserved {
            holding: self.ledger.hold(wish, endpoints),
            dropped,
        })
    }

    /// Gives the places of a message back that was not committed.
    pub(crate) fn cancel(&mut self, path: &Path, held: &Held) {
        for (index, target) in path.targets.iter().enumerate() {
            if !held.dropped.contains(&index) {
                self.queues[target.endpoint].release(&held.holding, &mut self.ledger);
            }
        }
    }

    fn refuse(&mut self, target: &Target) -> Endpoint {
        self.ledger.refused = true;
        Endpoint::clone(&self.queues[target.endpoint].endpoint)
    }

    fn has_room(&mut self, target: &Target, wish: Wish, now: Instant) -> bool {
        let queue = &mut self.queues[target.endpoint];
        let rank = rank(target.priority);
        queue.admits(wish, rank, &self.ledger.limits) || {
            queue.sweep(target.endpoint, now, &mut self.ledger);
            queue.admits(wish, rank, &self.ledger.limits)
        }
    }

    /// Makes room at one endpoint, as its route says.
    fn make_room(&mut self, target: &Target, wish: Wish, now: Instant) -> bool {
        let mut has_room = self.has_room(target, wish, now);
        while !has_room && self.give_way(target, wish) {
            has_room = self.has_room(target, wish, now);
        }
        has_room
    }

    /// Makes room in all, as the routes of the first endpoints say at which something can give way. Where none can,
    /// the message is dropped at those endpoints whose routes say so.
    fn make_room_in_all(
        &mut self,
        path: &Path,
        wish: Wish,
        dropped: &mut Vec<usize>,
        now: Instant,
    ) -> Result<(), Endpoint> {
        loop {
            let left = || {
                let targets = path.targets.iter().enumerate();
                targets.filter(|(index, _)| !dropped.contains(index))
            };
            // The best priority that it has anywhere.
            let best = left().map(|(_, target)| rank(target.priority)).min();
            let Some(best) = best.filter(|best| *best < RANKS) else {
                return Ok(());
            };
            if self.has_room_in_all(wish, best, now) {
                return Ok(());
            }
            if left().any(|(_, target)| self.give_way(target, wish)) {
                continue;
            }
            let drops = left().find(|(_, target)| target.when_full == WhenFull::DropNewest);
            match (drops, left().next()) {
                (Some((index, _)), _) => dropped.push(index),
                (None, Some((_, first))) => return Err(self.refuse(first)),
                (None, None) => return Ok(()),
            }
        }
    }

    /// Lets something give way at an endpoint, if its route says so and there is something.
    fn give_way(&mut self, target: &Target, wish: Wish) -> bool {
        let queue = &mut self.queues[target.endpoint];
        match target.when_full {
            WhenFull::Refuse | WhenFull::DropNewest => false,
            WhenFull::DropOldest => queue.drop_oldest(wish, target.priority, &mut self.ledger),
            WhenFull::ThinOut => {
                let id = target.endpoint;
                queue.thin_out(id, wish, target.priority, &mut self.ledger) > 0
            }
        }
    }

    fn has_room_in_all(&mut self, wish: Wish, rank: usize, now: Instant) -> bool {
        self.ledger.admits(wish, rank) || {
            self.sweep_all(now);
            self.ledger.admits(wish, rank)
        }
    }
}

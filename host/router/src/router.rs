//! The router's handle: routes in, senders and inboxes out, and the commit that joins the two.
//!
//! Owns the lock around the state and the wake-ups; the daemon's root makes one per device. The lock is held
//! for one call of the state at a time, never across an await, and nothing outside this crate runs under it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use wasm_edge_model::identity::{DeviceId, ModuleId};

use crate::aside::AsideMessage;
use crate::inbox::{CommitError, CommitFault, Delivery, Inbox};
use crate::limits::Limits;
use crate::sender::{Sender, Staged};
use crate::snapshot::RouterSnapshot;
use crate::state::State;
use crate::table::RouteTable;

/// A handle to the queues of one device. Clones share them.
#[derive(Clone)]
pub struct Router {
    pub(crate) shared: Arc<Shared>,
}

/// What all handles share.
pub(crate) struct Shared {
    /// Written and read by every handle, each for one short call.
    state: Mutex<State>,
    /// Wakes senders that were refused for want of room.
    pub(crate) room: Notify,
    pub(crate) device: DeviceId,
}

impl Router {
    /// Makes a router without routes: every message is counted as without route until [`Router::apply`].
    ///
    /// `device` becomes the `connectionDeviceId` of every message.
    pub fn new(device: DeviceId, limits: Limits) -> Self {
        let state = Mutex::new(State::new(limits));
        Router {
            shared: Arc::new(Shared {
                state,
                room: Notify::new(),
                device,
            }),
        }
    }

    /// Swaps the routes.
    ///
    /// Messages taken before stay where they are, with their priority and time to live.
    pub fn apply(&self, table: RouteTable) {
        self.shared.with(|state| state.apply(table));
    }

    /// Swaps the limits. Where more is held than they allow, nothing is dropped and nothing more is taken.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.with(|state| state.ledger.limits = limits);
    }

    /// Gives a handle to send as a module. Whoever holds it can do so: it stays with the module's instance.
    pub fn sender(&self, module: &ModuleId) -> Sender {
        let (id, mark) = self.shared.with(|state| state.sender(module));
        Sender::new(Arc::clone(&self.shared), id, mark, module.clone())
    }

    /// Gives a handle to take the messages of all inputs of a module.
    ///
    /// There may be several; each message goes to one of them.
    pub fn inbox(&self, module: &ModuleId) -> Inbox {
        let (mailbox, notify) = self.shared.with(|state| state.inbox(Some(module)));
        Inbox::new(Arc::clone(&self.shared), mailbox, notify)
    }

    /// Gives a handle to take the messages that go upstream.
    pub fn upstream_inbox(&self) -> Inbox {
        let (mailbox, notify) = self.shared.with(|state| state.inbox(None));
        Inbox::new(Arc::clone(&self.shared), mailbox, notify)
    }

    /// Completes a message and lets staged ones into their queues, in one step: all of it or nothing.
    ///
    /// Staged messages enter in the order given. Without a completed message it just sends.
    ///
    /// # Errors
    /// [`CommitError`] hands back what was not committed.
    ///
    /// # Cancel safety
    /// Dropped before its first poll, nothing is committed: places are released and the message goes back.
    /// Dropped later, it may be committed or not.
    pub async fn commit(
        &self,
        completed: Option<Delivery>,
        staged: Vec<Staged>,
    ) -> Result<(), CommitError> {
        self.shared.commit(completed, staged)
    }

    /// Drops what waits for a module and what was put aside at its inputs, counted as removed.
    ///
    /// What it holds in hand is ended by its holder. What it sent stays in the queues of others.
    /// Call it for every module that leaves the deployment, after the new routes were applied: inputs that a
    /// route still names go on keeping messages for a module of this name.
    pub fn remove_module(&self, module: &ModuleId) {
        self.shared.with(|state| state.remove_module(module));
    }

    /// How many messages that a module sent wait for upstream or are on their way there, staged ones included.
    ///
    /// A module that was removed is needed until there are none: they go out under its identity.
    pub fn waiting_upstream_of(&self, module: &ModuleId) -> usize {
        let now = wasm_edge_clock::now();
        self.shared
            .with(|state| state.waiting_upstream_of(module, now))
    }

    /// Shows the messages put aside, by endpoint and then oldest first.
    pub fn set_aside(&self) -> Vec<AsideMessage> {
        let now = wasm_edge_clock::now();
        self.shared.with(|state| state.aside(now))
    }

    /// Shows queue lengths and counters.
    pub fn snapshot(&self) -> RouterSnapshot {
        let now = wasm_edge_clock::now();
        self.shared.with(|state| state.snapshot(now))
    }
}

impl Shared {
    /// Runs one call of the state under the lock and wakes those who wait for the room that it made.
    pub(crate) fn with<T>(&self, call: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = call(&mut state);
        let announce = std::mem::take(&mut state.ledger.announce);
        drop(state);
        if announce {
            self.room.notify_waiters();
        }
        result
    }

    /// See [`Router::commit`].
    pub(crate) fn commit(
        self: &Arc<Self>,
        mut completed: Option<Delivery>,
        mut staged: Vec<Staged>,
    ) -> Result<(), CommitError> {
        let ours = completed.iter().all(|delivery| delivery.is_of(self))
            && staged.iter().all(|staged| staged.is_of(self));
        if !ours {
            return Err(CommitError::new(
                CommitFault::OtherRouter,
                completed,
                staged,
            ));
        }
        // What is taken out of the handles here leaves them nothing to do when they are dropped below.
        let mut lease = completed.as_mut().and_then(Delivery::take_lease);
        self.with(|state| {
            if let Some(lease) = &mut lease {
                state.complete(lease);
            }
            for staged in &mut staged {
                staged.enter(state);
            }
        });
        completed.iter().for_each(Delivery::wake_consumer);
        staged.iter().for_each(Staged::wake);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside is a defect of ours. The sums may then be off by one message, which is better than
        // to stop every module of the device for it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

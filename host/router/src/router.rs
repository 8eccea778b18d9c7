//! The router's handle: routes in, senders and inboxes out, and the commit that joins the two.
//!
//! Owns the lock around the state and the wake-ups; the daemon's root makes one per device. The lock is held
//! for one call of the state at a time, never across an await, and nothing outside this crate runs under it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::{Notify, oneshot};
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::message::MessageId;

use crate::aside::AsideMessage;
use crate::endpoint::Endpoint;
use crate::inbox::{CommitError, CommitFault, Delivery, Inbox};
use crate::journal::{Journal, JournalError, Recovered};
use crate::keeper;
use crate::limits::Limits;
use crate::operate::{PEEK_BYTES_MAX, PEEK_MESSAGES_MAX, Part, Retried, WaitingMessage};
use crate::sender::{Sender, Staged};
use crate::snapshot::RouterSnapshot;
use crate::state::{Seen, State};
use crate::store::Store;
use crate::table::RouteTable;
use crate::tap::UpstreamTap;

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
    /// Wakes whoever waits for the journal to go on.
    pub(crate) progress: Arc<Notify>,
    pub(crate) device: DeviceId,
    /// The first part of every message's id.
    pub(crate) store_id: u32,
    /// The thread that reads from the journal; taken by whoever closes.
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Router {
    /// Makes a router without routes: every message is counted as without route until [`Router::apply`]. All of its
    /// queues are in memory, whatever the durability of routes.
    ///
    /// `device` becomes the `connectionDeviceId` of every message.
    pub fn new(device: DeviceId, limits: Limits) -> Self {
        Router::with_state(device, State::new(limits, Store::none()))
    }

    /// Makes a router without routes whose durable queues are in a journal, as an earlier process left them.
    ///
    /// It is ended by [`Router::close`].
    ///
    /// # Errors
    /// [`JournalError::Read`], [`JournalError::Thread`].
    pub fn open(
        device: DeviceId,
        limits: Limits,
        journal: Journal,
        recovered: Recovered,
    ) -> Result<Self, JournalError> {
        let next = recovered.next_sequence;
        let store = Store::new(journal.clone(), next);
        let work = Arc::clone(&store.work);
        let mut state = State::new(limits, store);
        state.recover(recovered.lanes, &journal)?;
        state.ledger.store.submit();
        let router = Router::with_state(device, state);
        journal.on_progress(Arc::clone(&router.shared.progress));
        let shared = Arc::downgrade(&router.shared);
        let keeper = thread::Builder::new()
            .name("router".into())
            .spawn(move || keeper::run(&work, &journal, &shared))
            .map_err(JournalError::Thread)?;
        *router.shared.lock_keeper() = Some(keeper);
        Ok(router)
    }

    /// Writes and syncs what was committed, and ends the threads of the journal. What is committed later is lost.
    pub async fn close(&self) {
        let keeper = self.shared.lock_keeper().take();
        let (work, journal) = self.shared.with(|state| {
            let store = &state.ledger.store;
            (Arc::clone(&store.work), store.journal().cloned())
        });
        work.end();
        if let Some(keeper) = keeper {
            // Joining takes as long as one reading from the disk.
            let joined = tokio::task::spawn_blocking(|| keeper.join());
            if !matches!(joined.await, Ok(Ok(()))) {
                tracing::error!("the thread that reads from the store did not end in order");
            }
        }
        if let Some(journal) = journal {
            journal.close().await;
        }
    }

    fn with_state(device: DeviceId, state: State) -> Self {
        Router {
            shared: Arc::new(Shared {
                room: Notify::new(),
                progress: Arc::default(),
                device,
                store_id: state.ledger.store.id,
                state: Mutex::new(state),
                keeper: Mutex::default(),
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

    /// Shows the messages that are accepted for upstream from now on; they go their way all the same.
    pub fn upstream_tap(&self) -> UpstreamTap {
        self.shared.with(|state| state.tap.open())
    }

    /// Completes a message and lets staged ones into their queues, in one step: all of it or nothing.
    ///
    /// Staged messages enter in the order given. Without a completed message it just sends. It returns once all of it
    /// is kept as the durability of the messages' routes says; [`Delivery::complete`] does not wait for that.
    ///
    /// # Errors
    /// [`CommitError`] hands back what was not committed.
    ///
    /// # Cancel safety
    /// Dropped before its first poll, nothing is committed: places are released and the message goes back.
    /// Dropped later, it is committed, but may not be kept yet.
    pub async fn commit(
        &self,
        completed: Option<Delivery>,
        staged: Vec<Staged>,
    ) -> Result<(), CommitError> {
        self.shared.commit_and_keep(completed, staged).await
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

    /// Shows the first messages that wait at an endpoint, in the order in which they would be handed over within
    /// each priority, highest priority first. At most [`PEEK_MESSAGES_MAX`] are shown.
    ///
    /// Blocks while it reads from the disk.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn peek(
        &self,
        endpoint: &Endpoint,
        messages_max: usize,
    ) -> Result<Vec<WaitingMessage>, JournalError> {
        let messages_max = messages_max.min(PEEK_MESSAGES_MAX);
        let now = wasm_edge_clock::now();
        let (seen, journal, store) = self.shared.with(|state| {
            let store = &state.ledger.store;
            let (journal, id) = (store.journal().cloned(), store.id);
            (state.peek(endpoint, messages_max, now), journal, id)
        });
        let mut shown = Vec::new();
        for Seen {
            messages,
            behind,
            priority,
        } in seen
        {
            shown.extend(messages);
            let left = messages_max.saturating_sub(shown.len());
            if left == 0 {
                break;
            }
            if let (Some(journal), Some((lane, from))) = (&journal, behind) {
                let loaded = journal.load(lane, from.checked_sub(1), left, PEEK_BYTES_MAX)?;
                let loaded = loaded.messages.into_iter();
                shown.extend(loaded.map(|stored| stored.show(store, priority, now)));
            }
        }
        shown.truncate(messages_max);
        Ok(shown)
    }

    /// Throws away what waits at an endpoint, or what was put aside there; gives how many messages that were. What is
    /// in hand stays until it is ended.
    pub fn purge(&self, endpoint: &Endpoint, part: Part) -> usize {
        self.shared.with(|state| state.purge(endpoint, part))
    }

    /// Brings messages put aside at an endpoint back to the queues they came from: one of them, or all. They keep
    /// their ids; their tries and times to live begin anew.
    pub fn retry(&self, endpoint: &Endpoint, which: Option<MessageId>) -> Retried {
        let now = wasm_edge_clock::now();
        let (retried, consumer) = self.shared.with(|state| {
            let retried = state.retry(endpoint, which, now);
            (retried, state.consumer_of(endpoint))
        });
        if let Some(consumer) = consumer {
            consumer.notify_one();
        }
        retried
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
        state.ledger.store.submit();
        let announce = std::mem::take(&mut state.ledger.announce);
        drop(state);
        if announce {
            self.room.notify_waiters();
        }
        result
    }

    /// See [`Router::commit`].
    pub(crate) async fn commit_and_keep(
        self: &Arc<Self>,
        completed: Option<Delivery>,
        staged: Vec<Staged>,
    ) -> Result<(), CommitError> {
        match self.commit(completed, staged, true)? {
            Some(kept) => kept.await.map_err(|_| CommitError::not_kept()),
            None => Ok(()),
        }
    }

    /// See [`Router::commit`]. Gives what is told when it is kept, if that is wanted and anything is to be kept.
    pub(crate) fn commit(
        self: &Arc<Self>,
        mut completed: Option<Delivery>,
        mut staged: Vec<Staged>,
        wants_kept: bool,
    ) -> Result<Option<oneshot::Receiver<()>>, CommitError> {
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
        let kept = self.with(|state| {
            if let Some(lease) = &mut lease {
                state.complete(lease);
            }
            for staged in &mut staged {
                staged.enter(state);
            }
            match wants_kept {
                true => state.ledger.store.submit_and_tell(),
                false => None,
            }
        });
        completed.iter().for_each(Delivery::wake_consumer);
        staged.iter().for_each(Staged::wake);
        Ok(kept)
    }

    fn lock_keeper(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside is a defect of ours. The sums may then be off by one message, which is better than
        // to stop every module of the device for it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Nobody closed it: the keeper has nothing to read for any more.
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.ledger.store.work.end();
    }
}

#[cfg(test)]
mod tests;

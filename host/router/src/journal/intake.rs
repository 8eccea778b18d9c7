//! What waits for the writer: commits in the order of the state, and the lanes' names and numbers.
//!
//! Everything here is memory behind one short lock that nobody holds while a file is touched, so that the
//! state can submit under its own lock. The writer (`writer`) takes all that waits at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use wasm_edge_model::route::Durability;

use crate::journal::codec;
use crate::journal::commit::{Commit, Done, LaneHandle, LaneId, LaneName, Sequence};

/// Counted for each commit beside its messages, for the bytes that wait: about what it takes in memory.
const COMMIT_BYTES: usize = 128;

/// One thing for the writer to do.
#[derive(Debug)]
pub(super) enum Item {
    Commit(Submitted),
    /// Nothing refers to the lane any more.
    Forget(LaneId),
}

/// A commit on its way into the log.
#[derive(Debug)]
pub(super) struct Submitted {
    pub(super) commit: Commit,
    pub(super) durability: Durability,
    /// What it is counted as while it waits.
    pub(super) bytes: usize,
}

/// Whoever waits for a commit, with its place among the items of its batch.
#[derive(Debug)]
pub(super) struct Tell {
    pub(super) item: usize,
    pub(super) durability: Durability,
    pub(super) sender: oneshot::Sender<()>,
}

/// All that waited when the writer looked.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) items: Arc<Vec<Item>>,
    /// In the order of the items.
    pub(super) tells: Vec<Tell>,
}

/// Why the writer goes on.
#[derive(Debug)]
pub(super) enum Work {
    Batch(Batch),
    /// Nothing waits.
    Idle,
    /// Nothing waits, and nothing more will come.
    Closed,
}

/// The writer's inbox, and what it tells of its progress.
#[derive(Debug)]
pub(super) struct Intake {
    waiting: Mutex<Waiting>,
    /// The writer waits here for something to do.
    wake: Condvar,
    /// Both set by the writer and read by anybody.
    written_through: AtomicU64,
    synced_through: AtomicU64,
    /// Bytes submitted and not written: grows in `submit`, falls in the writer.
    pending_bytes: AtomicUsize,
    /// Set by whoever closes; a writer that cannot write stops to try.
    is_closing: AtomicBool,
    listeners: Mutex<Vec<Arc<Notify>>>,
}

#[derive(Debug, Default)]
struct Waiting {
    items: Vec<Item>,
    tells: Vec<Tell>,
    /// What the writer took last and has not written all of.
    in_flight: Option<Arc<Vec<Item>>>,
    lanes: HashMap<Arc<LaneName>, Registered>,
    names: HashMap<LaneId, Arc<LaneName>>,
    next_lane: u32,
    /// The writer has ended.
    is_over: bool,
}

/// A lane that has a number.
#[derive(Debug)]
struct Registered {
    id: LaneId,
    /// The ordinal to go on with; absent while somebody has the handle.
    next: Option<u64>,
    /// How often it was given back without the writer having come to that yet.
    forgets: u32,
}

impl Registered {
    /// Whether nobody refers to it, and nothing that waits does.
    fn is_unused(&self) -> bool {
        self.next.is_some() && self.forgets == 0
    }
}

impl Intake {
    /// Goes on after `through`, which is safe; the lanes are those that are in the log.
    pub(super) fn new(
        through: Sequence,
        next_lane: u32,
        lanes: impl IntoIterator<Item = (LaneId, LaneName, u64)>,
    ) -> Self {
        let mut waiting = Waiting {
            next_lane,
            ..Waiting::default()
        };
        for (id, name, next) in lanes {
            let name = Arc::new(name);
            waiting.names.insert(id, Arc::clone(&name));
            let next = Some(next);
            let lane = Registered {
                id,
                next,
                forgets: 0,
            };
            waiting.lanes.insert(name, lane);
        }
        Intake {
            waiting: Mutex::new(waiting),
            wake: Condvar::new(),
            written_through: AtomicU64::new(through.number()),
            synced_through: AtomicU64::new(through.number()),
            pending_bytes: AtomicUsize::new(0),
            is_closing: AtomicBool::new(false),
            listeners: Mutex::new(Vec::new()),
        }
    }

    /// The handle of a lane, which gets a number if it has none.
    pub(super) fn lane(&self, name: &LaneName) -> LaneHandle {
        let mut waiting = self.lock();
        if let Some(lane) = waiting.lanes.get_mut(name) {
            let next = lane.next.take();
            debug_assert!(next.is_some(), "a lane has one handle: {name:?}");
            return LaneHandle {
                id: lane.id,
                next: next.unwrap_or(0),
            };
        }
        let id = LaneId(waiting.next_lane);
        waiting.next_lane += 1;
        let name = Arc::new(name.clone());
        waiting.names.insert(id, Arc::clone(&name));
        let lane = Registered {
            id,
            next: None,
            forgets: 0,
        };
        waiting.lanes.insert(name, lane);
        LaneHandle { id, next: 0 }
    }

    /// Takes a handle back.
    pub(super) fn give_back(&self, handle: &LaneHandle) {
        let mut waiting = self.lock();
        let Some(name) = waiting.names.get(&handle.id).cloned() else {
            return;
        };
        if let Some(lane) = waiting.lanes.get_mut(&name) {
            lane.next = Some(handle.next);
            lane.forgets += 1;
        }
        waiting.items.push(Item::Forget(handle.id));
        drop(waiting);
        self.wake.notify_one();
    }

    /// The writer has come to where a lane was given back.
    pub(super) fn forgotten(&self, id: LaneId) {
        let mut waiting = self.lock();
        let name = waiting.names.get(&id).cloned();
        if let Some(lane) = name.and_then(|name| waiting.lanes.get_mut(&name)) {
            lane.forgets = lane.forgets.saturating_sub(1);
        }
    }

    /// Nothing of a lane is in the log: its number is not used any more, unless somebody refers to it.
    pub(super) fn drop_lane(&self, id: LaneId) {
        let mut waiting = self.lock();
        let Some(name) = waiting.names.get(&id).cloned() else {
            return;
        };
        if waiting.lanes.get(&name).is_some_and(Registered::is_unused) {
            waiting.lanes.remove(&name);
            waiting.names.remove(&id);
        }
    }

    pub(super) fn name(&self, id: LaneId) -> Option<Arc<LaneName>> {
        self.lock().names.get(&id).cloned()
    }

    /// No lane has this number or a greater one.
    pub(super) fn next_lane(&self) -> u32 {
        self.lock().next_lane
    }

    /// Adds a commit behind those before.
    pub(super) fn submit(
        &self,
        commit: Commit,
        durability: Durability,
        tell: Option<oneshot::Sender<()>>,
    ) {
        let messages = commit.messages.iter().map(codec::message_bytes);
        let bytes = COMMIT_BYTES + messages.sum::<usize>();
        self.pending_bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut waiting = self.lock();
        if waiting.is_over {
            return;
        }
        let was_empty = waiting.items.is_empty();
        if let Some(sender) = tell {
            let item = waiting.items.len();
            waiting.tells.push(Tell {
                item,
                durability,
                sender,
            });
        }
        waiting.items.push(Item::Commit(Submitted {
            commit,
            durability,
            bytes,
        }));
        drop(waiting);
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// Takes all that waits; with `patience`, waits for something if there is nothing.
    pub(super) fn take(&self, patience: bool) -> Work {
        let mut waiting = self.lock();
        waiting.in_flight = None;
        while waiting.items.is_empty() {
            if self.is_closing() {
                return Work::Closed;
            }
            if !patience {
                return Work::Idle;
            }
            waiting = self
                .wake
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let items = Arc::new(std::mem::take(&mut waiting.items));
        waiting.in_flight = Some(Arc::clone(&items));
        Work::Batch(Batch {
            items,
            tells: std::mem::take(&mut waiting.tells),
        })
    }

    /// Waits, but no longer when it is to be closed.
    pub(super) fn pause(&self, time: Duration) {
        let waiting = self.lock();
        // Whatever wakes it, it is early enough to look.
        let _ = self
            .wake
            .wait_timeout_while(waiting, time, |_| !self.is_closing());
    }

    /// The places that are done as soon as what was submitted is written, of the commits and lanes wanted.
    pub(super) fn pending_done(
        &self,
        commit: impl Fn(&Commit) -> bool,
        lane: impl Fn(LaneId) -> bool,
    ) -> Vec<Done> {
        let waiting = self.lock();
        let in_flight = waiting.in_flight.iter().flat_map(|items| items.iter());
        let commits = in_flight
            .chain(&waiting.items)
            .filter_map(|item| match item {
                Item::Commit(submitted) => Some(&submitted.commit),
                Item::Forget(_) => None,
            });
        let done = commits
            .filter(|found| commit(found))
            .flat_map(|commit| &commit.done);
        done.filter(|done| lane(done.lane)).copied().collect()
    }

    pub(super) fn written(&self, through: Option<Sequence>, bytes: usize) {
        if let Some(through) = through {
            let number = through.number();
            self.written_through.fetch_max(number, Ordering::Release);
        }
        self.pending_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.announce();
    }

    pub(super) fn synced(&self) {
        let through = self.written_through.load(Ordering::Acquire);
        self.synced_through.fetch_max(through, Ordering::Release);
        self.announce();
    }

    pub(super) fn written_through(&self) -> Sequence {
        Sequence::new(self.written_through.load(Ordering::Acquire))
    }

    pub(super) fn synced_through(&self) -> Sequence {
        Sequence::new(self.synced_through.load(Ordering::Acquire))
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.pending_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn listen(&self, wake: Arc<Notify>) {
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.push(wake);
    }

    /// Wakes whoever listens.
    pub(super) fn announce(&self) {
        let listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.iter().for_each(|wake| wake.notify_waiters());
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        let waiting = self.lock();
        self.is_closing.store(true, Ordering::Release);
        drop(waiting);
        self.wake.notify_all();
    }

    /// The writer has ended: nobody who waits will hear of a commit any more.
    pub(super) fn end(&self) {
        self.close();
        let mut waiting = self.lock();
        waiting.is_over = true;
        let items = std::mem::take(&mut waiting.items);
        let tells = std::mem::take(&mut waiting.tells);
        waiting.in_flight = None;
        drop(waiting);
        drop((items, tells));
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Changes of documents, written in groups: all that wait, in one transaction with one sync.
//!
//! Owns the order of changes, their revisions, and that those who listen hear
//! of them. A group forms by itself while the one before it is written, so
//! that a lone change waits for one sync and a hundred at once do so too.
//! Each change succeeds or fails by itself; only a fault of the disk fails
//! the whole group. Called by the store, one value per database.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task;
use wasm_edge_store::database::{DatabaseError, Transaction};

use super::{
    COUNTERS, DOCUMENTS, DocumentKey, Expected, Feeds, Lease, REVISION_COUNTER, Revision,
    StoreError, Swap, damaged, decode, encode,
};

/// The most changes of one transaction, so that the first of them does not wait for ever.
const GROUP_MAX_CHANGES: usize = 512;

/// The most that waits to be written, in KiB of content; who comes then waits outside, in order.
const WAITING_MAX_KIB: u32 = 16 * 1024;

/// Writes changes; clones share the queue.
#[derive(Clone)]
pub(super) struct Writer(Arc<Shared>);

struct Shared {
    database: Lease,
    feeds: Arc<Feeds>,
    /// Room for what waits, a permit for each KiB.
    room: Arc<Semaphore>,
    /// Filled by callers, emptied by the one thread that is at work; the lock is held for a push or
    /// a drain.
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Whether a thread writes and will look here again.
    at_work: bool,
}

struct Waiting {
    change: Swapping,
    done: oneshot::Sender<Result<Swap, StoreError>>,
    _room: OwnedSemaphorePermit,
}

/// A compare-and-set.
pub(super) struct Swapping {
    pub(super) key: DocumentKey,
    pub(super) expected: Expected,
    pub(super) content: Option<Bytes>,
}

impl Writer {
    pub(super) fn new(database: Lease, feeds: Arc<Feeds>) -> Self {
        Self(Arc::new(Shared {
            database,
            feeds,
            room: Arc::new(Semaphore::new(WAITING_MAX_KIB as usize)),
            queue: Mutex::default(),
        }))
    }

    /// Makes a change; durable once it answers.
    ///
    /// # Cancel safety
    /// Dropped before it has answered, the change may be made or not.
    pub(super) async fn write(&self, change: Swapping) -> Result<Swap, StoreError> {
        let kib = size_kib(&change).min(WAITING_MAX_KIB);
        let room = Arc::clone(&self.0.room).acquire_many_owned(kib);
        let room = room.await.map_err(|_| StoreError::Interrupted)?;
        let (done, answer) = oneshot::channel();
        let was_at_work = {
            let mut queue = self.0.queue();
            queue.waiting.push_back(Waiting {
                change,
                done,
                _room: room,
            });
            mem::replace(&mut queue.at_work, true)
        };
        if !was_at_work {
            let shift = Shift {
                shared: Arc::clone(&self.0),
                ended: false,
            };
            // Ends when nothing waits any more; every caller waits for its part of the work.
            task::spawn_blocking(move || shift.work());
        }
        answer.await.map_err(|_| StoreError::Interrupted)?
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

fn size_kib(change: &Swapping) -> u32 {
    let bytes = change.content.as_ref().map_or(0, Bytes::len);
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}

/// A thread's time at work, from a change that waited alone until none waits.
struct Shift {
    shared: Arc<Shared>,
    ended: bool,
}

impl Shift {
    fn work(mut self) {
        while let Some(group) = self.shared.next_group() {
            self.shared.write(group);
        }
        self.ended = true;
    }
}

impl Drop for Shift {
    /// After a panic, or when the runtime ends before the shift began: who waits gets no answer, and the next change
    /// begins anew.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if std::thread::panicking() {
            tracing::error!("the hub's database panicked");
        }
        let mut queue = self.shared.queue();
        queue.at_work = false;
        queue.waiting.clear();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be written next; `None`, and nobody is at work any more, when nothing waits.
    fn next_group(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.queue();
        let count = queue.waiting.len().min(GROUP_MAX_CHANGES);
        queue.at_work = count > 0;
        (count > 0).then(|| queue.waiting.drain(..count).collect())
    }

    /// Told by the thread that commits, so that it also happens when nobody waits for the answer any more; and told
    /// after an error of the disk, which leaves the outcome open.
    fn write(&self, group: Vec<Waiting>) {
        let written = self.database.transact(|transaction| {
            let mut made = Made::default();
            let swaps = group
                .iter()
                .map(|waiting| made.swap(transaction, &waiting.change));
            let swaps = swaps.collect::<Result<Vec<_>, StoreError>>()?;
            made.keep_revision(transaction)?;
            Ok::<_, StoreError>(swaps)
        });
        let answers = match written {
            Ok(answers) => answers,
            Err(err) => group.iter().map(|_| Err(err.clone())).collect(),
        };
        for (waiting, answer) in group.into_iter().zip(answers) {
            if !matches!(answer, Ok(Swap::Conflict)) {
                self.feeds.tell(&waiting.change.key);
            }
            // Whoever does not wait any more reads what there is.
            let _ = waiting.done.send(answer);
        }
    }
}

/// What a transaction has given out so far.
#[derive(Default)]
struct Made {
    /// The last revision, once it was needed.
    revision: Option<u64>,
}

impl Made {
    /// Makes one change of a group; the outer error is one of the whole group.
    fn swap(
        &mut self,
        transaction: &mut Transaction<'_>,
        change: &Swapping,
    ) -> Result<Result<Swap, StoreError>, StoreError> {
        match self.try_swap(transaction, change) {
            Err(err) if spoils_group(&err) => Err(err),
            swapped => Ok(swapped),
        }
    }

    fn try_swap(
        &mut self,
        transaction: &mut Transaction<'_>,
        change: &Swapping,
    ) -> Result<Swap, StoreError> {
        let text = change.key.as_str();
        let found = transaction.get(DOCUMENTS, text.as_bytes())?;
        let found = found.map(|stored| decode(text, stored)).transpose()?;
        let as_expected = match (change.expected, &found) {
            (Expected::Absent, None) => true,
            (Expected::Revision(revision), Some(found)) => found.revision == revision,
            _ => false,
        };
        if !as_expected {
            return Ok(Swap::Conflict);
        }
        let revision = self.next_revision(transaction)?;
        match &change.content {
            Some(content) => {
                transaction.put(DOCUMENTS, text.as_bytes(), &encode(revision, content))?;
            }
            None => {
                transaction.remove(DOCUMENTS, text.as_bytes())?;
            }
        }
        Ok(Swap::Done(revision))
    }

    fn next_revision(&mut self, transaction: &Transaction<'_>) -> Result<Revision, StoreError> {
        let last = match self.revision {
            Some(last) => last,
            None => match transaction.get(COUNTERS, REVISION_COUNTER)? {
                Some(stored) => stored
                    .try_into()
                    .map(u64::from_be_bytes)
                    .map_err(|_| damaged("counters/revision"))?,
                None => 0,
            },
        };
        self.revision = Some(last + 1);
        Ok(Revision(last + 1))
    }

    /// Writes down the last revision that was given out, if one was.
    fn keep_revision(&self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        if let Some(last) = self.revision {
            transaction.put(COUNTERS, REVISION_COUNTER, &last.to_be_bytes())?;
        }
        Ok(())
    }
}

/// Whether an error leaves open what became of the transaction. The others are found before anything is changed.
fn spoils_group(err: &StoreError) -> bool {
    match err {
        StoreError::Database(err) => !matches!(
            **err,
            DatabaseError::KeyTooLong { .. } | DatabaseError::ValueTooLong { .. }
        ),
        StoreError::TooLarge { .. } | StoreError::Damaged { .. } => false,
        StoreError::Interrupted => true,
    }
}

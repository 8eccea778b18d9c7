//! The durable part of the queues: commits go into one segmented log per device, and come back from it.
//!
//! Owns what the records of the log mean: messages with their places in lanes, places that are done, and the
//! clock that times to live count on. The writer thread is the only one that writes; it takes what was
//! submitted in groups, so that one sync serves many commits. Leaves to the state which lane a message goes
//! to, what is in memory and when it is handed over, and to `wasm_edge_store` how bytes reach the disk and
//! come back. The router's root opens it, the state submits, the inboxes load.
//!
//! What is in the log is a prefix of what was submitted, whatever the durability of each commit: durability
//! only says when somebody is told. So a chain of handlers never has a hole. The one exception does no harm:
//! that places are done, and nothing else, may take effect early when there is no room to write.

pub mod commit;
pub mod elapsed;
pub mod figures;
pub mod machine;

mod codec;
mod done;
mod index;
mod intake;
mod load;
mod recovery;
mod wire;
mod writer;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use serde::Serialize;
use tokio::sync::{Notify, oneshot};
use wasm_edge_model::error::chain;
use wasm_edge_model::route::Durability;
use wasm_edge_store::log::{Log, LogError, LogReader, LogSettings};
use wasm_edge_store::volume::Volume;

use crate::journal::commit::{
    Commit, LaneHandle, LaneId, LaneName, Loaded, RecoveredLane, Sequence,
};
use crate::journal::elapsed::{ClockStamp, ElapsedClock};
use crate::journal::figures::{Figures, JournalFigures};
use crate::journal::index::Index;
use crate::journal::intake::Intake;
use crate::journal::machine::{LinuxClock, MachineClock};
use crate::journal::recovery::Found;
use crate::journal::writer::Writer;

/// What the files may take by default: a million messages of 100 bytes, on cards of which gigabytes are free.
pub const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// The least that the files may take: enough for two of the largest messages.
pub const MAX_BYTES_MIN: u64 = 1024 * 1024;

/// Size of a segment by default: that of the erase blocks of flash, about.
pub const SEGMENT_BYTES: u32 = 4 * 1024 * 1024;

/// So many segments fit into the limit at least, so that space comes back in small steps.
const SEGMENTS_MIN: u64 = 32;

/// The part of the limit that live messages may take, in quarters. The rest is for what is done and not
/// removed yet, and for merging.
const CAPACITY_QUARTERS: u64 = 3;

/// How a journal is opened. `Default` gives the constants of this module and the clocks of this machine.
#[derive(Debug, Clone)]
pub struct JournalSettings {
    /// What its files may take; at least [`MAX_BYTES_MIN`] is taken for it.
    pub max_bytes: u64,
    /// Size at which a segment is full; smaller if the limit is small.
    pub segment_bytes: u32,
    /// Tells how time goes on over restarts.
    pub machine: Arc<dyn MachineClock>,
}

/// A handle to the journal of one device. Clones share it; when the last one goes, what was submitted is
/// written and the writer ends, which may take as long as a write.
#[derive(Clone, Debug)]
pub struct Journal {
    handle: Arc<Handle>,
}

/// What was found when a journal was opened.
#[derive(Debug)]
pub struct Recovered {
    pub(crate) lanes: Vec<RecoveredLane>,
    pub(crate) next_sequence: Sequence,
    /// Damaged places that were found in the files. One may have held several messages or none.
    pub damaged_records: u64,
    /// Messages known to have been lost to damage.
    pub damaged_messages: u64,
    /// Bytes cut off at the end of the log, which were never completely written.
    pub cut_bytes: u64,
}

/// Why the journal did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The files cannot be opened, or are of another version.
    #[error("cannot open the message store")]
    Open(#[source] LogError),
    /// The files cannot be read.
    #[error("cannot read the message store")]
    Read(#[source] LogError),
    /// The system has no thread for the writer.
    #[error("cannot start the thread of the message store")]
    Thread(#[source] std::io::Error),
}

/// How much space the journal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Space {
    /// Bytes of all files.
    pub file_bytes: u64,
    /// Bytes of these with messages that are not done, about.
    pub live_bytes: u64,
    /// Bytes submitted and not written yet, about.
    pub pending_bytes: u64,
    /// What the files may take.
    pub max_bytes: u64,
    /// What live messages may take so that the files stay within `max_bytes`.
    pub capacity_bytes: u64,
    /// Writing fails for now; it is tried again until it goes on.
    pub is_failing: bool,
}

/// The owner of the thread.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    /// Absent once it was closed.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the handle and the writer share.
#[derive(Debug)]
struct Shared {
    intake: Intake,
    /// Brought up to date by the writer, read by whoever loads. The writer holds it while it changes which
    /// files there are.
    index: Mutex<Index>,
    reader: LogReader,
    clock: ElapsedClock,
    settings: Settings,
    store: u32,
    figures: Figures,
    /// Written by the writer.
    file_bytes: AtomicU64,
    live_bytes: AtomicU64,
    is_failing: AtomicBool,
    failure: Mutex<Option<String>>,
}

/// [`JournalSettings`], checked.
#[derive(Debug)]
struct Settings {
    max_bytes: u64,
    segment_bytes: u32,
    machine: Arc<dyn MachineClock>,
}

impl Default for JournalSettings {
    fn default() -> Self {
        JournalSettings {
            max_bytes: MAX_BYTES,
            segment_bytes: SEGMENT_BYTES,
            machine: Arc::new(LinuxClock),
        }
    }
}

impl Journal {
    /// Opens the journal in `volume`, empty if nothing is there, and starts its writer.
    ///
    /// Blocks for as long as it takes to read all files. Damage is skipped and told, not an error.
    ///
    /// # Errors
    /// [`JournalError::Open`], [`JournalError::Thread`].
    pub fn open(
        volume: Arc<dyn Volume>,
        settings: JournalSettings,
    ) -> Result<(Self, Recovered), JournalError> {
        let (shared, writer, recovered) = Self::prepare(volume, Settings::check(settings))?;
        let thread = thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run())
            .map_err(JournalError::Thread)?;
        Ok((Self::new(shared, Some(thread)), recovered))
    }

    /// Reads what is there, and makes a writer that has not begun yet.
    fn prepare(
        volume: Arc<dyn Volume>,
        settings: Settings,
    ) -> Result<(Arc<Shared>, Writer, Recovered), JournalError> {
        let log_settings = LogSettings {
            format: codec::FORMAT,
            segment_bytes: settings.segment_bytes,
        };
        let (log, log_recovery) = Log::open(volume, log_settings).map_err(JournalError::Open)?;
        let reader = log.reader();
        let found = recovery::recover(&reader);
        let epoch = found.epoch + 1;
        let recovered = Recovered {
            lanes: Vec::new(),
            next_sequence: Sequence::of_epoch(epoch).next(),
            damaged_records: found.damaged_records,
            damaged_messages: found.damaged_messages,
            cut_bytes: log_recovery.cut_bytes,
        };
        let (shared, lanes) = Shared::new(reader, settings, epoch, found);
        let shared = Arc::new(shared);
        let writer = Writer::new(log, Arc::clone(&shared), epoch);
        Ok((shared, writer, Recovered { lanes, ..recovered }))
    }

    fn new(shared: Arc<Shared>, thread: Option<JoinHandle<()>>) -> Self {
        Journal {
            handle: Arc::new(Handle {
                shared,
                thread: Mutex::new(thread),
            }),
        }
    }

    /// The handle of a lane, of which there is one at a time.
    pub(crate) fn lane(&self, name: &LaneName) -> LaneHandle {
        self.shared().intake.lane(name)
    }

    /// Takes back the handle of a lane in which nothing is left, so that its number can go.
    pub(crate) fn forget_lane(&self, handle: LaneHandle) {
        self.shared().intake.give_back(&handle);
    }

    /// Adds a commit behind those before. It does no more than that: it can be called under a lock.
    ///
    /// `tell` hears when it is written or, with [`Durability::Power`], synced; it is dropped when that will
    /// never be, because the journal was closed before.
    pub(crate) fn submit(
        &self,
        commit: Commit,
        durability: Durability,
        tell: Option<oneshot::Sender<()>>,
    ) {
        self.shared().intake.submit(commit, durability, tell);
    }

    /// What its store is told from others by: the first part of the ids of its messages.
    pub(crate) fn store(&self) -> u32 {
        self.shared().store
    }

    /// All messages up to here survive the end of the process.
    pub(crate) fn written_through(&self) -> Sequence {
        self.shared().intake.written_through()
    }

    /// All messages up to here survive the loss of power.
    pub(crate) fn synced_through(&self) -> Sequence {
        self.shared().intake.synced_through()
    }

    /// Wakes all who wait after each write and each sync, and when writing begins to fail or works again.
    pub(crate) fn on_progress(&self, wake: Arc<Notify>) {
        self.shared().intake.listen(wake);
    }

    /// Reads messages of a lane that are not done, in order, after an ordinal or from the beginning: at most so
    /// many, and bytes up to about so many, but one at least if there is one. Blocks.
    ///
    /// Finds what is written. What was submitted before the call as done is left out even if that is not
    /// written yet.
    ///
    /// # Errors
    /// [`JournalError::Read`]: another time it may work.
    pub(crate) fn load(
        &self,
        lane: LaneId,
        after: Option<u64>,
        messages_max: usize,
        bytes_max: usize,
    ) -> Result<Loaded, JournalError> {
        self.shared().load(lane, after, messages_max, bytes_max)
    }

    /// How much space there is. Costs nothing.
    pub(crate) fn space(&self) -> Space {
        self.shared().space()
    }

    /// What it did so far.
    pub fn figures(&self) -> JournalFigures {
        self.shared().figures.read()
    }

    /// Why writing fails, while it does.
    pub fn failure(&self) -> Option<String> {
        lock(&self.shared().failure).clone()
    }

    /// Writes and syncs what was submitted and ends the writer. What is submitted later is dropped.
    ///
    /// # Cancel safety
    /// It goes on without the caller.
    pub async fn close(&self) {
        let handle = Arc::clone(&self.handle);
        let joined = tokio::task::spawn_blocking(move || handle.close());
        // The only failure is the end of the runtime, which waits for it.
        let _ = joined.await;
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

impl Handle {
    fn close(&self) {
        self.shared.intake.close();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the message store has panicked");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

impl Settings {
    fn check(settings: JournalSettings) -> Self {
        let max_bytes = settings.max_bytes.max(MAX_BYTES_MIN);
        let largest = u32::try_from(max_bytes / SEGMENTS_MIN).unwrap_or(u32::MAX);
        Settings {
            max_bytes,
            segment_bytes: settings.segment_bytes.min(largest),
            machine: settings.machine,
        }
    }
}

impl Shared {
    /// Puts together what was found, with the lanes in which something is left.
    fn new(
        reader: LogReader,
        settings: Settings,
        epoch: u32,
        found: Found,
    ) -> (Self, Vec<RecoveredLane>) {
        let reading = settings.machine.read();
        let elapsed = found.clock.map_or(0, |stamp| stamp.elapsed_at(&reading));
        let clock = ElapsedClock::new(elapsed.max(found.latest), wasm_edge_clock::now());
        let Found {
            index,
            mut names,
            mut shares,
            ..
        } = found;
        let mut ids: Vec<LaneId> = index.lanes().filter(|id| names.contains_key(id)).collect();
        // Of two of one name, which only damage can leave behind, the one that has something counts.
        ids.sort_by_key(|id| (!index.is_empty(*id), *id));
        let lanes: Vec<_> = ids
            .iter()
            .filter_map(|id| Some((*id, names.remove(id)?, index.next_ordinal(*id)?)))
            .collect();
        let left: Vec<LaneName> = lanes
            .iter()
            .filter(|(id, ..)| !index.is_empty(*id))
            .map(|(_, name, _)| name.clone())
            .collect();
        let intake = Intake::new(Sequence::of_epoch(epoch), found.next_lane, lanes);
        let recovered = left.into_iter().map(|name| {
            let handle = intake.lane(&name);
            let senders = shares.remove(&handle.id()).unwrap_or_default();
            RecoveredLane {
                name,
                handle,
                messages: senders.iter().map(|share| share.messages).sum(),
                bytes: senders.iter().map(|share| share.bytes).sum(),
                senders,
            }
        });
        let mut recovered: Vec<_> = recovered.collect();
        recovered.sort_by(|a, b| a.name.cmp(&b.name));
        let shared = Shared {
            intake,
            index: Mutex::new(index),
            reader,
            clock,
            settings,
            store: found.store.unwrap_or_else(draw_store),
            figures: Figures::default(),
            file_bytes: AtomicU64::new(0),
            live_bytes: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            failure: Mutex::new(None),
        };
        shared.figures.damaged(found.damaged_messages);
        (shared, recovered)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    /// The clocks as they are now.
    fn clock_stamp(&self) -> ClockStamp {
        ClockStamp {
            elapsed: self.clock.at(wasm_edge_clock::now()),
            reading: self.settings.machine.read(),
        }
    }

    fn space(&self) -> Space {
        let max_bytes = self.settings.max_bytes;
        Space {
            file_bytes: self.file_bytes.load(Ordering::Relaxed),
            live_bytes: self.live_bytes.load(Ordering::Relaxed),
            pending_bytes: self.intake.pending_bytes() as u64,
            max_bytes,
            capacity_bytes: max_bytes / 4 * CAPACITY_QUARTERS,
            is_failing: self.is_failing.load(Ordering::Acquire),
        }
    }

    fn publish_space(&self, file_bytes: u64, live_bytes: u64) {
        self.publish_file_bytes(file_bytes);
        self.live_bytes.store(live_bytes, Ordering::Relaxed);
    }

    fn publish_file_bytes(&self, file_bytes: u64) {
        self.file_bytes.store(file_bytes, Ordering::Relaxed);
    }

    /// Writing failed.
    fn fails(&self, error: &dyn std::error::Error) {
        self.figures.failed();
        if self.is_failing.load(Ordering::Relaxed) {
            return;
        }
        let text = chain(error);
        tracing::warn!(
            "cannot write to the message store: {text}; it is tried again, and nothing is acknowledged meanwhile"
        );
        *lock(&self.failure) = Some(text);
        // Last: whoever sees that it fails finds out why.
        self.is_failing.store(true, Ordering::Release);
        self.intake.announce();
    }

    /// Writing worked.
    fn works(&self) {
        if !self.is_failing.load(Ordering::Relaxed) {
            return;
        }
        tracing::info!("the message store can be written again");
        *lock(&self.failure) = None;
        self.is_failing.store(false, Ordering::Relaxed);
        self.intake.announce();
    }
}

/// The number of a new store; that of two stores is hardly ever the same.
fn draw_store() -> u32 {
    let bytes = RandomState::new().build_hasher().finish().to_le_bytes();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

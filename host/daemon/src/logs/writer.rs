//! What the logs of a device share, and the task that writes them to disk in groups.
//!
//! Lines wait in memory until a second has passed, a group is full, or one of them is an error. The lock of the
//! state is held for single steps and never while a file is touched; each module's files have a lock of their
//! own, which is taken on blocking threads alone.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_runtime::guest::{LogLevel, LogLine};

use super::entry::LogEntry;
use super::slots::{NoSlots, Slots};
use super::state::{Done, Files, Job, ModuleLog, State, Urgency, open_files};
use super::{host_line, lock};
use crate::clock;

/// How long a line waits at most until it is written.
const WRITE_PERIOD: Duration = Duration::from_secs(1);

/// The pause after an error was written at once, so that a flood of them goes out in groups as well.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// The pause between two writes of errors that are made to last: each costs the flash a few blocks.
const SYNC_PERIOD: Duration = Duration::from_secs(10);

/// Makes the places of a module's files.
pub(super) type SlotsOf = Box<dyn Fn(&ModuleId) -> Arc<dyn Slots> + Send + Sync>;

/// What the logs of a device share.
pub(super) struct Shared {
    pub(super) device: DeviceId,
    /// `None` where nothing is kept.
    slots_of: Option<SlotsOf>,
    size_max_bytes: u64,
    state: Mutex<State>,
    /// Something waits to be written.
    waiting: Notify,
    /// It may not wait long.
    urgent: Notify,
    closing: CancellationToken,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Shared {
    /// Looks for the ends of the known modules' logs and starts the writer.
    pub(super) fn open(
        device: DeviceId,
        slots_of: SlotsOf,
        known: Vec<ModuleId>,
        size_max_bytes: u64,
    ) -> Arc<Self> {
        let mut modules = BTreeMap::new();
        let mut last_seq = 0;
        for module in known {
            let mut log = ModuleLog::new(wasm_edge_clock::now());
            let (files, seq) = open_files(slots_of(&module), &device, &module, log.size_max_bytes);
            if let Files::Open(ring) = &files {
                log.files_size_bytes = ring.size_bytes();
            }
            log.files = Arc::new(Mutex::new(files));
            last_seq = last_seq.max(seq);
            modules.insert(module, log);
        }
        let state = State::new(modules, last_seq + 1);
        let shared = Arc::new(Self::new(device, Some(slots_of), state, size_max_bytes));
        let writer = tokio::spawn(Arc::clone(&shared).write());
        *lock(&shared.writer) = Some(writer);
        shared
    }

    /// Logs that keep nothing.
    pub(super) fn without_files(device: DeviceId) -> Arc<Self> {
        let state = State::new(BTreeMap::new(), 1);
        Arc::new(Self::new(device, None, state, 0))
    }

    fn new(device: DeviceId, slots_of: Option<SlotsOf>, state: State, size_max_bytes: u64) -> Self {
        Self {
            device,
            slots_of,
            size_max_bytes,
            state: Mutex::new(state),
            waiting: Notify::new(),
            urgent: Notify::new(),
            closing: CancellationToken::new(),
            writer: Mutex::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Where a module's files lie.
    pub(super) fn slots(&self, module: &ModuleId) -> Arc<dyn Slots> {
        match &self.slots_of {
            Some(slots_of) => slots_of(module),
            None => Arc::new(NoSlots),
        }
    }

    /// Lets the writer look.
    pub(super) fn wake(&self) {
        self.waiting.notify_one();
    }

    /// Gives a line its number, passes it to those who follow and to the writer. `body` is its form on disk, if it
    /// is there already.
    pub(super) fn keep(&self, state: &mut State, mut entry: LogEntry, body: Option<String>) {
        if state.is_closed {
            return;
        }
        entry.seq = state.next_seq;
        state.next_seq += 1;
        let is_error = self.slots_of.is_some() && entry.line.level == LogLevel::Error;
        let is_full = self.slots_of.is_some()
            && state
                .module(&entry.module, wasm_edge_clock::now())
                .wait(&entry, body);
        state.has_error |= is_error;
        if state.feeds.is_followed() {
            state.feeds.pass(&Arc::new(entry));
        }
        self.waiting.notify_one();
        if is_full || is_error {
            self.urgent.notify_one();
        }
    }

    /// Writes what waits and ends the writer.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        let writer = lock(&self.writer).take();
        if let Some(writer) = writer
            && let Err(err) = writer.await
        {
            tracing::error!(device = %self.device, %err, "the writer of the logs did not end in order");
        }
        let mut state = self.lock();
        state.is_closed = true;
        state.feeds.close();
    }

    /// Removes the log of a module.
    pub(super) async fn forget(self: &Arc<Self>, module: &ModuleId) -> io::Result<()> {
        let log = self.lock().modules.remove(module);
        let (shared, module) = (Arc::clone(self), module.clone());
        let removed = tokio::task::spawn_blocking(move || {
            if let Some(log) = log {
                // A group that is being written ends first, and no other one finds the files open.
                *lock(&log.files) = Files::Gone;
            }
            shared.slots(&module).remove_all()
        });
        removed.await.map_err(io::Error::other)?
    }

    /// The task of the writer.
    async fn write(self: Arc<Self>) {
        let mut last_error: Option<Instant> = None;
        let mut last_sync: Option<Instant> = None;
        loop {
            tokio::select! {
                () = self.waiting.notified() => {}
                () = self.closing.cancelled() => break,
            }
            if self.wait_until_due(last_error).await.is_err() {
                break;
            }
            let has_error = std::mem::take(&mut self.lock().has_error);
            let now = wasm_edge_clock::now();
            let sync = has_error && last_sync.is_none_or(|last| now - last >= SYNC_PERIOD);
            if has_error {
                last_error = Some(now);
            }
            if sync {
                last_sync = Some(now);
            }
            self.write_all(sync).await;
        }
        self.lock().is_closed = true;
        self.write_all(true).await;
    }

    /// Waits until what waits has to be written; an error when the logs are closed before.
    async fn wait_until_due(&self, last_error: Option<Instant>) -> Result<(), ()> {
        let due = wasm_edge_clock::now() + WRITE_PERIOD;
        loop {
            let until = match self.lock().urgency() {
                Urgency::Full => return Ok(()),
                Urgency::Error => {
                    last_error.map_or_else(wasm_edge_clock::now, |last| last + ERROR_PAUSE)
                }
                Urgency::Usual => due,
            };
            tokio::select! {
                () = wasm_edge_clock::sleep_until(until.min(due)) => return Ok(()),
                () = self.urgent.notified() => {}
                () = self.closing.cancelled() => return Err(()),
            }
        }
    }

    /// Writes what waits, of all modules.
    async fn write_all(self: &Arc<Self>, sync: bool) {
        let shared = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || {
            shared.tell_suppressed();
            let jobs = shared.lock().jobs();
            for job in jobs {
                let done = job.run(shared.slots(&job.module), &shared.device, sync);
                shared.record(&job, &done);
            }
            shared.make_room();
        });
        if let Err(err) = written.await {
            tracing::error!(device = %self.device, %err, "logs could not be written");
        }
    }

    /// Tells how many lines were suppressed where none came after them.
    fn tell_suppressed(&self) {
        let now = wasm_edge_clock::now();
        let mut state = self.lock();
        let note = |(module, log): (&ModuleId, &mut ModuleLog)| {
            let note = log.suppression_note(now)?;
            Some((module.clone(), note))
        };
        let notes: Vec<_> = state.modules.iter_mut().filter_map(note).collect();
        for (module, line) in notes {
            self.keep_note(&mut state, &module, line);
        }
        if state
            .modules
            .values()
            .any(|log| log.allowance.suppressed() > 0)
        {
            self.waiting.notify_one();
        }
    }

    /// Keeps a line of the device about a module.
    pub(super) fn keep_note(&self, state: &mut State, module: &ModuleId, line: LogLine) {
        let entry = LogEntry {
            seq: 0,
            time: clock::now(),
            device: self.device.clone(),
            module: module.clone(),
            line,
        };
        self.keep(state, entry, None);
    }

    /// Records how a job went, and lets the module's log tell what it lost.
    fn record(&self, job: &Job, done: &Done) {
        let mut state = self.lock();
        let Some(log) = state.modules.get_mut(&job.module) else {
            return;
        };
        // It may have been forgotten in between, and have begun anew.
        if !Arc::ptr_eq(&log.files, &job.files) {
            return;
        }
        log.writing = None;
        log.files_size_bytes = done.size_bytes;
        log.lost += done.lost;
        if log.lost == 0 || done.lost > 0 || job.group.ends.is_empty() {
            return;
        }
        let lost = std::mem::take(&mut log.lost);
        let text = format!("{lost} lines are missing here: they could not be written to the disk");
        self.keep_note(&mut state, &job.module, host_line(LogLevel::Warn, text));
    }

    /// Lets the oldest part of the largest log go until all together are small enough.
    fn make_room(&self) {
        loop {
            let largest = {
                let state = self.lock();
                let size: u64 = state.modules.values().map(|log| log.files_size_bytes).sum();
                if size <= self.size_max_bytes {
                    return;
                }
                let largest = state
                    .modules
                    .iter()
                    .max_by_key(|(_, log)| log.files_size_bytes);
                largest.map(|(module, log)| (module.clone(), Arc::clone(&log.files)))
            };
            let Some((module, files)) = largest else {
                return;
            };
            let size_bytes = match &mut *lock(&files) {
                Files::Open(ring) => match ring.drop_oldest() {
                    Ok(true) => ring.size_bytes(),
                    Ok(false) => 0,
                    Err(err) => {
                        tracing::warn!(device = %self.device, %module, %err, "a log cannot be made smaller");
                        return;
                    }
                },
                _ => 0,
            };
            if let Some(log) = self.lock().modules.get_mut(&module) {
                log.files_size_bytes = size_bytes;
            }
        }
    }
}

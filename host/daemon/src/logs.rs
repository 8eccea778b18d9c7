//! The modules' logs: bounded files on disk, bounded rates, and feeds for those who follow.
//!
//! [`Logs`] takes lines and gives them out; it does not wait for the disk. Lines wait in memory, for a second at
//! most, until the writer's task puts them into the module's files (`ring`) in groups. A disk that is full or
//! fails costs lines, which are counted and told, and nothing else. Called by the supervisor (lines), the agent
//! (limits, and [`Logs::forget`]), the management API and the console (reading).

mod allowance;
pub mod entry;
pub mod feed;
pub mod filter;
pub mod folder;
pub mod reader;
mod record;
mod ring;
mod segment;
mod slots;
mod state;
mod writer;

use std::sync::{Arc, PoisonError};

use cap_std::fs::Dir;
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::manifest::Limits;
use wasm_edge_runtime::guest::{LogLevel, LogLine, LogStream};

use crate::clock;
use entry::LogEntry;
use feed::{LogFeed, TooManyFollowers};
use reader::{LogSnapshot, ModuleSnapshot};
use state::State;
use writer::Shared;

/// The size of all logs of a device if nothing else is said: the oldest part of the largest goes first.
pub const DEVICE_SIZE_MAX_BYTES: u64 = 32 * 1024 * 1024;

/// The logs of one device; clones share them.
#[derive(Clone)]
pub struct Logs {
    shared: Arc<Shared>,
}

impl Logs {
    /// Opens the logs in a device's folder `logs/` and starts to write to them; all together take at most
    /// `size_max_bytes`.
    ///
    /// Blocks while it looks for the end of each log. What cannot be read is told and passed over. Has to be called
    /// inside a tokio runtime, and ended by [`Logs::close`].
    pub fn open(device: DeviceId, folder: Dir, size_max_bytes: u64) -> Self {
        let folder = Arc::new(folder);
        let known = folder::modules(&folder, &device);
        let slots = move |module: &ModuleId| folder::slots(&folder, module);
        let shared = Shared::open(device, Box::new(slots), known, size_max_bytes);
        Self { shared }
    }

    /// Logs that are passed to those who follow and kept nowhere, for a bed that tests a module.
    pub fn without_files(device: DeviceId) -> Self {
        let shared = Shared::without_files(device);
        Self { shared }
    }

    /// Writes what waits, ends the feeds of those that follow, and takes no more lines; what was logged can still
    /// be read.
    pub async fn close(&self) {
        self.shared.close().await;
    }

    /// Sets how many lines per second a module may log for long, and how much of its log is kept.
    pub fn set_limits(&self, module: &ModuleId, limits: &Limits) {
        let now = wasm_edge_clock::now();
        let mut state = self.shared.lock();
        let log = state.module(module, now);
        log.allowance.set_rate(limits.log_lines_per_second, now);
        log.set_size_max(limits.log_size_max_bytes);
        drop(state);
        self.shared.wake();
    }

    /// Takes a line of a module; beyond the module's rate it is counted instead.
    pub fn take(&self, module: &ModuleId, line: LogLine) {
        let now = wasm_edge_clock::now();
        {
            let mut state = self.shared.lock();
            if let Some(note) = state.module(module, now).suppression_note(now) {
                self.shared.keep_note(&mut state, module, note);
            }
            let allowance = &mut state.module(module, now).allowance;
            if !allowance.take(line.text.len(), now) {
                // The writer tells the count if no line follows.
                if allowance.suppressed() == 1 {
                    self.shared.wake();
                }
                return;
            }
        }
        let entry = LogEntry {
            seq: 0,
            time: clock::now(),
            device: self.shared.device.clone(),
            module: module.clone(),
            line,
        };
        // Other modules do not wait while a long line gets its form.
        let body = record::body(entry.time, &entry.line, record::RECORD_MAX_BYTES);
        self.shared.keep(&mut self.shared.lock(), entry, Some(body));
    }

    /// Writes a line of the device about a module; it is never dropped for its rate.
    pub fn note(&self, module: &ModuleId, level: LogLevel, text: String) {
        let line = host_line(level, text);
        self.shared.keep_note(&mut self.shared.lock(), module, line);
    }

    /// Removes all that a module logged: it has left the device.
    ///
    /// # Errors
    /// Those of removing its files; it may be called again.
    pub async fn forget(&self, module: &ModuleId) -> std::io::Result<()> {
        self.shared.forget(module).await
    }

    /// Whether there is a log of this module.
    pub fn knows(&self, module: &ModuleId) -> bool {
        self.shared.lock().modules.contains_key(module)
    }

    /// The logs as they are now, to be read by [`reader::read`].
    pub fn snapshot(&self) -> LogSnapshot {
        self.snapshot_of(&self.shared.lock())
    }

    /// The logs as they are now, and all lines after these of one module or of all: none is in both, and none is
    /// missed in between.
    ///
    /// # Errors
    /// [`TooManyFollowers`].
    pub fn snapshot_and_follow(
        &self,
        module: Option<ModuleId>,
    ) -> Result<(LogSnapshot, LogFeed), TooManyFollowers> {
        let mut state = self.shared.lock();
        let feed = state.feeds.follow(module)?;
        Ok((self.snapshot_of(&state), feed))
    }

    /// Follows all lines from now on, until the logs are closed.
    ///
    /// # Errors
    /// [`TooManyFollowers`].
    pub fn follow(&self) -> Result<LogFeed, TooManyFollowers> {
        self.shared.lock().feeds.follow(None)
    }

    fn snapshot_of(&self, state: &State) -> LogSnapshot {
        let modules = state.modules.iter().map(|(id, log)| ModuleSnapshot {
            module: id.clone(),
            slots: self.shared.slots(id),
            unwritten: log.unwritten(),
        });
        LogSnapshot {
            device: self.shared.device.clone(),
            modules: modules.collect(),
            end_seq: state.next_seq,
        }
    }
}

/// A line of the device about a module.
fn host_line(level: LogLevel, text: String) -> LogLine {
    LogLine {
        stream: LogStream::Host,
        level,
        text,
        fields: Vec::new(),
    }
}

/// A lock whose holder panicked: what it guards is changed in single steps and still sound.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

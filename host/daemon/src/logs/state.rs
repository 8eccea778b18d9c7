//! What waits to be written of each module's log, and the step that writes it.
//!
//! The state is in memory and changed in single steps; a [`Job`] is what the writer takes out of it and does
//! on a blocking thread.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::manifest::Limits;
use wasm_edge_runtime::guest::{LogLevel, LogLine};

use super::allowance::{Allowance, RATE_PER_SECOND};
use super::entry::LogEntry;
use super::feed::Feeds;
use super::record::{self, Header};
use super::ring::{Group, Ring, RingError, record_max_bytes};
use super::slots::Slots;
use super::{host_line, lock};

/// Bytes of one module that are written at once, however short they have waited.
const GROUP_BYTES: usize = 16 * 1024;

/// Bytes of one module that may wait while the disk is slow; beyond that, what waits is given up for what comes.
const PENDING_MAX_BYTES: usize = 256 * 1024;

/// Written by whoever logs and by the writer, read by whoever reads logs.
pub(super) struct State {
    pub(super) modules: BTreeMap<ModuleId, ModuleLog>,
    pub(super) next_seq: u64,
    pub(super) feeds: Feeds,
    pub(super) has_error: bool,
    pub(super) is_closed: bool,
}

/// The log of one module.
pub(super) struct ModuleLog {
    pub(super) allowance: Allowance,
    pub(super) size_max_bytes: u64,
    /// Whether the files have to be brought in line with another size.
    is_resized: bool,
    /// What waits to be written.
    pub(super) pending: Group,
    /// What is being written.
    pub(super) writing: Option<Arc<Group>>,
    /// Lines that could not be written and of which nobody was told.
    pub(super) lost: u64,
    pub(super) files: Arc<Mutex<Files>>,
    /// The size of the files when they were written last.
    pub(super) files_size_bytes: u64,
}

/// The files of one module's log.
#[derive(Debug)]
pub(super) enum Files {
    /// They are looked at when the first group is written.
    Unopened,
    /// They can be written.
    Open(Ring),
    /// They cannot be written by this version.
    Refused,
    /// The module has left.
    Gone,
}

/// What the writer does for one module.
pub(super) struct Job {
    pub(super) module: ModuleId,
    pub(super) group: Arc<Group>,
    pub(super) files: Arc<Mutex<Files>>,
    pub(super) size_max_bytes: u64,
}

/// How a job went.
pub(super) struct Done {
    /// Lines that are not in the log.
    pub(super) lost: u64,
    pub(super) size_bytes: u64,
}

/// When what waits has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    Usual,
    Error,
    Full,
}

impl State {
    /// The state of logs whose next line has this number.
    pub(super) fn new(modules: BTreeMap<ModuleId, ModuleLog>, next_seq: u64) -> Self {
        Self {
            modules,
            next_seq,
            feeds: Feeds::default(),
            has_error: false,
            is_closed: false,
        }
    }

    /// The log of a module, which is made if there is none.
    pub(super) fn module(&mut self, module: &ModuleId, now: Instant) -> &mut ModuleLog {
        if !self.modules.contains_key(module) {
            self.modules.insert(module.clone(), ModuleLog::new(now));
        }
        self.modules
            .get_mut(module)
            .expect("it is there, or was just made")
    }

    pub(super) fn urgency(&self) -> Urgency {
        let is_full = |log: &ModuleLog| log.pending.bytes.len() >= GROUP_BYTES;
        if self.modules.values().any(is_full) {
            Urgency::Full
        } else if self.has_error {
            Urgency::Error
        } else {
            Urgency::Usual
        }
    }

    /// What there is to write.
    pub(super) fn jobs(&mut self) -> Vec<Job> {
        let mut jobs = Vec::new();
        for (module, log) in &mut self.modules {
            if log.pending.ends.is_empty() && !log.is_resized {
                continue;
            }
            let group = Arc::new(std::mem::take(&mut log.pending));
            log.is_resized = false;
            log.writing = Some(Arc::clone(&group));
            jobs.push(Job {
                module: module.clone(),
                group,
                files: Arc::clone(&log.files),
                size_max_bytes: log.size_max_bytes,
            });
        }
        jobs
    }
}

impl ModuleLog {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            allowance: Allowance::new(RATE_PER_SECOND, now),
            size_max_bytes: Limits::default().log_size_max_bytes,
            is_resized: false,
            pending: Group::default(),
            writing: None,
            lost: 0,
            files: Arc::new(Mutex::new(Files::Unopened)),
            files_size_bytes: 0,
        }
    }

    /// Bounds the files from now on.
    pub(super) fn set_size_max(&mut self, size_max_bytes: u64) {
        self.is_resized |= self.size_max_bytes != size_max_bytes;
        self.size_max_bytes = size_max_bytes;
    }

    /// A line that tells how many were suppressed, once there is room for it.
    pub(super) fn suppression_note(&mut self, now: Instant) -> Option<LogLine> {
        let suppressed = self.allowance.take_note(now)?;
        let rate = self.allowance.rate();
        let text = format!("{suppressed} lines were dropped: more than {rate} a second");
        Some(host_line(LogLevel::Warn, text))
    }

    /// Lets a line wait to be written; `body` is its form on disk, if it is there already. Answers whether so much
    /// waits that it should be written now.
    pub(super) fn wait(&mut self, entry: &LogEntry, body: Option<String>) -> bool {
        let body_max = record_max_bytes(self.size_max_bytes);
        let body = body
            .filter(|body| body.len() <= body_max)
            .unwrap_or_else(|| record::body(entry.time, &entry.line, body_max));
        if self.pending.bytes.len() + body.len() > PENDING_MAX_BYTES {
            // The newest tell more of what goes on.
            self.lost += self.pending.ends.len() as u64;
            self.pending = Group::default();
        }
        self.pending.push(entry.seq, &body);
        self.pending.bytes.len() >= GROUP_BYTES
    }

    /// The records that are not in the files yet, or perhaps not.
    pub(super) fn unwritten(&self) -> Vec<Arc<[u8]>> {
        let groups = self.writing.as_deref().into_iter().chain([&self.pending]);
        let groups = groups.filter(|group| !group.bytes.is_empty());
        groups
            .map(|group| Arc::from(group.bytes.as_slice()))
            .collect()
    }
}

impl Job {
    /// Writes the group. Blocks.
    pub(super) fn run(&self, slots: Arc<dyn Slots>, device: &DeviceId, sync: bool) -> Done {
        let mut files = lock(&self.files);
        if let Files::Unopened = *files {
            *files = open_files(slots, device, &self.module, self.size_max_bytes).0;
        }
        let lines = self.group.ends.len() as u64;
        let Files::Open(ring) = &mut *files else {
            return Done {
                lost: lines,
                size_bytes: 0,
            };
        };
        let resized = ring.set_size_max(self.size_max_bytes);
        let appended = ring.append(&self.group, sync);
        let size_bytes = ring.size_bytes();
        let failed = match (resized, appended) {
            (_, Err(err)) => Some((err.lost, err.source)),
            (Err(err), Ok(())) => Some((0, err)),
            (Ok(()), Ok(())) => None,
        };
        let lost = failed.as_ref().map_or(0, |(lost, _)| *lost);
        if let Some((lost, err)) = failed {
            tracing::warn!(%device, module = %self.module, lost, %err, "log lines could not be written");
        }
        Done { lost, size_bytes }
    }
}

/// Opens a module's files; answers the number of their last record too. What fails is told here, and tried again
/// with the next group where that may help.
pub(super) fn open_files(
    slots: Arc<dyn Slots>,
    device: &DeviceId,
    module: &ModuleId,
    size_max_bytes: u64,
) -> (Files, u64) {
    let header = Header {
        device: device.clone(),
        module: module.clone(),
    };
    match Ring::open(slots, header, size_max_bytes) {
        Ok((ring, last_seq)) => (Files::Open(ring), last_seq),
        Err(err @ RingError::Version { .. }) => {
            tracing::error!(%device, %module, %err, "the log is left alone, and nothing is written to it");
            (Files::Refused, 0)
        }
        Err(RingError::Io(err)) => {
            tracing::warn!(%device, %module, %err, "the log cannot be opened");
            (Files::Unopened, 0)
        }
    }
}

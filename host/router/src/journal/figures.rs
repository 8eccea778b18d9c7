//! Counts of what the journal did, for the operator.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Numbers for the operator, counted since the journal was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalFigures {
    /// Commits written.
    pub commits: u64,
    /// Messages written, each once however many endpoints it went to.
    pub messages: u64,
    /// Groups written: each is one write call, and one sync when any of it asked for that.
    pub groups: u64,
    /// Times that the log was made to last.
    pub syncs: u64,
    /// Bytes written to files, of whatever kind.
    pub written_bytes: u64,
    /// Bytes of these that were copied to free the space around them.
    pub copied_bytes: u64,
    /// Segments removed or merged.
    pub segments_freed: u64,
    /// Messages lost to damage of the disk, those found when it was opened included.
    pub damaged_messages: u64,
    /// Writes and syncs that failed.
    pub failures: u64,
}

/// The counters; the writer counts, but for damage, which readers find too.
#[derive(Debug, Default)]
pub(super) struct Figures {
    commits: AtomicU64,
    messages: AtomicU64,
    groups: AtomicU64,
    syncs: AtomicU64,
    written_bytes: AtomicU64,
    copied_bytes: AtomicU64,
    segments_freed: AtomicU64,
    damaged_messages: AtomicU64,
    failures: AtomicU64,
}

impl Figures {
    pub(super) fn group(&self, commits: u64, messages: u64) {
        add(&self.groups, 1);
        add(&self.commits, commits);
        add(&self.messages, messages);
    }

    pub(super) fn synced(&self) {
        add(&self.syncs, 1);
    }

    pub(super) fn wrote(&self, bytes: u64) {
        add(&self.written_bytes, bytes);
    }

    pub(super) fn copied(&self, bytes: u64) {
        self.wrote(bytes);
        add(&self.copied_bytes, bytes);
        self.freed(1);
    }

    pub(super) fn freed(&self, segments: u64) {
        add(&self.segments_freed, segments);
    }

    pub(super) fn damaged(&self, messages: u64) {
        add(&self.damaged_messages, messages);
    }

    pub(super) fn failed(&self) {
        add(&self.failures, 1);
    }

    pub(super) fn read(&self) -> JournalFigures {
        JournalFigures {
            commits: read(&self.commits),
            messages: read(&self.messages),
            groups: read(&self.groups),
            syncs: read(&self.syncs),
            written_bytes: read(&self.written_bytes),
            copied_bytes: read(&self.copied_bytes),
            segments_freed: read(&self.segments_freed),
            damaged_messages: read(&self.damaged_messages),
            failures: read(&self.failures),
        }
    }
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

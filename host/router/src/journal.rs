//! The durable part of the queues: commits go into one segmented log per device, and come back from it.
//!
//! Owns what the records of the log mean: messages with their places in lanes, places that are done, and the
//! clock that times to live count on. The writer thread is the only one that writes; it takes what was
//! submitted in groups, so that one sync serves many commits. Leaves to the state which lane a message goes
//! to, what is in memory and when it is handed over, and to `wasm_edge_store` how bytes reach the disk and
//! come back. The router's root opens it, the state submits, the inboxes load.
//!
//! What is in the log is a prefix of what was submitted, whatever the durability of each commit: durability
//! only says when somebody is told. So a chain of handlers never has a hole.

pub mod commit;

/// How much space the journal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// Bytes of all files.
    pub file_bytes: u64,
    /// Bytes of records with messages that are not done, about.
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

/// Numbers for the operator, counted since the journal was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalFigures {
    /// Commits written.
    pub commits: u64,
    /// Messages written, each once however many endpoints it went to.
    pub messages: u64,
    /// Groups written: each is one write call, and one sync when any of it asked for that.
    pub groups: u64,
    /// Syncs of files and folders.
    pub syncs: u64,
    /// Bytes written to files, of whatever kind.
    pub written_bytes: u64,
    /// Bytes of these that were copied to free the space around them.
    pub copied_bytes: u64,
    /// Segments removed or merged away.
    pub segments_freed: u64,
    /// Damaged records found and skipped.
    pub damaged_records: u64,
    /// Writes and syncs that failed.
    pub failures: u64,
}

//! A durable queue as the load uses it, and the stores that are one.
//!
//! Each store is used as its own guide advises for this load, with about a megabyte of cache, and every call is one
//! transaction that is on the disk when it returns.

mod fjall;
mod log;
mod redb;
mod sqlite;

use std::path::Path;

use clap::ValueEnum;

/// Messages in order, each with a number that is one above that of the message before.
pub(crate) trait Queue {
    /// Adds messages of these bodies, the first with the number `first`; done when they survive a power cut.
    fn append(&mut self, first: u64, bodies: &[Vec<u8>]) -> anyhow::Result<()>;

    /// Reads up to so many of the oldest messages and removes them; done when that survives a power cut.
    fn take(&mut self, messages_max: usize) -> anyhow::Result<Vec<Message>>;
}

/// A number with a body.
pub(crate) type Message = (u64, Vec<u8>);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// The segmented log of this project.
    Log,
    /// redb, an embedded B-tree with copy on write.
    Redb,
    /// SQLite in WAL mode, `synchronous=FULL`.
    Sqlite,
    /// fjall, a log-structured merge tree.
    Fjall,
}

impl Store {
    /// All, in the order in which they are printed.
    pub(crate) const ALL: [Self; 4] = [Self::Log, Self::Redb, Self::Sqlite, Self::Fjall];

    /// Its name on the command line and in figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Redb => "redb",
            Self::Sqlite => "sqlite",
            Self::Fjall => "fjall",
        }
    }

    /// Opens what is in a folder, or makes it.
    pub(crate) fn open(self, folder: &Path) -> anyhow::Result<Box<dyn Queue>> {
        Ok(match self {
            Self::Log => Box::new(log::LogQueue::open(folder)?),
            Self::Redb => Box::new(redb::RedbQueue::open(folder)?),
            Self::Sqlite => Box::new(sqlite::SqliteQueue::open(folder)?),
            Self::Fjall => Box::new(fjall::FjallQueue::open(folder)?),
        })
    }
}

/// What each store may keep in memory, where it can be told.
const CACHE_BYTES: u64 = 1 << 20;

//! The library's database over a disk, opened again after the disk failed for a time.
//!
//! Owns when that is: the library refuses every use of a database once its disk failed, and a disk that was full
//! is not full for ever. Leaves the content to [`super::Database`], which asks for it before each use.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::backend::Backend;
use super::{CACHE_BYTES, DatabaseError, error};
use crate::disk::Disk;

/// What the library has open, and what is needed to open it again.
pub(super) struct Opened {
    disk: Arc<WatchedDisk>,
    /// `None` while it cannot be opened again.
    library: Mutex<Option<Arc<redb::Database>>>,
}

/// A disk that remembers its failures.
#[derive(Debug)]
struct WatchedDisk {
    disk: Box<dyn Disk>,
    /// Something failed since the database was opened.
    failed: AtomicBool,
    /// What was written may be lost although it reads well, so that nothing vouches for the file any more.
    sync_failed: AtomicBool,
}

impl Opened {
    /// Opens what is on `disk` after reading all of it.
    pub(super) fn new(name: &str, disk: impl Disk) -> Result<Self, DatabaseError> {
        let disk = Arc::new(WatchedDisk {
            disk: Box::new(disk),
            failed: AtomicBool::new(false),
            sync_failed: AtomicBool::new(false),
        });
        let library = Mutex::new(Some(open(name, &disk)?));
        Ok(Self { disk, library })
    }

    /// The library's database, opened again if its disk failed. A failed sync is for good: the next process reads
    /// what the disk really has.
    pub(super) fn library(&self, name: &str) -> Result<Arc<redb::Database>, DatabaseError> {
        let mut library = self.library.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = self.disk.failed.load(Ordering::Acquire)
            && !self.disk.sync_failed.load(Ordering::Acquire);
        if let Some(opened) = library.take() {
            if !failed {
                return Ok(Arc::clone(library.insert(opened)));
            }
            // Whoever still uses it is about to fail.
            if let Err(used) = Arc::try_unwrap(opened) {
                return Ok(Arc::clone(library.insert(used)));
            }
        }
        self.disk.failed.store(false, Ordering::Release);
        let again = open(name, &self.disk)?;
        tracing::info!(database = name, "opened again after its disk failed");
        Ok(Arc::clone(library.insert(again)))
    }
}

fn open(name: &str, disk: &Arc<WatchedDisk>) -> Result<Arc<redb::Database>, DatabaseError> {
    // A plain open trusts the file, and the library may panic over one that was altered; the check reads all of it
    // first. What still panics over a file is a damage of the file.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        redb::Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(Backend::new(Arc::clone(disk)))
    }));
    match opened {
        Ok(opened) => opened
            .map(Arc::new)
            .map_err(|err| error::opening(name, err)),
        Err(_) => Err(error::damaged(name, "it does not hold together")),
    }
}

impl WatchedDisk {
    fn watch<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        if outcome.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        outcome
    }
}

impl Disk for Arc<WatchedDisk> {
    fn len_bytes(&self) -> io::Result<u64> {
        self.watch(self.disk.len_bytes())
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.watch(self.disk.read_at(offset, bytes))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.watch(self.disk.write_at(offset, bytes))
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.watch(self.disk.set_len(len_bytes))
    }

    fn sync(&self) -> io::Result<()> {
        let outcome = self.disk.sync();
        if outcome.is_err() {
            self.sync_failed.store(true, Ordering::Release);
        }
        self.watch(outcome)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.disk.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.disk.unlock()
    }
}

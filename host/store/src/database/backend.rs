//! The database library's view of a disk.

use std::io;
use std::ops::Bound;

use redb::{BackendError, StorageBackend};

use crate::disk::Disk;

#[derive(Debug)]
pub(super) struct Backend<D>(D);

impl<D: Disk> Backend<D> {
    pub(super) fn new(disk: D) -> Self {
        Self(disk)
    }
}

/// Only the whole file can be locked, which is all that one writer needs.
fn whole(start: Bound<u64>, end: Bound<u64>) -> bool {
    matches!(start, Bound::Unbounded | Bound::Included(0)) && end == Bound::Unbounded
}

impl<D: Disk> StorageBackend for Backend<D> {
    fn len(&self) -> io::Result<u64> {
        self.0.len_bytes()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.unlock()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        if whole(start, end) {
            Ok(self.0.try_lock()?)
        } else {
            Err(BackendError::Unsupported)
        }
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        if whole(start, end) {
            Ok(self.0.unlock()?)
        } else {
            Err(BackendError::Unsupported)
        }
    }
}

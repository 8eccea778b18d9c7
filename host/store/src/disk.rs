//! The thin layer between a store and its file, which tests can make drop, tear or fail.
//!
//! Owns reading, writing and syncing one open file by offset. Leaves format
//! and recovery to the stores above, and the faults to the simulated disk of
//! the feature `faults`. Used by the embedded database.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;

#[cfg(any(test, feature = "faults"))]
pub mod faults;
pub(crate) mod overlay;

/// One file, as the stores use it.
///
/// What was written survives a power cut only once `sync` has returned; until
/// then any part of it may be on the disk or not, in any order.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Its length in bytes.
    ///
    /// # Errors
    /// Those of the system.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the file is shorter, and those of the system.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// Those of the system; some of the bytes may be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file off or fills it up with zeroes.
    ///
    /// # Errors
    /// Those of the system.
    fn set_len(&self, len_bytes: u64) -> io::Result<()>;

    /// Makes all that was written last.
    ///
    /// # Errors
    /// Those of the system; what was written since the last success may be lost.
    fn sync(&self) -> io::Result<()>;

    /// Takes the file for this process and this value alone; `false` when another has it.
    ///
    /// # Errors
    /// Those of the system.
    fn try_lock(&self) -> io::Result<bool>;

    /// Gives the file up again.
    ///
    /// # Errors
    /// Those of the system.
    fn unlock(&self) -> io::Result<()>;
}

/// A real file.
#[derive(Debug)]
pub struct FileDisk(File);

impl FileDisk {
    /// Uses `file`, open for reading and writing.
    pub fn new(file: File) -> Self {
        Self(file)
    }
}

impl Disk for FileDisk {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len(len_bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(err)) => Err(err),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        self.0.unlock()
    }
}

//! The lock of the data folder: one process at a time.
//!
//! Owns the file `lock`, which is locked as long as the process lives (the
//! kernel lets go when it ends in any way) and holds its process id for the
//! message that others see. Called by the data folder only.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt as _};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::FolderError;
use crate::file::PRIVATE_FILE_MODE;

/// Name of the lock file in the data folder.
pub(crate) const LOCK_FILE: &str = "lock";

/// More than the decimal digits of any process id.
const PID_MAX_BYTES: u64 = 20;

/// The lock, held until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    /// Open for the lock's sake alone.
    _file: File,
}

impl Lock {
    /// Takes the lock of the folder `dir`, or says who has it.
    pub(super) fn take(path: &Path, dir: &Dir) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Io {
            path: path.join(LOCK_FILE),
            source,
        };
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .mode(PRIVATE_FILE_MODE);
        let mut file = dir.open_with(LOCK_FILE, &options).map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(FolderError::Locked {
                    path: path.to_owned(),
                    pid: read_pid(&mut file),
                });
            }
            Err(err) => return Err(failed(err.into())),
        }
        write_pid(&mut file).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    // Not synced: the number is of no use after a power cut.
    writeln!(file, "{}", std::process::id())
}

/// The process id that the holder wrote.
pub(crate) fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_MAX_BYTES).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok()
}

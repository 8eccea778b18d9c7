//! A folder of files as a log uses it: the thin layer that tests make fail.
//!
//! Owns making, opening, renaming and removing the files of one folder, and
//! the names of the places where something is synced. Leaves the content of a
//! file to [`Disk`], and the faults to the simulated volume
//! of the feature `faults`. Used by the segmented log.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};

use crate::disk::{Disk, FileDisk};
use crate::file;

#[cfg(any(test, feature = "faults"))]
pub mod simulated;

/// A place in the code where something is synced, by name; tests switch them off one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SyncSite(pub &'static str);

/// A folder of files.
///
/// What was created, renamed or removed survives a power cut only once
/// [`Self::sync_folder`] has returned, what was written to a file only once
/// [`Self::sync_file`] has; until then any part of it may be on the disk or
/// not, in any order. Names are plain file names.
pub trait Volume: fmt::Debug + Send + Sync + 'static {
    /// The names of its files, in any order.
    ///
    /// # Errors
    /// Those of the system.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file, empty and in the place of an older one of this name.
    ///
    /// # Errors
    /// Those of the system.
    fn create(&self, name: &str) -> io::Result<Arc<dyn Disk>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// Those of the system, [`io::ErrorKind::NotFound`] when it is not there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn Disk>>;

    /// When a file was changed last; none where that is not known.
    ///
    /// # Errors
    /// Those of the system.
    fn modified(&self, _name: &str) -> io::Result<Option<SystemTime>> {
        Ok(None)
    }

    /// Gives a file another name, in the place of the one that had it.
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; who has it open still reads it.
    ///
    /// # Errors
    /// Those of the system, [`io::ErrorKind::NotFound`] when it is not there.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes last what was created, renamed and removed.
    ///
    /// # Errors
    /// Those of the system; it can be tried again.
    fn sync_folder(&self, site: SyncSite) -> io::Result<()>;

    /// Makes last what was written to `file`, which is one of this volume's.
    ///
    /// # Errors
    /// Those of the system. What was written since the last success is in
    /// doubt then, and stays so even if a later call succeeds.
    fn sync_file(&self, file: &dyn Disk, site: SyncSite) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Debug)]
pub struct FolderVolume(Dir);

impl FolderVolume {
    /// Uses `folder`, which nobody else writes to.
    pub fn new(folder: Dir) -> Self {
        Self(folder)
    }
}

impl Volume for FolderVolume {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in self.0.entries()? {
            let entry = entry?;
            // A name that is no text is none of ours.
            if let (true, Ok(name)) = (
                entry.file_type()?.is_file(),
                entry.file_name().into_string(),
            ) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        // A new file and not an old one emptied: who has the old one open still reads it.
        match self.0.remove_file(name) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
        Ok(Arc::new(FileDisk::new(file::create_private(
            &self.0, name,
        )?)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        let file = self.0.open_with(name, &options)?.into_std();
        Ok(Arc::new(FileDisk::new(file)))
    }

    fn modified(&self, name: &str) -> io::Result<Option<SystemTime>> {
        Ok(Some(self.0.metadata(name)?.modified()?.into_std()))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, &self.0, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove_file(name)
    }

    fn sync_folder(&self, _site: SyncSite) -> io::Result<()> {
        file::sync_folder(&self.0)
    }

    fn sync_file(&self, file: &dyn Disk, _site: SyncSite) -> io::Result<()> {
        file.sync()
    }
}

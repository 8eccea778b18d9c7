//! Where the files of one module's log lie: a folder with a few numbered places.
//!
//! A trait, so that tests can put simulated disks there, which tear and fail.

use std::fmt;
use std::io;
use std::sync::Arc;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use wasm_edge_store::disk::{Disk, FileDisk};
use wasm_edge_store::file::{self, PRIVATE_FILE_MODE};

/// How many files a log consists of: the oldest goes as a whole, so three quarters of the log are always there.
pub(super) const SLOTS: usize = 4;

/// The places of one log's files.
pub(super) trait Slots: fmt::Debug + Send + Sync + 'static {
    /// Opens the file at a place; `None` if there is none.
    fn open(&self, slot: usize) -> io::Result<Option<Box<dyn Disk>>>;

    /// Makes an empty file at a place; one that was there goes, but stays whole for who has it open.
    fn create(&self, slot: usize) -> io::Result<Box<dyn Disk>>;

    /// Removes the file at a place; a missing one is fine.
    fn remove(&self, slot: usize) -> io::Result<()>;

    /// Removes all, for good.
    fn remove_all(&self) -> io::Result<()>;
}

/// No places at all, for logs that keep nothing.
#[derive(Debug)]
pub(super) struct NoSlots;

impl Slots for NoSlots {
    fn open(&self, _: usize) -> io::Result<Option<Box<dyn Disk>>> {
        Ok(None)
    }

    fn create(&self, _: usize) -> io::Result<Box<dyn Disk>> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    fn remove(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn remove_all(&self) -> io::Result<()> {
        Ok(())
    }
}

/// What may be done in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Reading alone.
    Read,
    /// All.
    ReadWrite,
}

/// Places in a folder of the device's `logs/`, which is made with the first file.
#[derive(Debug)]
pub(super) struct FolderSlots {
    logs: Arc<Dir>,
    name: String,
    access: Access,
}

impl FolderSlots {
    pub(super) fn new(logs: Arc<Dir>, name: String, access: Access) -> Self {
        Self { logs, name, access }
    }
}

impl Slots for FolderSlots {
    fn open(&self, slot: usize) -> io::Result<Option<Box<dyn Disk>>> {
        let mut options = OpenOptions::new();
        options.read(true).write(self.access == Access::ReadWrite);
        let opened = self
            .logs
            .open_dir(&self.name)
            .and_then(|folder| folder.open_with(file_name(slot), &options));
        match opened {
            Ok(file) => Ok(Some(Box::new(FileDisk::new(file.into_std())))),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err),
        }
    }

    fn create(&self, slot: usize) -> io::Result<Box<dyn Disk>> {
        let folder = file::open_folder(&self.logs, &self.name)?;
        let name = file_name(slot);
        remove_file(&folder, &name)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        options.mode(PRIVATE_FILE_MODE);
        let file = folder.open_with(&name, &options)?;
        Ok(Box::new(FileDisk::new(file.into_std())))
    }

    fn remove(&self, slot: usize) -> io::Result<()> {
        match self.logs.open_dir(&self.name) {
            Ok(folder) => remove_file(&folder, &file_name(slot)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(err) => Err(err),
        }
    }

    fn remove_all(&self) -> io::Result<()> {
        match self.logs.remove_dir_all(&self.name) {
            Ok(()) => file::sync_folder(&self.logs),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(err) => Err(err),
        }
    }
}

fn file_name(slot: usize) -> String {
    format!("{slot}.log")
}

fn remove_file(folder: &Dir, name: &str) -> io::Result<()> {
    match folder.remove_file(name) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Mutex, PoisonError};

    use wasm_edge_store::disk::faults::{Fault, SimulatedDisk, Survivors};

    use super::*;

    /// Places on simulated disks.
    #[derive(Debug, Default)]
    pub(in crate::logs) struct SimulatedSlots {
        disks: Mutex<[Option<SimulatedDisk>; SLOTS]>,
        /// The faults of the disks that are made from now on.
        faults: Mutex<Vec<Fault>>,
        /// Whether files can be made.
        is_full: Mutex<bool>,
    }

    impl SimulatedSlots {
        /// Disks that are made meet these faults, in this order, and then none.
        pub(in crate::logs) fn with_faults(faults: &[Fault]) -> Self {
            let faults = faults.iter().rev().copied().collect();
            Self {
                faults: Mutex::new(faults),
                ..Self::default()
            }
        }

        /// Lets the making of files fail, or not any more.
        pub(in crate::logs) fn set_full(&self, is_full: bool) {
            *self.is_full.lock().unwrap() = is_full;
        }

        /// What is there after the power went now.
        pub(in crate::logs) fn after_power_cut(&self, survivors: Survivors) -> Self {
            let disks = self.disks.lock().unwrap();
            let disks = disks.each_ref().map(|disk| {
                let disk = disk.as_ref()?;
                Some(SimulatedDisk::new(
                    disk.after_power_cut(survivors),
                    Fault::None,
                ))
            });
            Self {
                disks: Mutex::new(disks),
                ..Self::default()
            }
        }

        /// Changes the bytes of a file.
        pub(in crate::logs) fn damage(&self, slot: usize, change: impl FnOnce(&mut Vec<u8>)) {
            let mut disks = self.disks.lock().unwrap();
            let disk = disks[slot].as_ref().expect("a file is there");
            let mut bytes = disk.after_power_cut(Survivors::Written);
            change(&mut bytes);
            disks[slot] = Some(SimulatedDisk::new(bytes, Fault::None));
        }

        /// The bytes of all files together.
        pub(in crate::logs) fn size_bytes(&self) -> usize {
            let disks = self.disks.lock().unwrap();
            let size = |disk: &SimulatedDisk| disk.after_power_cut(Survivors::Written).len();
            disks.iter().flatten().map(size).sum()
        }
    }

    impl Slots for SimulatedSlots {
        fn open(&self, slot: usize) -> io::Result<Option<Box<dyn Disk>>> {
            let disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
            let disk = disks[slot].clone();
            Ok(disk.map(|disk| Box::new(disk) as Box<dyn Disk>))
        }

        fn create(&self, slot: usize) -> io::Result<Box<dyn Disk>> {
            if *self.is_full.lock().unwrap() {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            let fault = self.faults.lock().unwrap().pop().unwrap_or(Fault::None);
            let disk = SimulatedDisk::new(Vec::new(), fault);
            self.disks.lock().unwrap()[slot] = Some(disk.clone());
            Ok(Box::new(disk))
        }

        fn remove(&self, slot: usize) -> io::Result<()> {
            self.disks.lock().unwrap()[slot] = None;
            Ok(())
        }

        fn remove_all(&self) -> io::Result<()> {
            (0..SLOTS).try_for_each(|slot| self.remove(slot))
        }
    }
}

//! A volume in memory that loses power, fills up, tears and fails as a test tells it.
//!
//! Owns the difference between what was written and what would survive, for
//! contents and names alike. Leaves the choice of the
//! moment to the test. Used by tests here and, through the feature `faults`,
//! by those of the crates above.
//!
//! It is worse than real systems: of what was not synced any subset of
//! sectors survives, also in parts of one write and of files that grew, and
//! any subset of creations, renames and removals. What a failed sync covered
//! is on the disk or not, and no later sync changes that.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{SyncSite, Volume};
use crate::disk::Disk;
use crate::disk::faults::inode::Inode;
use crate::disk::faults::{Random, Survivors, index};

/// What the system says of a simulated failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No space is left.
    Full,
    /// The device failed.
    Device,
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full => Self::from(io::ErrorKind::StorageFull),
            Failure::Device => Self::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()),
        }
    }
}

/// A handle to a simulated volume; clones share it.
#[derive(Debug, Clone)]
pub struct SimulatedVolume(Arc<Mutex<State>>);

/// An open file of it.
#[derive(Debug)]
struct SimulatedFile {
    volume: SimulatedVolume,
    inode: usize,
}

#[derive(Debug)]
struct State {
    inodes: BTreeMap<usize, Inode>,
    next_inode: usize,
    /// What one sees.
    names: BTreeMap<String, usize>,
    /// What survives whatever happens.
    synced_names: BTreeMap<String, usize>,
    /// Changes since the folder was synced, in order.
    pending_names: Vec<Renamed>,
    random: Random,
    faults: Faults,
    figures: Figures,
    dead: bool,
}

/// A change of names, whole or not at all: a creation has no old name, a removal no new one.
#[derive(Debug, Clone)]
struct Renamed {
    from: Option<String>,
    to: Option<(String, usize)>,
}

#[derive(Debug, Default)]
struct Faults {
    power_cut_at: Option<usize>,
    fail: Option<(Range<usize>, Failure)>,
    fail_one_in: Option<usize>,
    fail_reads: bool,
    capacity_bytes: Option<usize>,
    switched_off: BTreeSet<SyncSite>,
}

/// What was asked of a volume so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Operations that change something: creations, writes, changes of length, syncs, renames, removals.
    pub operations: usize,
    /// Syncs among them, of files and of the folder.
    pub syncs: usize,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Operations that failed, but not for want of power.
    pub failures: usize,
}

impl SimulatedVolume {
    /// An empty one; what is left to chance follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self::with(BTreeMap::new(), seed)
    }

    /// One that holds these files, safely stored.
    pub fn with(files: BTreeMap<String, Vec<u8>>, seed: u64) -> Self {
        let mut inodes = BTreeMap::new();
        let mut names = BTreeMap::new();
        for (number, (name, content)) in files.into_iter().enumerate() {
            inodes.insert(number, Inode::safe(content));
            names.insert(name, number);
        }
        Self(Arc::new(Mutex::new(State {
            next_inode: inodes.len(),
            inodes,
            synced_names: names.clone(),
            names,
            pending_names: Vec::new(),
            random: Random::new(seed),
            faults: Faults::default(),
            figures: Figures::default(),
            dead: false,
        })))
    }

    /// Lets the power go at this operation, counted from 0: it and all that follow fail.
    pub fn cut_power_at(&self, operation: usize) {
        self.state().faults.power_cut_at = Some(operation);
    }

    /// Lets these operations fail, counted from 0.
    pub fn fail(&self, operations: Range<usize>, failure: Failure) {
        self.state().faults.fail = Some((operations, failure));
    }

    /// Lets one of so many operations fail, by chance; with `None` no more.
    pub fn fail_one_in(&self, operations: Option<usize>) {
        self.state().faults.fail_one_in = operations;
    }

    /// Lets all reads fail, or none.
    pub fn fail_reads(&self, fail: bool) {
        self.state().faults.fail_reads = fail;
    }

    /// Lets what is written to all files together grow to this size only; a length that was only set takes no room.
    pub fn set_capacity(&self, capacity_bytes: Option<usize>) {
        self.state().faults.capacity_bytes = capacity_bytes;
    }

    /// What all files together take of the capacity.
    pub fn used_bytes(&self) -> usize {
        self.state().used_bytes()
    }

    /// Makes the syncs of this site do nothing.
    pub fn switch_off(&self, site: SyncSite) {
        self.state().faults.switched_off.insert(site);
    }

    /// What was asked of it so far.
    pub fn figures(&self) -> Figures {
        self.state().figures
    }

    /// Whether the power went.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// All files as one sees them.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let content = |(name, inode): (&String, &usize)| {
            let content = state.inodes.get(inode)?.content().to_vec();
            Some((name.clone(), content))
        };
        state.names.iter().filter_map(content).collect()
    }

    /// What is found after the power went now: a volume of its own, without faults.
    pub fn after_power_cut(&self, survivors: Survivors) -> Self {
        let state = self.state();
        let seed = match survivors {
            Survivors::Torn(seed) => seed,
            Survivors::Synced | Survivors::Written => 0,
        };
        let mut random = Random::new(seed);
        let names = match survivors {
            Survivors::Synced => state.synced_names.clone(),
            Survivors::Written => state.names.clone(),
            Survivors::Torn(_) => {
                let mut names = state.synced_names.clone();
                for change in &state.pending_names {
                    if random.one_in(2) {
                        change.apply(&mut names);
                    }
                }
                names
            }
        };
        let files = names.into_iter().filter_map(|(name, inode)| {
            let content = state.inodes.get(&inode)?.survivor(survivors, &mut random);
            Some((name, content))
        });
        Self::with(files.collect(), seed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, inode: usize) -> Arc<dyn Disk> {
        Arc::new(SimulatedFile {
            volume: self.clone(),
            inode,
        })
    }
}

impl Renamed {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        if let Some(from) = &self.from {
            names.remove(from);
        }
        if let Some((to, inode)) = &self.to {
            names.insert(to.clone(), *inode);
        }
    }
}

impl State {
    /// Counts an operation and lets it fail if it is due.
    fn begin(&mut self) -> io::Result<()> {
        let number = self.figures.operations;
        self.figures.operations += 1;
        self.dead |= self.faults.power_cut_at.is_some_and(|at| number >= at);
        self.alive()?;
        let due = match (&self.faults.fail, self.faults.fail_one_in) {
            (Some((operations, failure)), _) if operations.contains(&number) => Some(*failure),
            (_, Some(times)) if self.random.one_in(times) => Some(if self.random.one_in(2) {
                Failure::Full
            } else {
                Failure::Device
            }),
            _ => None,
        };
        match due {
            None => Ok(()),
            Some(failure) => {
                self.figures.failures += 1;
                Err(failure.into())
            }
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead {
            Err(io::Error::other("the simulated power is off"))
        } else {
            Ok(())
        }
    }

    fn inode(&self, name: &str) -> io::Result<usize> {
        let found = self.names.get(name).copied();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&mut self, change: Renamed) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    /// How much more can be written.
    fn room(&self) -> usize {
        self.faults.capacity_bytes.map_or(usize::MAX, |capacity| {
            capacity.saturating_sub(self.used_bytes())
        })
    }

    fn used_bytes(&self) -> usize {
        let inodes = self
            .names
            .values()
            .filter_map(|inode| self.inodes.get(inode));
        inodes.map(Inode::used_bytes).sum()
    }

    fn write(&mut self, inode: usize, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let mut begun = self.begin();
        let room = self.room();
        let at = self.inodes.get(&inode).map_or(0, Inode::used_bytes);
        let grows = (offset + bytes.len()).saturating_sub(at);
        let mut written = bytes.len();
        if self.dead || begun.is_err() {
            // Some of a write that fails may be there.
            written = self.random.below(bytes.len() + 1);
        } else if grows > room {
            self.figures.failures += 1;
            begun = Err(Failure::Full.into());
            written = bytes.len() - (grows - room).min(bytes.len());
        }
        self.figures.written_bytes += written as u64;
        if let Some(inode) = self.inodes.get_mut(&inode) {
            inode.write(offset, &bytes[..written]);
        }
        begun
    }

    fn sync(&mut self, inode: usize) -> io::Result<()> {
        self.figures.syncs += 1;
        let begun = self.begin();
        self.alive()?;
        if let Some(inode) = self.inodes.get_mut(&inode) {
            match begun {
                Ok(()) => inode.sync(),
                Err(_) => inode.fail_sync(&mut self.random),
            }
        }
        begun
    }
}

impl Volume for SimulatedVolume {
    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state();
        state.alive()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let mut state = self.state();
        state.begin()?;
        let inode = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(inode, Inode::default());
        state.rename(Renamed {
            from: None,
            to: Some((name.to_owned(), inode)),
        });
        Ok(self.file(inode))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let state = self.state();
        state.alive()?;
        Ok(self.file(state.inode(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        let inode = state.inode(from)?;
        state.rename(Renamed {
            from: Some(from.to_owned()),
            to: Some((to.to_owned(), inode)),
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        state.inode(name)?;
        state.rename(Renamed {
            from: Some(name.to_owned()),
            to: None,
        });
        Ok(())
    }

    fn sync_folder(&self, site: SyncSite) -> io::Result<()> {
        let mut state = self.state();
        if state.faults.switched_off.contains(&site) {
            return state.alive();
        }
        state.figures.syncs += 1;
        state.begin()?;
        state.synced_names = state.names.clone();
        state.pending_names.clear();
        Ok(())
    }

    fn sync_file(&self, file: &dyn Disk, site: SyncSite) -> io::Result<()> {
        let state = self.state();
        if state.faults.switched_off.contains(&site) {
            return state.alive();
        }
        drop(state);
        file.sync()
    }
}

impl Disk for SimulatedFile {
    fn len_bytes(&self) -> io::Result<u64> {
        let state = self.volume.state();
        state.alive()?;
        let inode = state.inodes.get(&self.inode);
        Ok(inode.map_or(0, |inode| inode.content().len() as u64))
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let state = self.volume.state();
        state.alive()?;
        if state.faults.fail_reads {
            return Err(Failure::Device.into());
        }
        let start = index(offset)?;
        let content = state.inodes.get(&self.inode).map(Inode::content);
        let found = content
            .zip(start.checked_add(bytes.len()))
            .and_then(|(content, end)| content.get(start..end));
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = index(offset)?;
        self.volume.state().write(self.inode, offset, bytes)
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        let length = index(len_bytes)?;
        let mut state = self.volume.state();
        state.begin()?;
        if let Some(inode) = state.inodes.get_mut(&self.inode) {
            inode.set_len(length);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.volume.state().sync(self.inode)
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn unlock(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! A disk in memory that loses power, tears writes and fails as a test tells it.
//!
//! Owns the difference between what was written and what was synced. Leaves
//! the choice of the moment to the test: it counts the operations of a run
//! without faults, then repeats the run once for each of them. Used by tests
//! here and, through the feature `faults`, by those of the crates above.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::Disk;

pub(crate) mod inode;

use inode::Inode;

/// What goes wrong, counted in changing operations (write, change of length, sync) from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// At this operation the power goes: it and all that follow fail.
    PowerCutAt(usize),
    /// This operation alone fails, as on a full or dying disk.
    FailAt(usize),
}

/// What of the writes that were not synced is found after a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survivors {
    /// None: the disk had all of it in its cache.
    Synced,
    /// All: the disk was quick.
    Written,
    /// Some sectors, chosen by this seed: the disk wrote in an order of its own.
    Torn(u64),
}

/// Numbers to choose by, the same for the same seed on every machine (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Numbers that follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % end as u64).unwrap_or_default()
    }

    /// Whether something happens that happens once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// A handle to a simulated disk; clones share it.
#[derive(Debug, Clone)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    file: Inode,
    operations: usize,
    fault: Option<Fault>,
    dead: bool,
    locked: bool,
}

impl SimulatedDisk {
    /// A disk that holds `content`, safely stored, and meets `fault`.
    pub fn new(content: Vec<u8>, fault: Fault) -> Self {
        let state = State {
            file: Inode::safe(content),
            fault: Some(fault),
            ..State::default()
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// How many changing operations were asked for so far.
    pub fn operations(&self) -> usize {
        self.state().operations
    }

    /// What is found on the disk after the power went now.
    pub fn after_power_cut(&self, survivors: Survivors) -> Vec<u8> {
        let seed = match survivors {
            Survivors::Torn(seed) => seed,
            Survivors::Synced | Survivors::Written => 0,
        };
        self.state()
            .file
            .survivor(survivors, &mut Random::new(seed))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    /// Counts an operation and lets it fail if it is due.
    fn begin(&mut self) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        match self.fault {
            Some(Fault::PowerCutAt(at)) if number >= at => self.dead = true,
            Some(Fault::FailAt(at)) if number == at => {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            _ => {}
        }
        self.alive()
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead {
            Err(io::Error::other("the simulated power is off"))
        } else {
            Ok(())
        }
    }
}

impl Disk for SimulatedDisk {
    fn len_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        state.alive()?;
        Ok(state.file.content().len() as u64)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        state.alive()?;
        let start = index(offset)?;
        let found = start
            .checked_add(bytes.len())
            .and_then(|end| state.file.content().get(start..end));
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = index(offset)?;
        let mut state = self.state();
        state.begin()?;
        state.file.write(offset, bytes);
        Ok(())
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        let length = index(len_bytes)?;
        let mut state = self.state();
        state.begin()?;
        state.file.set_len(length);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        state.file.sync();
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(!std::mem::replace(&mut self.state().locked, true))
    }

    fn unlock(&self) -> io::Result<()> {
        self.state().locked = false;
        Ok(())
    }
}

pub(crate) fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
}

#[cfg(test)]
mod tests {
    use super::inode::SECTOR_BYTES;
    use super::*;

    fn written(fault: Fault) -> (SimulatedDisk, io::Result<()>) {
        let disk = SimulatedDisk::new(vec![b'.'; 4], fault);
        let run = || {
            disk.write_at(0, b"a")?;
            disk.sync()?;
            disk.write_at(1, b"b")?;
            disk.set_len(6)
        };
        let outcome = run();
        (disk, outcome)
    }

    fn check(fault: Fault, survivors: Survivors, expected: &[u8]) {
        let (disk, _) = written(fault);
        let found = disk.after_power_cut(survivors);
        assert_eq!(found, expected, "{fault:?} {survivors:?}");
    }

    #[test]
    fn only_what_was_synced_is_sure_to_survive() {
        check(Fault::None, Survivors::Synced, b"a...");
        check(Fault::None, Survivors::Written, b"ab..\0\0");
        check(Fault::PowerCutAt(1), Survivors::Synced, b"....");
        check(Fault::PowerCutAt(1), Survivors::Written, b"a...");
        check(Fault::PowerCutAt(2), Survivors::Written, b"a...");
    }

    #[test]
    fn a_torn_disk_keeps_some_of_the_unsynced_sectors() {
        let disk = SimulatedDisk::new(Vec::new(), Fault::None);
        disk.write_at(0, &[1; 100 * SECTOR_BYTES]).unwrap();
        for seed in 0..20 {
            let found = disk.after_power_cut(Survivors::Torn(seed));
            let kept = found
                .chunks(SECTOR_BYTES)
                .filter(|sector| sector[0] == 1)
                .count();
            assert!((1..100).contains(&kept), "{kept}");
            assert_eq!(found, disk.after_power_cut(Survivors::Torn(seed)));
        }
    }

    #[test]
    fn after_a_power_cut_nothing_works_and_after_a_failure_the_rest_does() {
        let (disk, outcome) = written(Fault::PowerCutAt(2));
        outcome.unwrap_err();
        disk.len_bytes().unwrap_err();
        let (disk, outcome) = written(Fault::FailAt(2));
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.sync().unwrap();
        assert_eq!(disk.after_power_cut(Survivors::Synced), b"a...");
    }
}

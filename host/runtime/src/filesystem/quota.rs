//! How much a module keeps in `/data`: each file and folder counts in blocks of 4 KiB, at least one.
//!
//! Growth is charged before it happens. What was deleted is noticed by counting the folder anew,
//! once a charge would fail; files that are deleted but still open count until they are closed.
//! Guests hear of it by an error, and whoever looks after them by a note: a C library makes an input/output error
//! of any failed write to a stream.
//! What cannot be counted, such as folders nested deeper than a path is long, leaves nothing to be written.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use cap_std::fs::Dir;

/// The unit in bytes that files are counted in.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// The quota of one module's `/data`.
pub(crate) struct DataQuota {
    folder: Dir,
    limit_bytes: u64,
    note: Note,
    state: Mutex<State>,
}

/// Takes a line for the module's log.
pub(crate) type Note = Box<dyn Fn(String) + Send + Sync>;

#[derive(Debug, Default)]
struct State {
    used_bytes: u64,
    /// Something was deleted or cut since the last count.
    stale: bool,
    /// It was noted that there is no room, and there was none since.
    noted: bool,
    open: Vec<Weak<File>>,
}

/// The quota is used up.
#[derive(Debug)]
pub(crate) struct QuotaExceeded;

impl DataQuota {
    /// Counts what is there. More than the limit is accepted then, but nothing on top.
    pub(crate) fn new(folder: Dir, limit_bytes: u64, note: Note) -> std::io::Result<Arc<Self>> {
        let quota = Self {
            folder,
            limit_bytes,
            note,
            state: Mutex::default(),
        };
        let used_bytes = quota.count(&[])?;
        quota.lock().used_bytes = used_bytes;
        Ok(Arc::new(quota))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Charges one file or folder to be made.
    pub(crate) fn charge_entry(&self) -> Result<(), QuotaExceeded> {
        self.charge(BLOCK_BYTES)
    }

    /// Charges the growth of `file` to `size_bytes`, if it is growth.
    pub(crate) fn charge_growth(&self, file: &File, size_bytes: u64) -> Result<(), QuotaExceeded> {
        let present = file.metadata().map(|metadata| metadata.len()).unwrap_or(0);
        let growth = blocks(size_bytes).saturating_sub(blocks(present));
        if growth == 0 {
            Ok(())
        } else {
            self.charge(growth)
        }
    }

    /// Space may have come back.
    pub(crate) fn freed(&self) {
        self.lock().stale = true;
    }

    /// Remembers an open file, to count it when it is deleted before it is closed.
    pub(crate) fn opened(&self, file: &Arc<File>) {
        let mut state = self.lock();
        state.open.retain(|file| file.strong_count() > 0);
        state.open.push(Arc::downgrade(file));
    }

    fn charge(&self, bytes: u64) -> Result<(), QuotaExceeded> {
        let mut state = self.lock();
        let fits = |used: u64| used.saturating_add(bytes) <= self.limit_bytes;
        if !fits(state.used_bytes) && state.stale {
            let open: Vec<_> = state.open.iter().filter_map(Weak::upgrade).collect();
            if let Ok(used_bytes) = self.count(&open) {
                state.noted &= used_bytes >= state.used_bytes;
                state.used_bytes = used_bytes;
                state.stale = open.iter().any(is_deleted);
            }
        }
        if !fits(state.used_bytes) {
            if !std::mem::replace(&mut state.noted, true) {
                (self.note)(format!(
                    "`/data` is full: {} of {} bytes are used, and {bytes} more were wanted",
                    state.used_bytes, self.limit_bytes
                ));
            }
            return Err(QuotaExceeded);
        }
        state.used_bytes += bytes;
        Ok(())
    }

    /// Walks the folder; the number of entries is bounded by the quota itself.
    fn count(&self, open: &[Arc<File>]) -> std::io::Result<u64> {
        let deleted = open.iter().filter(|file| is_deleted(file));
        let mut used_bytes: u64 = deleted
            .filter_map(|file| Some(blocks(file.metadata().ok()?.len())))
            .sum();
        let mut folders = vec![PathBuf::from(".")];
        while let Some(folder) = folders.pop() {
            let entries = match self.folder.read_dir(&folder) {
                Ok(entries) => entries,
                Err(err) if folders.is_empty() && folder == Path::new(".") => return Err(err),
                // Counted as full, or it would be a place to hide in.
                Err(_) => return Ok(u64::MAX),
            };
            for entry in entries {
                let Ok((entry, metadata)) =
                    entry.and_then(|entry| entry.metadata().map(|metadata| (entry, metadata)))
                else {
                    continue;
                };
                used_bytes = used_bytes.saturating_add(blocks(metadata.len()));
                if metadata.is_dir() {
                    folders.push(folder.join(entry.file_name()));
                }
            }
        }
        Ok(used_bytes)
    }
}

fn is_deleted(file: &Arc<File>) -> bool {
    rustix::fs::fstat(file.as_fd()).is_ok_and(|stat| stat.st_nlink == 0)
}

fn blocks(size_bytes: u64) -> u64 {
    size_bytes
        .div_ceil(BLOCK_BYTES)
        .max(1)
        .saturating_mul(BLOCK_BYTES)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use cap_std::ambient_authority;

    use super::*;

    fn folder() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).expect("it opens");
        (temp, dir)
    }

    fn quota(dir: Dir, limit_bytes: u64) -> Arc<DataQuota> {
        DataQuota::new(dir, limit_bytes, Box::new(drop)).expect("counted")
    }

    #[test]
    fn that_there_is_no_room_is_noted_once_and_again_after_there_was_some() {
        let (temp, dir) = folder();
        let notes = Arc::new(Mutex::new(Vec::new()));
        let note = {
            let notes = Arc::clone(&notes);
            Box::new(move |text| notes.lock().expect("not poisoned").push(text))
        };
        let quota = DataQuota::new(dir, BLOCK_BYTES, note).expect("counted");
        let path = temp.path().join("a");
        for _ in 0..2 {
            quota.charge_entry().expect("fits");
            std::fs::write(&path, [1]).expect("written");
            for _ in 0..3 {
                assert!(quota.charge_entry().is_err());
            }
            std::fs::remove_file(&path).expect("removed");
            quota.freed();
        }
        let notes = notes.lock().expect("not poisoned");
        let expected = "`/data` is full: 4096 of 4096 bytes are used, and 4096 more were wanted";
        assert_eq!(*notes, [expected, expected]);
    }

    #[test]
    fn what_is_there_counts_in_blocks() {
        let (temp, dir) = folder();
        std::fs::write(temp.path().join("a"), [0; 5000]).expect("written");
        std::fs::create_dir(temp.path().join("d")).expect("made");
        std::fs::write(temp.path().join("d/b"), []).expect("written");
        let quota = quota(dir, 5 * BLOCK_BYTES);
        assert_eq!(quota.lock().used_bytes, 4 * BLOCK_BYTES);
        quota.charge_entry().expect("one block is left");
        assert!(quota.charge_entry().is_err());
    }

    #[test]
    fn deleting_gives_space_back_but_not_while_the_file_is_open() {
        let (temp, dir) = folder();
        let quota = quota(dir, 2 * BLOCK_BYTES);
        let path = temp.path().join("a");
        quota.charge_entry().expect("fits");
        let mut file = File::create(&path).expect("made");
        quota.charge_growth(&file, 8000).expect("fits");
        file.write_all(&[0; 8000]).expect("written");
        let file = Arc::new(file);
        quota.opened(&file);
        std::fs::remove_file(&path).expect("deleted");
        quota.freed();
        assert!(quota.charge_entry().is_err());
        drop(file);
        quota.charge_entry().expect("the space is back");
    }

    #[test]
    fn a_far_offset_is_charged_as_if_it_were_filled() {
        let (temp, dir) = folder();
        let quota = quota(dir, 1 << 20);
        let file = File::create(temp.path().join("sparse")).expect("made");
        assert!(quota.charge_growth(&file, 1 << 40).is_err());
        assert!(quota.charge_growth(&file, u64::MAX).is_err());
    }

    #[test]
    fn entries_that_are_no_files_count_a_block_and_links_lead_nowhere() {
        let (temp, dir) = folder();
        let big = temp.path().join("big");
        std::fs::write(&big, [0; 3 * BLOCK_BYTES as usize]).expect("written");
        std::fs::hard_link(&big, temp.path().join("hard")).expect("linked");
        std::os::unix::fs::symlink("/usr", temp.path().join("out")).expect("linked");
        std::os::unix::fs::symlink(".", temp.path().join("round")).expect("linked");
        let quota = quota(dir, 0);
        // A hard link counts as a file of its own: which of the names goes first is not known.
        assert_eq!(quota.lock().used_bytes, (3 + 3 + 1 + 1) * BLOCK_BYTES);
    }

    #[test]
    fn a_quota_of_nothing_lets_nothing_be_made() {
        let (_temp, dir) = folder();
        let quota = quota(dir, 0);
        assert!(quota.charge_entry().is_err());
        quota.freed();
        assert!(quota.charge_entry().is_err());
    }

    #[test]
    fn folders_nested_deeper_than_a_path_is_long_leave_nothing_to_be_written() {
        let (temp, dir) = folder();
        let name = "n".repeat(200);
        let mut deepest = dir.try_clone().expect("a handle");
        for _ in 0..30 {
            deepest.create_dir(&name).expect("made");
            deepest = deepest.open_dir(&name).expect("opened");
        }
        let quota = quota(dir.try_clone().expect("a handle"), 1 << 30);
        assert!(quota.charge_entry().is_err());
        // Once they are gone there is room again.
        dir.remove_dir_all(&name).expect("removed");
        quota.freed();
        quota.charge_entry().expect("there is room");
        drop(temp);
    }

    #[test]
    fn a_file_that_shrinks_and_grows_within_its_blocks_costs_nothing() {
        let (temp, dir) = folder();
        let quota = quota(dir, BLOCK_BYTES);
        quota.charge_entry().expect("fits");
        let file = File::create(temp.path().join("a")).expect("made");
        quota.charge_growth(&file, 1).expect("within its block");
        quota
            .charge_growth(&file, BLOCK_BYTES)
            .expect("within its block");
        quota.charge_growth(&file, 0).expect("no growth");
        assert!(quota.charge_growth(&file, BLOCK_BYTES + 1).is_err());
    }
}

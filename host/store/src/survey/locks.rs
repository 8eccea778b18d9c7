//! Who holds the lock of a data folder, read from the kernel's table and not by trying to take it.
//!
//! Trying would keep a process from starting that comes at the same moment.

use std::fs;

use cap_std::fs::{Dir, MetadataExt as _};

use super::Holder;
use crate::folder::lock::{self, LOCK_FILE};

/// The kernel's table of file locks: proc_locks(5).
const TABLE: &str = "/proc/locks";

/// Who holds the lock file in `dir`.
pub(super) fn holder(dir: &Dir) -> Holder {
    let Ok(metadata) = dir.metadata(LOCK_FILE) else {
        return Holder::Nobody;
    };
    let Ok(table) = fs::read_to_string(TABLE) else {
        return Holder::Unknown;
    };
    match holder_in(&table, metadata.ino()) {
        None => Holder::Nobody,
        Some(Some(pid)) => Holder::Process(Some(pid)),
        // The kernel gives 0 for a process of another container; the file has the number that it gave itself.
        Some(None) => Holder::Process(
            dir.open(LOCK_FILE)
                .ok()
                .and_then(|mut it| lock::read_pid(&mut it)),
        ),
    }
}

/// The process that holds a `flock` on the file with this inode, `Some(None)` where the table does not name it.
///
/// The file system's number is not compared: for some of them the table has another than the file's metadata.
fn holder_in(table: &str, inode: u64) -> Option<Option<u32>> {
    table.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, pid) = (words.next()?, words.nth(2)?);
        let of_file = words.next()?.rsplit(':').next()?.parse() == Ok(inode);
        (kind == "FLOCK" && of_file).then(|| pid.parse().ok().filter(|pid| *pid > 0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found_by_the_inode() {
        let table = "\
1: POSIX  ADVISORY  WRITE 700 fe:00:42 0 EOF
2: FLOCK  ADVISORY  WRITE 701 fe:00:421 0 EOF
3: FLOCK  ADVISORY  WRITE 702 fe:00:42 0 EOF
3: -> FLOCK  ADVISORY  WRITE 703 fe:00:42 0 EOF
4: FLOCK  ADVISORY  WRITE 0 fe:00:43 0 EOF
5: odd
";
        assert_eq!(holder_in(table, 42), Some(Some(702)));
        assert_eq!(holder_in(table, 43), Some(None));
        assert_eq!(holder_in(table, 44), None);
        assert_eq!(holder_in("", 42), None);
    }
}

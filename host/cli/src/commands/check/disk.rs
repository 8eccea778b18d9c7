//! Space and inodes on the disk of the data folder.

use super::facts::Space;
use super::verdict::Verdict;
use crate::output::human;

/// Below this the next write may fail.
const FREE_MIN_BYTES: u64 = 16 << 20;
/// Below this it is time to look: compiled code and `/data` of the modules take such amounts.
const FREE_LOW_BYTES: u64 = 128 << 20;
/// Below this the next file may not be made.
const INODES_MIN: u64 = 64;
/// Below this it is time to look.
const INODES_LOW: u64 = 1024;

/// Judges what is free.
pub(super) fn judge(space: Option<&Space>) -> Verdict {
    let Some(space) = space else {
        return Verdict::skipped("no data folder is named and none is in use");
    };
    let free = human::size(space.free_bytes);
    let hint = "make room on that disk, or move the data folder to another one";
    if space.is_read_only {
        return Verdict::error("the disk of the data folder is mounted read-only")
            .hint("mount it for writing: a device keeps twins, queues and logs there");
    }
    // Some file systems have no fixed number of inodes and tell of none.
    let has_inodes = space.inodes > 0;
    if space.free_bytes < FREE_MIN_BYTES {
        return Verdict::error(format!("{free} are free")).hint(hint);
    }
    if has_inodes && space.free_inodes < INODES_MIN {
        return Verdict::error(format!("{} inodes are free", space.free_inodes)).hint(hint);
    }
    if space.free_bytes < FREE_LOW_BYTES {
        return Verdict::warning(format!("{free} are free")).hint(hint);
    }
    if has_inodes && space.free_inodes < INODES_LOW {
        return Verdict::warning(format!("{} inodes are free", space.free_inodes)).hint(hint);
    }
    match has_inodes {
        true => Verdict::ok(format!("{free} and {} inodes are free", space.free_inodes)),
        false => Verdict::ok(format!("{free} are free")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Grade;
    use super::*;

    fn check(change: impl FnOnce(&mut Space), grade: Grade, part: &str) {
        let mut space = Space {
            free_bytes: 1 << 30,
            inodes: 100_000,
            free_inodes: 50_000,
            is_read_only: false,
        };
        change(&mut space);
        let verdict = judge(Some(&space));
        assert_eq!(verdict.grade, grade, "{verdict:?}");
        assert!(verdict.summary.contains(part), "{verdict:?}");
    }

    #[test]
    fn there_is_room_for_bytes_and_files() {
        check(|_| {}, Grade::Ok, "1.00 GiB and 50000 inodes");
        check(
            |it| (it.inodes, it.free_inodes) = (0, 0),
            Grade::Ok,
            "1.00 GiB are free",
        );
        check(|it| it.free_bytes = 100 << 20, Grade::Warning, "100 MiB");
        check(|it| it.free_bytes = 1 << 20, Grade::Error, "1.00 MiB");
        check(|it| it.free_inodes = 1000, Grade::Warning, "1000 inodes");
        check(|it| it.free_inodes = 3, Grade::Error, "3 inodes");
        check(|it| it.is_read_only = true, Grade::Error, "read-only");
        assert_eq!(judge(None).grade, Grade::Skipped);
    }
}

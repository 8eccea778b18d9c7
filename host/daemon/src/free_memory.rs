//! The memory that a process can still get: what the machine has free, or what is left of its control group.
//!
//! Read from `/proc` and `/sys`; what cannot be read is left out. Used by the agent before it starts modules, and by the
//! verb `check`.

use std::fs;
use std::path::{Path, PathBuf};

/// The memory that a process can still get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeMemory {
    /// Bytes.
    pub available_bytes: u64,
    /// Whether a control group says so, and not the machine.
    pub is_limited: bool,
}

/// The memory that a process can still get, this one if none is named.
pub fn of(pid: Option<u32>) -> Option<FreeMemory> {
    let machine = available_in(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let groups = fs::read_to_string(of_process(pid, "cgroup")).unwrap_or_default();
    let group = group_folders(&groups)
        .iter()
        .filter_map(|folder| left_in(folder))
        .min();
    Some(match group {
        Some(left) if left < machine => FreeMemory {
            available_bytes: left,
            is_limited: true,
        },
        _ => FreeMemory {
            available_bytes: machine,
            is_limited: false,
        },
    })
}

/// A file that the kernel has of a process, this one if none is named.
pub fn of_process(pid: Option<u32>, file: &str) -> PathBuf {
    match pid {
        Some(pid) => PathBuf::from(format!("/proc/{pid}/{file}")),
        None => Path::new("/proc/self").join(file),
    }
}

/// `MemAvailable` of `/proc/meminfo`, which is in units of 1024 bytes.
fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes.saturating_mul(1024))
}

/// The folders of the control groups that limit memory, from `/proc/<pid>/cgroup`: of version 2, and of version 1.
fn group_folders(groups: &str) -> Vec<PathBuf> {
    let folder = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        match controllers {
            "" => Some(Path::new("/sys/fs/cgroup").join(path)),
            _ if controllers.split(',').any(|it| it == "memory") => {
                Some(Path::new("/sys/fs/cgroup/memory").join(path))
            }
            _ => None,
        }
    };
    groups.lines().filter_map(folder).collect()
}

/// What a control group may still take; `None` without a limit.
fn left_in(folder: &Path) -> Option<u64> {
    let number = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let limit = number("memory.max").or_else(|| number("memory.limit_in_bytes"))?;
    let used = number("memory.current").or_else(|| number("memory.usage_in_bytes"))?;
    // Pages of files that nobody used lately are counted, and given up at once when memory is wanted.
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let idle = ["total_inactive_file ", "inactive_file "];
    let idle = idle.iter().find_map(|name| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse::<u64>().ok()
    });
    Some(limit.saturating_sub(used.saturating_sub(idle.unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_read_in_bytes() {
        let text = "MemTotal:       24684084 kB\nMemAvailable:   1024 kB\n";
        assert_eq!(available_in(text), Some(1 << 20));
        assert_eq!(available_in("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn both_kinds_of_control_groups_are_found() {
        let text = "4:memory:/a/b\n3:cpu,cpuacct:/\n0::/c\n";
        let expected = [
            PathBuf::from("/sys/fs/cgroup/memory/a/b"),
            "/sys/fs/cgroup/c".into(),
        ];
        assert_eq!(group_folders(text), expected);
    }

    #[test]
    fn a_groups_limit_is_what_is_left_of_it() {
        let folder = tempfile::TempDir::new().unwrap();
        assert_eq!(left_in(folder.path()), None);
        fs::write(folder.path().join("memory.max"), "max\n").unwrap();
        fs::write(folder.path().join("memory.current"), "100\n").unwrap();
        assert_eq!(left_in(folder.path()), None);
        fs::write(folder.path().join("memory.max"), "150\n").unwrap();
        assert_eq!(left_in(folder.path()), Some(50));
        let stat = "anon 10\ninactive_file 30\nactive_file 5\n";
        fs::write(folder.path().join("memory.stat"), stat).unwrap();
        assert_eq!(left_in(folder.path()), Some(80));
    }
}

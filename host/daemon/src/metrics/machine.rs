//! What the machine says of itself: its disk, its memory, how long it has been on. What cannot be read is left out.

use std::fs;
use std::path::Path;

/// A disk.
pub(super) struct Disk {
    pub(super) free_bytes: f64,
    pub(super) total_bytes: f64,
}

/// The memory of the machine.
pub(super) struct Memory {
    pub(super) used_bytes: f64,
    pub(super) total_bytes: f64,
}

/// The disk on which a folder lies.
pub(super) fn disk(folder: &Path) -> Option<Disk> {
    let found = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks as f64 * found.f_frsize as f64;
    Some(Disk {
        free_bytes: bytes(found.f_bavail),
        total_bytes: bytes(found.f_blocks),
    })
}

/// How long the machine has been on.
pub(super) fn uptime_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    text.split(' ').next()?.parse().ok()
}

/// What is used of the machine's memory.
pub(super) fn memory() -> Option<Memory> {
    memory_of(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// What this process has in memory.
pub(super) fn resident_bytes() -> Option<f64> {
    kibibytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

fn memory_of(meminfo: &str) -> Option<Memory> {
    let total_bytes = kibibytes(meminfo, "MemTotal:")?;
    let free_bytes = kibibytes(meminfo, "MemAvailable:")?;
    Some(Memory {
        used_bytes: (total_bytes - free_bytes).max(0.0),
        total_bytes,
    })
}

/// A line `NAME  5 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_is_not_available() {
        let memory =
            memory_of("MemTotal:   100 kB\nMemFree: 1 kB\nMemAvailable:  40 kB\n").unwrap();
        assert_eq!(
            (memory.used_bytes, memory.total_bytes),
            (61_440.0, 102_400.0)
        );
        assert!(memory_of("MemTotal: 100 kB\n").is_none());
        assert!(memory_of("MemTotal: many kB\nMemAvailable: 1 kB\n").is_none());
    }
}

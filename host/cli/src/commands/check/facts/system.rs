//! Facts about this machine: what the kernel tells in `/proc`, `/sys` and by calls.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use rustix::fs::{Access, StatVfsMountFlags};
use wasm_edge_daemon::free_memory::of_process;

use super::{Clock, Homes, Kernel, Limits, Space};
use crate::live;

/// There when systemd's time service has set the clock since the start of the machine.
const TIMESYNCD_MARK: &str = "/run/systemd/timesync/synchronized";

/// Where running devices are announced and what the environment says.
pub(super) fn homes() -> Homes {
    let path = |name| std::env::var_os(name).map(PathBuf::from);
    let live = live::Registry::of_user().map(|registry| registry.folder().to_owned());
    Homes {
        xdg_state_home: path("XDG_STATE_HOME"),
        xdg_data_home: path("XDG_DATA_HOME"),
        live_is_writable: live.as_deref().and_then(existing).is_some_and(is_writable),
        live,
    }
}

/// The time, and whether it is kept.
pub(super) fn clock() -> Clock {
    let built = env!("WASM_EDGE_BUILD_TIME").parse().unwrap_or_default();
    Clock {
        now: Timestamp::now(),
        built: Timestamp::from_second(built).unwrap_or_default(),
        synchronised: is_synchronised(),
    }
}

/// The kernel tells by a call that no safe interface offers, so systemd is asked, where it runs.
fn is_synchronised() -> Option<bool> {
    if Path::new(TIMESYNCD_MARK).exists() {
        return Some(true);
    }
    if !Path::new("/run/systemd/system").exists() {
        return None;
    }
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    match asked.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

/// The disk of a folder, or of the one in which it will be made.
pub(super) fn space(folder: &Path) -> Option<Space> {
    let found = rustix::fs::statvfs(existing(folder)?).ok()?;
    Some(Space {
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        inodes: found.f_files,
        free_inodes: found.f_favail,
        is_read_only: found.f_flag.contains(StatVfsMountFlags::RDONLY),
    })
}

/// Whether this user may make files in a folder.
pub(super) fn is_writable(folder: &Path) -> bool {
    rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// The limits of a process.
pub(super) fn limits(pid: Option<u32>) -> Limits {
    let text = fs::read_to_string(of_process(pid, "limits")).unwrap_or_default();
    Limits {
        address_space_bytes: limit_in(&text, "Max address space", Bound::Soft),
        open_files: limit_in(&text, "Max open files", Bound::Hard),
    }
}

/// The kernel and its settings.
pub(super) fn kernel() -> Kernel {
    let uname = rustix::system::uname();
    let setting = |name: &str| {
        let text = fs::read_to_string(Path::new("/proc/sys/vm").join(name)).ok()?;
        text.trim().parse().ok()
    };
    Kernel {
        release: uname.release().to_string_lossy().into_owned(),
        machine: uname.machine().to_string_lossy().into_owned(),
        has_proc: Path::new("/proc/self/fd").exists(),
        overcommit: setting("overcommit_memory"),
        mappings_max: setting("max_map_count"),
    }
}

/// Which of the two limits of a resource counts.
#[derive(Clone, Copy)]
enum Bound {
    /// The one that holds.
    Soft,
    /// The one that a process can raise its own to.
    Hard,
}

/// The folder itself or the nearest one above it that is there.
fn existing(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.exists())
}

/// A limit of `/proc/<pid>/limits`; `None` for `unlimited` and where the file does not tell.
fn limit_in(limits: &str, name: &str, bound: Bound) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let mut values = line.split_whitespace();
    match bound {
        Bound::Soft => values.next()?.parse().ok(),
        Bound::Hard => values.nth(1)?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_from_their_line() {
        let text = "\
Limit                     Soft Limit           Hard Limit           Units
Max address space         1073741824           unlimited            bytes
Max open files            1024                 524288               files
";
        assert_eq!(
            limit_in(text, "Max address space", Bound::Soft),
            Some(1 << 30)
        );
        assert_eq!(limit_in(text, "Max address space", Bound::Hard), None);
        assert_eq!(limit_in(text, "Max open files", Bound::Hard), Some(524_288));
        assert_eq!(limit_in("", "Max open files", Bound::Hard), None);
    }
}

//! The clocks of the machine, read from the files in which Linux and its time services show them.
//!
//! What the readings mean is `elapsed`'s.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::journal::elapsed::ClockReading;

/// Reads the clocks of a machine; tests have one of their own.
pub trait MachineClock: std::fmt::Debug + Send + Sync + 'static {
    /// What they show now.
    fn read(&self) -> ClockReading;
}

/// The clocks of a Linux machine.
///
/// The boot id is that of the kernel, the time since boot is `/proc/uptime`, which counts suspended time and is not
/// moved by anybody who sets the clock. The wall clock counts as synchronised when a time service says so by
/// the file `/run/systemd/timesync/synchronized`: systemd-timesyncd makes it, others can be told to. Where it is not,
/// the time between two boots does not count, and messages live longer over a reboot, never shorter.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinuxClock;

/// Where time services say that the wall clock is set. The kernel knows it too, and tells by a system call
/// (`adjtimex`) for which no library in use here has a safe function.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

impl MachineClock for LinuxClock {
    fn read(&self) -> ClockReading {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let uptime = std::fs::read_to_string("/proc/uptime");
        let boot_id = boot_id.ok().and_then(|text| parse_boot_id(&text));
        let since_boot = uptime.ok().and_then(|text| parse_uptime(&text));
        let wall = wasm_edge_clock::wall_now().duration_since(UNIX_EPOCH);
        ClockReading {
            boot_id: boot_id.unwrap_or_default(),
            since_boot: since_boot.unwrap_or_default(),
            wall: wall.unwrap_or_default(),
            is_synchronised: Path::new(SYNCHRONISED).exists(),
        }
    }
}

/// 32 hexadecimal digits with hyphens between.
fn parse_boot_id(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
    if digits.len() != 32 {
        return None;
    }
    let number = u128::from_str_radix(&digits, 16).ok()?;
    Some(number.to_be_bytes())
}

/// Seconds with two decimals, and another number behind them.
fn parse_uptime(text: &str) -> Option<Duration> {
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    let seconds = Duration::from_secs(seconds.parse().ok()?);
    let hundredths: u64 = hundredths.parse().ok().filter(|_| hundredths.len() == 2)?;
    Some(seconds + Duration::from_millis(10 * hundredths))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_id_and_uptime_are_read_as_linux_writes_them() {
        let id = parse_boot_id("00010203-0405-0607-0809-0a0b0c0d0e0f\n");
        assert_eq!(id.map(|id| id[15]), Some(15));
        assert_eq!(parse_boot_id("0001"), None);
        let uptime = parse_uptime("350735.47 234388.90\n");
        assert_eq!(uptime, Some(Duration::from_millis(350_735_470)));
        assert_eq!(parse_uptime("nothing"), None);
    }

    #[test]
    fn the_machine_has_a_boot_that_goes_on() {
        let (first, second) = (LinuxClock.read(), LinuxClock.read());
        assert_eq!(first.boot_id, second.boot_id);
        assert_ne!(first.boot_id, [0; 16]);
        assert!(second.since_boot >= first.since_boot && first.since_boot > Duration::ZERO);
    }
}

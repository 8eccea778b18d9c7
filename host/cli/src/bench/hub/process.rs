//! A process as the kernel shows it: what it holds of memory and takes of processors.

use std::time::Duration;

use anyhow::Context;

/// The kernel counts processor time for user space in hundredths of a second on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// A process by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process(pub(super) u32);

impl Process {
    /// Memory that is its own and lies in no file, in KiB.
    pub(super) fn anonymous_kib(self) -> anyhow::Result<f64> {
        let text = self.read("smaps_rollup")?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("Anonymous:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        number
            .and_then(|number| number.trim().parse().ok())
            .with_context(|| format!("process {} shows no anonymous memory", self.0))
    }

    /// What it has taken of the processors since its start, in user space and in the kernel.
    pub(super) fn processor_time(self) -> anyhow::Result<Duration> {
        let text = self.read("stat")?;
        ticks(&text)
            .map(|ticks| TICK * ticks)
            .with_context(|| format!("process {} shows no processor time", self.0))
    }

    fn read(self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.0);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))
    }
}

/// `utime` and `stime` of `/proc/PID/stat` (proc(5)); the name before them is in brackets and may hold anything.
fn ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let check = |stat: &str, expected| assert_eq!(ticks(stat), expected, "{stat}");
        check("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 40 0 0 20", Some(290));
        check("7 (a) S 1", None);
        check("", None);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let process = Process(std::process::id());
        assert!(process.anonymous_kib().unwrap() > 0.0);
        process.processor_time().unwrap();
    }
}

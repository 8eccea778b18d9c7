//! What the process takes, by the names that Prometheus clients have agreed on.
//!
//! Owns reading `/proc/self`; a number that cannot be read is left out.
//! Read at each scrape.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Clock ticks per second in `/proc`, the same on all Linux systems that user programs see.
const TICKS_PER_SECOND: f64 = 100.0;

/// Gives the metrics of this process.
#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: Option<f64>| match value {
            Some(value) => {
                let gauge = ConstGauge::new(value);
                let kind = gauge.metric_type();
                gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)
            }
            None => Ok(()),
        };
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            resident_bytes(&status),
        )?;
        gauge(
            "process_open_fds",
            "Number of open file descriptors.",
            open_files(),
        )?;
        gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            started(&stat, &fs::read_to_string("/proc/stat").unwrap_or_default()),
        )?;
        let Some(seconds) = cpu_seconds(&stat) else {
            return Ok(());
        };
        let counter = ConstCounter::new(seconds);
        let encoder = encoder.encode_descriptor(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds.",
            None,
            counter.metric_type(),
        )?;
        counter.encode(encoder)
    }
}

/// Of `/proc/<pid>/status`.
fn resident_bytes(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn open_files() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(count as f64)
}

/// The fields of `/proc/<pid>/stat` behind the name, which is in parentheses and may hold anything.
fn fields(stat: &str) -> Option<Vec<f64>> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let numbers = rest.split_whitespace().skip(1);
    Some(
        numbers
            .map(|field| field.parse().unwrap_or_default())
            .collect(),
    )
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    // proc(5): utime and stime are fields 14 and 15, and the first one here is field 4.
    let fields = fields(stat)?;
    Some((fields.get(10)? + fields.get(11)?) / TICKS_PER_SECOND)
}

fn started(stat: &str, system: &str) -> Option<f64> {
    let boot = system
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    let boot: f64 = boot.trim().parse().ok()?;
    // Field 22: ticks between boot and start.
    Some(boot + fields(stat)?.get(18)? / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "42 (a (name) ) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 1000 8192 200";

    #[test]
    fn numbers_of_proc_are_read() {
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n";
        assert_eq!(resident_bytes(status), Some(2_097_152.0));
        assert_eq!(cpu_seconds(STAT), Some(3.0));
        assert_eq!(
            started(STAT, "cpu 1 2\nbtime 1700000000\n"),
            Some(1_700_000_010.0)
        );
    }

    #[test]
    fn what_is_not_understood_is_left_out() {
        assert_eq!(resident_bytes("VmRSS: many"), None);
        assert_eq!(cpu_seconds("42 (x"), None);
        assert_eq!(started(STAT, ""), None);
    }
}

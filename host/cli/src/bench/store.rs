//! Rows of the message store by itself: messages in, each a commit of its own that is synced, so many under way at a
//! time; then all of them out again.
//!
//! The store lies where the system has temporary files (`TMPDIR`), which is to be on a disk.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use wasm_edge_daemon::folder::DataFolder;
use wasm_edge_daemon::measure::MessageStore;
use wasm_edge_model::identity::DeviceId;

use super::Effort;
use super::report::Figure;
use super::rows::Row;

/// Bytes of a body; what other stores are measured with too.
const BODY_BYTES: usize = 256;

/// How many messages are under way at a time, and into how many of the usual messages the load is divided then: one
/// at a time takes a sync for each.
const GROUPS: [(usize, u64); 3] = [(1, 100), (32, 10), (256, 2)];

/// What was measured for all rows of the store.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<Sample>);

/// One load, in and out.
#[derive(Debug)]
struct Sample {
    at_a_time: usize,
    stored_per_s: f64,
    drained_per_s: f64,
    written_bytes: f64,
    /// Of a lone message, microseconds.
    p50_us: f64,
    p99_us: f64,
}

impl Samples {
    /// Puts the load on a store of its own for each sample.
    pub(super) fn take(effort: Effort) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let mut samples = Vec::new();
        for _ in 0..effort.repetitions {
            for (at_a_time, part) in GROUPS {
                let messages = (effort.messages / part).max(at_a_time as u64);
                samples.push(runtime.block_on(sample(at_a_time, messages))?);
            }
        }
        Ok(Self(samples))
    }

    /// What a row came to.
    pub(super) fn figure(&self, row: &'static Row) -> anyhow::Result<Figure> {
        let (kind, of) = row.id.split_once('-').context("no such row")?;
        let at_a_time = of.parse().unwrap_or(1);
        let value = |sample: &Sample| match (kind, of) {
            (_, "p50") => sample.p50_us,
            (_, "p99") => sample.p99_us,
            ("drain", _) => sample.drained_per_s,
            ("written", _) => sample.written_bytes,
            _ => sample.stored_per_s,
        };
        let samples = self.0.iter().filter(|sample| sample.at_a_time == at_a_time);
        Ok(Figure::new(row, samples.map(value).collect()))
    }
}

async fn sample(at_a_time: usize, messages: u64) -> anyhow::Result<Sample> {
    let temporary = tempfile::tempdir()?;
    let folder = DataFolder::open(temporary.path())?;
    let folder = folder.device(&DeviceId::new("bench")?)?.store()?;
    let store = MessageStore::open(folder, BODY_BYTES).await?;
    let written = written_bytes()?;
    let mut times = Vec::new();
    let begun = Instant::now();
    let mut left = messages;
    while left > 0 {
        let group = left.min(at_a_time as u64);
        let group_begun = Instant::now();
        store.store(group).await?;
        times.push(group_begun.elapsed());
        left -= group;
    }
    let stored = begun.elapsed();
    let begun = Instant::now();
    let mut left = messages;
    while left > 0 {
        let group = left.min(at_a_time as u64);
        store.drain(group).await?;
        left -= group;
    }
    // What is still to be written and synced belongs to these messages.
    let waiting = store.close().await;
    let emptied = begun.elapsed();
    ensure!(waiting == 0, "{waiting} of {messages} messages are left");
    times.sort_unstable();
    let per_second = |time: Duration| messages as f64 / time.as_secs_f64();
    Ok(Sample {
        at_a_time,
        stored_per_s: per_second(stored),
        drained_per_s: per_second(emptied),
        written_bytes: (written_bytes()? - written) as f64 / messages as f64,
        p50_us: percentile_us(&times, 50),
        p99_us: percentile_us(&times, 99),
    })
}

/// Of sorted times, the one that so many of a hundred do not exceed.
fn percentile_us(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted[index].as_secs_f64() * 1e6
}

/// What this process has caused to be written to storage, in whole pages.
fn written_bytes() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/io").context("cannot read `/proc/self/io`")?;
    let number = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok());
    number.context("`/proc/self/io` has no `write_bytes`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let check = |times: &[u64], percent, expected: f64| {
            let times: Vec<Duration> = times.iter().copied().map(Duration::from_micros).collect();
            assert_eq!(percentile_us(&times, percent), expected);
        };
        check(&[7], 99, 7.0);
        check(&[1, 2, 3, 4], 50, 2.0);
        check(&[1, 2, 3, 4], 99, 4.0);
    }

    #[test]
    fn every_row_of_the_store_has_samples() {
        let effort = Effort {
            messages: 300,
            ..Effort::QUICK
        };
        let samples = Samples::take(effort).unwrap();
        let rows = super::super::rows::ROWS.iter();
        let of_store = rows.filter(|row| super::super::is_of_store(row.id));
        for row in of_store {
            let figure = samples.figure(row).unwrap();
            assert!(figure.value >= 0.0, "{figure:?}");
            assert_eq!(figure.samples.len(), 1, "{figure:?}");
        }
    }
}

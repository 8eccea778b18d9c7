//! The load: so many messages are appended in groups, then all are read and removed in order, in groups of the same size.
//!
//! Runs in a process of its own for each sample, so that memory and bytes written are those of one store.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use crate::process::Process;
use crate::queue::Store;

/// Bytes of a message's body.
pub(crate) const BODY_BYTES: usize = 256;

/// How the load is laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Messages in all.
    pub(crate) messages: u64,
    /// Messages in a transaction.
    pub(crate) group: u64,
}

/// What one run of the load came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Measured {
    /// Messages per second while they are appended.
    pub(crate) append_per_s: f64,
    /// Messages per second while they are read and removed.
    pub(crate) drain_per_s: f64,
    /// How long a call to append takes in the middle, and at most for 99 of 100, microseconds.
    pub(crate) append_p50_us: f64,
    /// See above.
    pub(crate) append_p99_us: f64,
    /// Bytes written to storage for each byte of bodies, for appending alone.
    pub(crate) append_written_ratio: f64,
    /// The same for appending and draining.
    pub(crate) written_ratio: f64,
    /// What the files take when all messages are in, kibibytes.
    pub(crate) full_kib: u64,
    /// What they take when none is left.
    pub(crate) drained_kib: u64,
    /// By how much the memory grew at its peak, kibibytes.
    pub(crate) memory_kib: u64,
    /// How many acknowledged messages were gone after kill -9; none where that is measured by rounds of their own.
    pub(crate) lost_after_kill: Option<u64>,
}

/// What was read on the way of a run.
pub(crate) struct Readings {
    /// Memory before anything was opened, kibibytes.
    pub(crate) before_kib: u64,
    /// Bytes written before the first message.
    pub(crate) written_before: u64,
    /// Bytes written when all messages were in.
    pub(crate) written_full: u64,
    /// What the files took then, kibibytes.
    pub(crate) full_kib: u64,
    /// The time until all messages were in.
    pub(crate) appended: Duration,
    /// The time until all were out again.
    pub(crate) drained: Duration,
    /// The time of each call.
    pub(crate) calls: Vec<Duration>,
}

impl Load {
    /// Puts the load on a store in an empty folder.
    pub(crate) fn run(self, store: Store, folder: &Path) -> anyhow::Result<Measured> {
        let process = Process::own();
        let before_kib = process.resident_kib()?;
        let mut queue = store.open(folder)?;
        let written_before = process.written_bytes()?;
        let mut calls = Vec::new();
        let mut bodies = Bodies::new();
        let begun = Instant::now();
        for first in (0..self.messages).step_by(self.group_size()) {
            let group = bodies.group(self.group.min(self.messages - first));
            let call = Instant::now();
            queue.append(first, &group)?;
            calls.push(call.elapsed());
        }
        let appended = begun.elapsed();
        let written_full = process.written_bytes()?;
        let full_kib = kib_of(folder)?;
        let mut next = 0;
        let begun = Instant::now();
        while next < self.messages {
            let taken = queue.take(self.group_size())?;
            ensure!(!taken.is_empty(), "message {next} is missing");
            for (number, body) in taken {
                ensure!(
                    number == next && body.len() == BODY_BYTES,
                    "{number} for {next}"
                );
                next += 1;
            }
        }
        let drained = begun.elapsed();
        let readings = Readings {
            before_kib,
            written_before,
            written_full,
            full_kib,
            appended,
            drained,
            calls,
        };
        self.measured(&process, folder, readings)
    }

    /// What a run came to whose messages are all out again.
    pub(crate) fn measured(
        self,
        process: &Process,
        folder: &Path,
        readings: Readings,
    ) -> anyhow::Result<Measured> {
        let payload = (self.messages * BODY_BYTES as u64) as f64;
        let ratio = |until: u64| (until - readings.written_before) as f64 / payload;
        let mut calls = readings.calls;
        calls.sort_unstable();
        let peak_kib = process.peak_resident_kib()?;
        Ok(Measured {
            append_per_s: self.per_second(readings.appended),
            drain_per_s: self.per_second(readings.drained),
            append_p50_us: percentile_us(&calls, 50),
            append_p99_us: percentile_us(&calls, 99),
            append_written_ratio: ratio(readings.written_full),
            written_ratio: ratio(process.written_bytes()?),
            full_kib: readings.full_kib,
            drained_kib: kib_of(folder)?,
            memory_kib: peak_kib.saturating_sub(readings.before_kib),
            lost_after_kill: None,
        })
    }

    /// The group's size where a length is asked for.
    pub(crate) fn group_size(self) -> usize {
        usize::try_from(self.group).expect("a group is small")
    }

    /// The rate of all messages in this time.
    pub(crate) fn per_second(self, time: Duration) -> f64 {
        self.messages as f64 / time.as_secs_f64()
    }
}

/// Bodies that no store can make smaller, from a generator without a seed of the clock.
pub(crate) struct Bodies(Random);

impl Bodies {
    /// Always the same bodies.
    pub(crate) fn new() -> Self {
        Self(Random::new(1))
    }

    /// The next so many.
    pub(crate) fn group(&mut self, count: u64) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.body()).collect()
    }

    fn body(&mut self) -> Vec<u8> {
        let words = (0..BODY_BYTES / 8).map(|_| self.0.next());
        words.flat_map(u64::to_le_bytes).collect()
    }
}

/// Numbers that look random (xorshift), the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    /// From a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Of sorted times the one that so many of a hundred do not exceed, microseconds.
pub(crate) fn percentile_us(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted
        .get(index)
        .map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

/// What all files in a folder take, kibibytes.
pub(crate) fn kib_of(folder: &Path) -> anyhow::Result<u64> {
    let mut kib = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        kib += match metadata.is_dir() {
            true => kib_of(&entry.path())?,
            // What it takes and not how long it is: some make their files longer beforehand.
            false => metadata.blocks().div_ceil(2),
        };
    }
    Ok(kib)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_store_gives_back_what_went_in() {
        for store in Store::ALL {
            for group in [1, 32] {
                let folder = tempfile::tempdir().unwrap();
                let load = Load {
                    messages: 100,
                    group,
                };
                let measured = load.run(store, folder.path()).unwrap();
                assert!(measured.append_per_s > 0.0, "{store:?}: {measured:?}");
            }
        }
    }

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let check = |times: &[u64], percent, expected: f64| {
            let times: Vec<Duration> = times.iter().copied().map(Duration::from_micros).collect();
            assert_eq!(percentile_us(&times, percent), expected);
        };
        check(&[], 50, 0.0);
        check(&[7], 99, 7.0);
        check(&[1, 2, 3, 4], 50, 2.0);
        check(&[1, 2, 3, 4], 99, 4.0);
    }
}

//! What one module may take of the device.

use std::ops::RangeInclusive;
use std::time::Duration;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// What one module may take of the device.
///
/// The defaults are what a module gets whose manifest says nothing. Each
/// limit has its range, which the manifest's values are checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// For all its memories and tables together; 16 MiB by default.
    pub memory_limit_bytes: u64,
    /// For one call into it, in its own running time; 10 s by default.
    pub call_deadline: Duration,
    /// For what the host holds for it: message bodies, properties, handles,
    /// log lines; 4 MiB by default.
    pub host_memory_limit_bytes: u64,
    /// For its private `/data` folder; 16 MiB by default.
    pub data_limit_bytes: u64,
    /// Of the processor, in thousandths of one core; none by default.
    pub cpu_limit_millis: Option<u32>,
    /// For what it logs, over a while; 1,000 by default.
    pub log_lines_per_second: u32,
    /// For its log on the device's disk; 512 KiB by default.
    pub log_size_max_bytes: u64,
}

impl Limits {
    /// The range of [`Limits::memory_limit_bytes`]: from one page of
    /// WebAssembly memory to all that 32 bits address.
    pub const MEMORY_BYTES: RangeInclusive<u64> = 64 * KIB..=4 * GIB;

    /// The range of [`Limits::call_deadline`] in milliseconds, up to an hour.
    pub const CALL_DEADLINE_MS: RangeInclusive<u64> = 10..=3_600_000;

    /// The range of [`Limits::host_memory_limit_bytes`]. The least holds one
    /// message of the largest size twice: on its way in and out.
    pub const HOST_MEMORY_BYTES: RangeInclusive<u64> = 640 * KIB..=GIB;

    /// The range of [`Limits::data_limit_bytes`]; 0 lets nothing be written.
    pub const DATA_BYTES: RangeInclusive<u64> = 0..=1024 * GIB;

    /// The range of [`Limits::cpu_limit_millis`], up to 1,000 cores. A module
    /// runs on one core at a time, so that 1,000 and more limit nothing.
    pub const CPU_MILLIS: RangeInclusive<u64> = 10..=1_000_000;

    /// The range of [`Limits::log_lines_per_second`].
    pub const LOG_LINES_PER_SECOND: RangeInclusive<u64> = 1..=100_000;

    /// The range of [`Limits::log_size_max_bytes`]. A part of the least still
    /// holds a long line; the most is for devices with a large disk.
    pub const LOG_SIZE_BYTES: RangeInclusive<u64> = 64 * KIB..=64 * MIB;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_limit_bytes: 16 * MIB,
            call_deadline: Duration::from_secs(10),
            host_memory_limit_bytes: 4 * MIB,
            data_limit_bytes: 16 * MIB,
            cpu_limit_millis: None,
            log_lines_per_second: 1000,
            log_size_max_bytes: 512 * KIB,
        }
    }
}

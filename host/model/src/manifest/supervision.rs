//! How a module is watched and started again, as far as its manifest says.

use std::ops::RangeInclusive;
use std::time::Duration;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// How a module is watched and started again, as far as its manifest says.
///
/// Where it says nothing, the device's own settings hold. Each value has its
/// range, which the manifest's are checked against.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supervision {
    /// Time from one question about its health to the next.
    pub health_interval: Option<Duration>,
    /// How long an answer may take; a later one counts as a failure.
    pub health_timeout: Option<Duration>,
    /// Failures in a row that make it unhealthy.
    pub health_failures_max: Option<u32>,
    /// The wait before its first restart; each further one doubles it.
    pub restart_wait: Option<Duration>,
    /// The longest wait before a restart; not less than `restart_wait`.
    pub restart_wait_max: Option<Duration>,
    /// After so long without a failure the waits begin anew.
    pub restart_forgiven_after: Option<Duration>,
}

impl Supervision {
    /// What a device does whose settings say nothing else: 30 s.
    pub const HEALTH_INTERVAL_DEFAULT: Duration = Duration::from_secs(30);

    /// As for the interval: 30 s.
    pub const HEALTH_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

    /// As for the interval: 3.
    pub const HEALTH_FAILURES_MAX_DEFAULT: u32 = 3;

    /// As for the interval: 10 s.
    pub const RESTART_WAIT_DEFAULT: Duration = Duration::from_secs(10);

    /// As for the interval: 5 minutes.
    pub const RESTART_WAIT_MAX_DEFAULT: Duration = Duration::from_secs(300);

    /// As for the interval: 10 minutes.
    pub const RESTART_FORGIVEN_AFTER_DEFAULT: Duration = Duration::from_secs(600);

    /// The range of [`Supervision::health_interval`] in milliseconds, up to a
    /// day.
    pub const HEALTH_INTERVAL_MS: RangeInclusive<u64> = 100..=DAY_MS;

    /// The range of [`Supervision::health_timeout`] in milliseconds, up to an
    /// hour.
    pub const HEALTH_TIMEOUT_MS: RangeInclusive<u64> = 100..=HOUR_MS;

    /// The range of [`Supervision::health_failures_max`].
    pub const HEALTH_FAILURES_MAX: RangeInclusive<u64> = 1..=1000;

    /// The range of [`Supervision::restart_wait`] and
    /// [`Supervision::restart_wait_max`] in milliseconds, up to a day. The
    /// least keeps a module that fails at once from using a core for it.
    pub const RESTART_WAIT_MS: RangeInclusive<u64> = 100..=DAY_MS;

    /// The range of [`Supervision::restart_forgiven_after`] in milliseconds,
    /// up to a week.
    pub const RESTART_FORGIVEN_AFTER_MS: RangeInclusive<u64> = 1000..=7 * DAY_MS;
}

//! The clock that times to live count on: it goes on over restarts, and no jump of the wall clock moves it.
//!
//! Pure: the readings of the machine's clocks are passed in ([`ClockReading`]; `machine` takes them). While
//! the process runs, it moves with the monotonic clock. Over a restart, it goes on by the machine's boot time
//! when the machine was not booted meanwhile; else by the wall clock, if that was synchronised before and
//! after; else the time between counts as none.

use std::time::Duration;

use tokio::time::Instant;

use crate::journal::wire::{Malformed, Reader, put_number};

/// Milliseconds of the clock, which began with the store.
pub(super) type Elapsed = u64;

/// The clocks of the machine at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// Differs from boot to boot.
    pub boot_id: [u8; 16],
    /// Time since boot, that in suspend included.
    pub since_boot: Duration,
    /// Time of the wall clock since 1970, UTC.
    pub wall: Duration,
    /// Whether the wall clock is set by a time server, so that its time can be believed.
    pub is_synchronised: bool,
}

/// A reading with the time of the journal's clock at that moment, as it stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClockStamp {
    pub(super) elapsed: Elapsed,
    pub(super) reading: ClockReading,
}

impl ClockStamp {
    /// What the clock shows at a later reading, in this boot or another.
    pub(super) fn elapsed_at(&self, now: &ClockReading) -> Elapsed {
        let between = if self.reading.boot_id == now.boot_id {
            now.since_boot.saturating_sub(self.reading.since_boot)
        } else if self.reading.is_synchronised && now.is_synchronised {
            now.wall.saturating_sub(self.reading.wall)
        } else {
            Duration::ZERO
        };
        self.elapsed.saturating_add(millis(between))
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, self.elapsed);
        out.extend_from_slice(&self.reading.boot_id);
        put_number(out, millis(self.reading.since_boot));
        put_number(out, millis(self.reading.wall));
        out.push(u8::from(self.reading.is_synchronised));
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(ClockStamp {
            elapsed: reader.number("clock")?,
            reading: ClockReading {
                boot_id: reader.array("boot id")?,
                since_boot: Duration::from_millis(reader.number("boot time")?),
                wall: Duration::from_millis(reader.number("wall clock")?),
                is_synchronised: reader.byte("clock state")? != 0,
            },
        })
    }
}

/// The journal's clock in this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct ElapsedClock {
    /// What it showed at `opened_at`.
    base: Elapsed,
    opened_at: Instant,
}

impl ElapsedClock {
    pub(super) fn new(base: Elapsed, opened_at: Instant) -> Self {
        ElapsedClock { base, opened_at }
    }

    /// What it shows at a time of this process.
    pub(super) fn at(&self, time: Instant) -> Elapsed {
        let after = millis(time.saturating_duration_since(self.opened_at));
        let before = millis(self.opened_at.saturating_duration_since(time));
        (self.base + after).saturating_sub(before)
    }

    /// The time of this process at which it shows, showed or would have shown this.
    pub(super) fn instant(&self, elapsed: Elapsed) -> Instant {
        let time = match elapsed.checked_sub(self.base) {
            Some(after) => self.opened_at.checked_add(Duration::from_millis(after)),
            None => {
                let before = Duration::from_millis(self.base - elapsed);
                self.opened_at.checked_sub(before)
            }
        };
        time.unwrap_or(self.opened_at)
    }

    /// The time of this process at which something ends, absent when that is beyond what a clock can tell.
    pub(super) fn end(&self, elapsed: Elapsed, time_to_live: Duration) -> Option<Instant> {
        let end = elapsed.checked_add(millis(time_to_live))?;
        let after = Duration::from_millis(end.saturating_sub(self.base));
        self.opened_at.checked_add(after)
    }
}

/// Whole milliseconds of a time, rounded up, so that nothing ends before its time.
pub(super) fn millis(time: Duration) -> u64 {
    let millis = time.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn reading(boot: u8, since_boot: u64, wall: u64, is_synchronised: bool) -> ClockReading {
        ClockReading {
            boot_id: [boot; 16],
            since_boot: Duration::from_secs(since_boot),
            wall: Duration::from_secs(wall),
            is_synchronised,
        }
    }

    #[track_caller]
    fn check(before: ClockReading, after: ClockReading, seconds: u64) {
        let stamp = ClockStamp {
            elapsed: 500,
            reading: before,
        };
        assert_eq!(stamp.elapsed_at(&after), 500 + seconds * 1000);
    }

    #[test]
    fn in_the_same_boot_the_time_between_is_that_since_boot_whatever_the_wall_clock_says() {
        check(reading(1, 10, 5_000, true), reading(1, 40, 9_000, true), 30);
        check(reading(1, 10, 5_000, false), reading(1, 40, 1, true), 30);
        check(reading(1, 10, 5_000, true), reading(1, 10, 5_000, true), 0);
    }

    #[test]
    fn over_a_boot_only_a_wall_clock_that_was_synchronised_on_both_sides_counts() {
        check(reading(1, 900, 5_000, true), reading(2, 3, 5_060, true), 60);
        check(reading(1, 900, 5_000, false), reading(2, 3, 5_060, true), 0);
        check(reading(1, 900, 5_000, true), reading(2, 3, 5_060, false), 0);
        check(reading(1, 900, 5_000, true), reading(2, 3, 4_000, true), 0);
    }

    #[test]
    fn a_stamp_comes_back_from_its_bytes() {
        let stamp = ClockStamp {
            elapsed: 123_456,
            reading: reading(7, 1, 1_700_000_000, true),
        };
        let mut out = Vec::new();
        stamp.encode(&mut out);
        assert_eq!(ClockStamp::decode(&mut Reader::new(&out)), Ok(stamp));
    }

    #[test]
    fn times_before_the_start_are_told_and_what_ended_by_then_ends_at_the_start() {
        let opened_at = Instant::now();
        let clock = ElapsedClock::new(10_000, opened_at);
        assert_eq!(clock.at(opened_at + Duration::from_secs(1)), 11_000);
        assert_eq!(clock.at(clock.instant(4_000)), 4_000);
        let second = Duration::from_secs(1);
        assert_eq!(clock.end(4_000, second), Some(opened_at));
        assert_eq!(clock.end(9_500, second), Some(opened_at + second / 2));
        assert_eq!(clock.end(9_500, Duration::MAX), None);
    }

    #[test]
    fn parts_of_a_millisecond_count_as_one() {
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::MAX), u64::MAX);
    }
}

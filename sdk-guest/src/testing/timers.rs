//! The timers of one instance on a clock that only the test moves; the rules are the device's.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bindings::timer::{Schedule, Tick, TimerError};

/// Timers that one instance may have running.
const TIMERS_MAX: usize = 64;

/// Longest name in bytes.
const NAME_MAX_BYTES: usize = 128;

/// Longest schedule.
const SCHEDULE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

#[derive(Clone, Copy, Debug)]
struct Timer {
    due: Duration,
    period: Option<Duration>,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    running: BTreeMap<String, Timer>,
}

impl Timers {
    pub(super) fn start(
        &mut self,
        name: &str,
        schedule: Schedule,
        now: Duration,
    ) -> Result<(), TimerError> {
        if name.is_empty() || name.len() > NAME_MAX_BYTES {
            return Err(TimerError::Invalid(format!(
                "a timer's name has 1 to {NAME_MAX_BYTES} bytes, this one {}",
                name.len()
            )));
        }
        let (first, is_periodic) = match schedule {
            Schedule::Once(after_ms) => (Duration::from_millis(after_ms), false),
            Schedule::Every(period_ms) => (Duration::from_millis(period_ms), true),
        };
        if first.is_zero() || first > SCHEDULE_MAX {
            return Err(TimerError::Invalid(
                "a schedule is at least 1 ms and at most 366 days".into(),
            ));
        }
        if self.running.len() >= TIMERS_MAX && !self.running.contains_key(name) {
            return Err(TimerError::TooMany);
        }
        let timer = Timer {
            due: now + first,
            period: is_periodic.then_some(first),
        };
        self.running.insert(name.to_owned(), timer);
        Ok(())
    }

    pub(super) fn cancel(&mut self, name: &str) {
        self.running.remove(name);
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.running.keys().map(String::as_str)
    }

    pub(super) fn next_due(&self) -> Option<Duration> {
        self.running.values().map(|timer| timer.due).min()
    }

    /// Takes the tick that has been due longest, if any is. What lies wholly in the past is counted as missed.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Tick> {
        let (name, timer) = self
            .running
            .iter()
            .filter(|(_, timer)| timer.due <= now)
            .min_by_key(|(_, timer)| timer.due)
            .map(|(name, timer)| (name.clone(), *timer))?;
        let Some(period) = timer.period else {
            self.running.remove(&name);
            return Some(Tick { name, missed: 0 });
        };
        let late = now - timer.due;
        let missed = u64::try_from(late.as_nanos() / period.as_nanos()).unwrap_or(u64::MAX);
        let steps = u32::try_from(missed.saturating_add(1)).unwrap_or(u32::MAX);
        let due = timer.due + period.saturating_mul(steps);
        let next = Timer {
            due,
            period: Some(period),
        };
        self.running.insert(name.clone(), next);
        Some(Tick { name, missed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn due(timers: &mut Timers, now: Duration) -> Option<(String, u64)> {
        timers.take_due(now).map(|tick| (tick.name, tick.missed))
    }

    #[test]
    fn a_periodic_timer_stays_on_its_grid_and_counts_what_it_missed() {
        let mut timers = Timers::default();
        let late = Duration::from_millis(300);
        timers
            .start("t", Schedule::Every(1_000), Duration::ZERO)
            .expect("valid");
        assert_eq!(due(&mut timers, SECOND / 2), None);
        assert_eq!(due(&mut timers, SECOND + late), Some(("t".into(), 0)));
        assert_eq!(timers.next_due(), Some(2 * SECOND));
        assert_eq!(due(&mut timers, 5 * SECOND + late), Some(("t".into(), 3)));
        assert_eq!(timers.next_due(), Some(6 * SECOND));
    }

    #[test]
    fn the_longest_due_comes_first_and_a_single_one_once() {
        let mut timers = Timers::default();
        for (name, after_ms) in [("a", 2_000), ("b", 1_000)] {
            timers
                .start(name, Schedule::Once(after_ms), Duration::ZERO)
                .expect("valid");
        }
        assert_eq!(due(&mut timers, 3 * SECOND), Some(("b".into(), 0)));
        assert_eq!(due(&mut timers, 3 * SECOND), Some(("a".into(), 0)));
        assert_eq!(due(&mut timers, 9 * SECOND), None);
    }

    #[test]
    fn number_names_and_schedules_have_the_devices_limits() {
        let mut timers = Timers::default();
        let mut start = |name: &str, schedule| timers.start(name, schedule, Duration::ZERO);
        let long = "x".repeat(NAME_MAX_BYTES + 1);
        let too_late_ms = 367 * 24 * 3600 * 1000;
        for (name, schedule) in [
            ("", Schedule::Once(1)),
            (long.as_str(), Schedule::Once(1)),
            ("t", Schedule::Every(0)),
            ("t", Schedule::Once(too_late_ms)),
        ] {
            assert!(matches!(start(name, schedule), Err(TimerError::Invalid(_))));
        }
        for n in 0..TIMERS_MAX {
            start(&n.to_string(), Schedule::Every(1)).expect("within the limit");
        }
        assert!(matches!(
            start("more", Schedule::Every(1)),
            Err(TimerError::TooMany)
        ));
        start("0", Schedule::Once(5)).expect("replaces its own");
    }
}

//! The named timers of one instance: what is due when, without drift and without a clock of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Timers that one instance may have running.
pub const TIMERS_MAX: usize = 64;

/// Longest name of a timer in bytes.
pub const TIMER_NAME_MAX_BYTES: usize = 128;

/// Longest schedule.
pub const SCHEDULE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// When a timer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Once, after this time.
    Once(Duration),
    /// Each time this much has passed.
    Every(Duration),
}

/// A timer that was due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The timer's name.
    pub name: String,
    /// Earlier ticks that were missed.
    pub missed: u64,
}

/// Why a timer was not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimerError {
    /// [`TIMERS_MAX`] are running.
    #[error("{TIMERS_MAX} timers are running")]
    TooMany,
    /// Name or schedule not allowed.
    #[error("{0}")]
    Invalid(String),
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    due: Instant,
    period: Option<Duration>,
}

/// The timers of one instance.
#[derive(Debug, Default)]
pub struct Timers {
    running: BTreeMap<String, Timer>,
}

impl Timers {
    /// Starts a timer; one of the same name is replaced.
    ///
    /// # Errors
    /// [`TimerError::Invalid`] for a name that is empty or too long and a schedule that is zero or
    /// over [`SCHEDULE_MAX`]; [`TimerError::TooMany`] when [`TIMERS_MAX`] others are running.
    pub fn start(
        &mut self,
        name: &str,
        schedule: Schedule,
        now: Instant,
    ) -> Result<(), TimerError> {
        if name.is_empty() || name.len() > TIMER_NAME_MAX_BYTES {
            return Err(TimerError::Invalid(format!(
                "a timer's name has 1 to {TIMER_NAME_MAX_BYTES} bytes, this one {}",
                name.len()
            )));
        }
        let (first, period) = match schedule {
            Schedule::Once(after) => (after, None),
            Schedule::Every(period) => (period, Some(period)),
        };
        if first.is_zero() || first > SCHEDULE_MAX {
            return Err(TimerError::Invalid(
                "a schedule is at least 1 ms and at most 366 days".into(),
            ));
        }
        if self.running.len() >= TIMERS_MAX && !self.running.contains_key(name) {
            return Err(TimerError::TooMany);
        }
        self.running.insert(
            name.to_owned(),
            Timer {
                due: now + first,
                period,
            },
        );
        Ok(())
    }

    /// Stops a timer if there is one of that name.
    pub fn cancel(&mut self, name: &str) {
        self.running.remove(name);
    }

    /// When the next timer is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.running.values().map(|timer| timer.due).min()
    }

    /// Takes the tick that has been due longest, if any is.
    ///
    /// A periodic timer stays on its own grid: ticks that lie wholly in the past are counted as
    /// missed, and the next is due at the next point of the grid.
    pub fn take_due(&mut self, now: Instant) -> Option<Tick> {
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
        let late = now.duration_since(timer.due);
        let missed = u64::try_from(late.as_nanos() / period.as_nanos()).unwrap_or(u64::MAX);
        let steps = u32::try_from(missed.saturating_add(1)).unwrap_or(u32::MAX);
        let due = timer.due + period.saturating_mul(steps);
        self.running.insert(
            name.clone(),
            Timer {
                due,
                period: Some(period),
            },
        );
        Some(Tick { name, missed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn tick(name: &str, missed: u64) -> Option<Tick> {
        Some(Tick {
            name: name.into(),
            missed,
        })
    }

    #[test]
    fn a_single_timer_is_due_once() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers
            .start("t", Schedule::Once(SECOND), start)
            .expect("valid");
        assert_eq!(timers.next_due(), Some(start + SECOND));
        assert_eq!(timers.take_due(start), None);
        assert_eq!(timers.take_due(start + 5 * SECOND), tick("t", 0));
        assert_eq!(timers.take_due(start + 9 * SECOND), None);
        assert_eq!(timers.next_due(), None);
    }

    #[test]
    fn a_periodic_timer_stays_on_its_grid_and_counts_what_it_missed() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers
            .start("t", Schedule::Every(SECOND), start)
            .expect("valid");
        let late = Duration::from_millis(300);
        assert_eq!(timers.take_due(start + SECOND + late), tick("t", 0));
        assert_eq!(timers.next_due(), Some(start + 2 * SECOND));
        assert_eq!(timers.take_due(start + 5 * SECOND + late), tick("t", 3));
        assert_eq!(timers.next_due(), Some(start + 6 * SECOND));
    }

    #[test]
    fn the_longest_due_comes_first() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers
            .start("a", Schedule::Once(2 * SECOND), start)
            .expect("valid");
        timers
            .start("b", Schedule::Once(SECOND), start)
            .expect("valid");
        let now = start + 3 * SECOND;
        assert_eq!(timers.take_due(now), tick("b", 0));
        assert_eq!(timers.take_due(now), tick("a", 0));
        assert_eq!(timers.take_due(now), None);
    }

    #[test]
    fn a_name_replaces_itself_and_the_limit_holds() {
        let now = Instant::now();
        let mut timers = Timers::default();
        for n in 0..TIMERS_MAX {
            timers
                .start(&n.to_string(), Schedule::Every(SECOND), now)
                .expect("within the limit");
        }
        assert_eq!(
            timers.start("more", Schedule::Every(SECOND), now),
            Err(TimerError::TooMany)
        );
        timers
            .start("0", Schedule::Once(5 * SECOND), now)
            .expect("replaces");
        timers.cancel("1");
        timers
            .start("more", Schedule::Every(SECOND), now)
            .expect("a place is free");
    }

    #[test]
    fn wrong_names_and_schedules_are_refused() {
        let now = Instant::now();
        let mut timers = Timers::default();
        let long = "x".repeat(TIMER_NAME_MAX_BYTES + 1);
        for (name, schedule) in [
            ("", Schedule::Once(SECOND)),
            (long.as_str(), Schedule::Once(SECOND)),
            ("t", Schedule::Every(Duration::ZERO)),
            ("t", Schedule::Once(SCHEDULE_MAX + SECOND)),
        ] {
            assert!(matches!(
                timers.start(name, schedule, now),
                Err(TimerError::Invalid(_))
            ));
        }
    }
}

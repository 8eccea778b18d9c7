//! What a load came to: how many, in which time, and how long each took.

use std::time::{Duration, Instant};

use super::process::Process;

/// What was counted during a time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Readings {
    /// How long was counted.
    pub(super) took: Duration,
    /// How long each took, in microseconds.
    pub(super) latencies_us: Vec<u32>,
    /// How many were answered well in all, also before and after the time that counts.
    pub(super) answered: u64,
    /// What the server's process took of the processors meanwhile, where it can be seen.
    pub(super) server_time: Option<Duration>,
}

impl Readings {
    /// How many there were in a second.
    pub(super) fn rate(&self) -> f64 {
        self.latencies_us.len() as f64 / self.took.as_secs_f64()
    }

    /// So many of a hundred took at most so many milliseconds.
    pub(super) fn percentile_ms(&self, percent: usize) -> f64 {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let index = (sorted.len() * percent / 100).min(last);
        sorted
            .get(index)
            .map_or(f64::NAN, |us| f64::from(*us) / 1e3)
    }

    /// The server's time for each, in microseconds.
    pub(super) fn server_time_us(&self) -> Option<f64> {
        let time = self.server_time?;
        Some(time.as_secs_f64() * 1e6 / self.latencies_us.len() as f64)
    }
}

/// What one part of a load came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Taken {
    /// As in [`Readings`].
    pub(super) latencies_us: Vec<u32>,
    /// As in [`Readings`].
    pub(super) answered: u64,
}

/// The time during which is counted: what comes before it warms up, what comes after it is let end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) begin: Instant,
    pub(super) end: Instant,
}

impl Span {
    /// From so much later, for so long.
    pub(super) fn after(warm_up: Duration, length: Duration) -> Self {
        let begin = Instant::now() + warm_up;
        Self {
            begin,
            end: begin + length,
        }
    }

    /// Notes one that was begun then and is answered now, if it counts; says whether to go on.
    pub(super) fn note(&self, begun: Instant, now: Instant, taken: &mut Taken) -> bool {
        taken.answered += 1;
        if now >= self.begin && now < self.end {
            let us = now.saturating_duration_since(begun).as_micros();
            taken
                .latencies_us
                .push(u32::try_from(us).unwrap_or(u32::MAX));
        }
        now < self.end
    }

    /// What came of all parts of a load.
    pub(super) fn readings(
        &self,
        parts: impl IntoIterator<Item = Taken>,
        server_time: Option<Duration>,
    ) -> Readings {
        let mut readings = Readings {
            took: self.end - self.begin,
            server_time,
            ..Readings::default()
        };
        for part in parts {
            readings.latencies_us.extend(part.latencies_us);
            readings.answered += part.answered;
        }
        readings
    }

    /// Runs with the load: what the server's process takes of the processors during this time.
    pub(super) async fn server_time(self, server: Option<Process>) -> Option<Duration> {
        let at = |instant: Instant| tokio::time::sleep_until(instant.into());
        at(self.begin).await;
        let before = server?.processor_time().ok()?;
        at(self.end).await;
        let after = server?.processor_time().ok()?;
        after.checked_sub(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(latencies_us: &[u32]) -> Readings {
        Readings {
            took: Duration::from_millis(500),
            latencies_us: latencies_us.to_vec(),
            answered: 12,
            server_time: Some(Duration::from_millis(1)),
        }
    }

    #[test]
    fn a_rate_is_that_of_a_second() {
        assert_eq!(readings(&[1; 10]).rate(), 20.0);
        assert_eq!(readings(&[1; 10]).server_time_us(), Some(100.0));
    }

    #[test]
    fn percentiles_are_of_the_sorted_ones() {
        let check = |percent, expected: f64| {
            let all: Vec<u32> = (0..1000).rev().map(|n| n * 1000).collect();
            assert_eq!(readings(&all).percentile_ms(percent), expected, "{percent}");
        };
        check(50, 500.0);
        check(99, 990.0);
        check(100, 999.0);
        assert_eq!(readings(&[7000]).percentile_ms(99), 7.0);
        assert!(readings(&[]).percentile_ms(50).is_nan());
    }

    #[test]
    fn only_what_ends_in_the_time_counts() {
        let span = Span::after(Duration::from_secs(10), Duration::from_secs(10));
        let at = |seconds| span.begin + Duration::from_secs(seconds);
        let check = |begun, now, expected: (bool, &[u32])| {
            let mut taken = Taken::default();
            let goes_on = span.note(begun, now, &mut taken);
            assert_eq!((goes_on, &taken.latencies_us[..]), expected);
            assert_eq!(taken.answered, 1);
        };
        check(span.begin, at(1), (true, &[1_000_000]));
        check(at(1), span.begin - Duration::from_secs(1), (true, &[]));
        check(at(9), at(10), (false, &[]));
    }
}

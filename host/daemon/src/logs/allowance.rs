//! How many lines a module may log: so many at once, and so many per second for long.

use std::time::Duration;

use tokio::time::Instant;

/// Lines per second that a module may log for long if nothing else is said.
pub(super) const RATE_PER_SECOND: u32 = 1000;

/// Bytes of a line for which it counts once more: what is written to flash is bounded as well.
const BYTES_PER_LINE: usize = 1024;

/// The pause between two notes of how many lines were one too many: they are not to make a flood larger.
const NOTE_PERIOD: Duration = Duration::from_secs(1);

/// How many lines a module may still log.
#[derive(Debug)]
pub(super) struct Allowance {
    rate: u32,
    lines: f64,
    since: Instant,
    suppressed: u64,
    noted: Option<Instant>,
}

impl Allowance {
    /// A full one.
    pub(super) fn new(rate: u32, now: Instant) -> Self {
        Self {
            rate,
            lines: rate.into(),
            since: now,
            suppressed: 0,
            noted: None,
        }
    }

    /// Takes another rate; what is used up stays so, as far as the new rate allows.
    pub(super) fn set_rate(&mut self, rate: u32, now: Instant) {
        self.refill(now);
        let used = f64::from(self.rate) - self.lines;
        self.rate = rate;
        self.lines = (f64::from(rate) - used).max(0.0);
    }

    /// The lines per second.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// Takes one line of so many bytes; `false` if it is one too many, which is counted.
    ///
    /// A long line counts as several, but never as more than there are in a second: it would not fit at all then.
    pub(super) fn take(&mut self, size_bytes: usize, now: Instant) -> bool {
        self.refill(now);
        let counts = 1 + u32::try_from(size_bytes / BYTES_PER_LINE).unwrap_or(u32::MAX - 1);
        let counts = f64::from(counts.min(self.rate));
        let fits = self.lines >= counts;
        if fits {
            self.lines -= counts;
        } else {
            self.suppressed += 1;
        }
        fits
    }

    /// How many were one too many since the last note, if it is time for another and there is room for a line
    /// again.
    pub(super) fn take_note(&mut self, now: Instant) -> Option<u64> {
        self.refill(now);
        let is_early = self.noted.is_some_and(|noted| now < noted + NOTE_PERIOD);
        if self.suppressed == 0 || self.lines < 1.0 || is_early {
            return None;
        }
        self.noted = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }

    /// How many were one too many since the last note.
    pub(super) fn suppressed(&self) -> u64 {
        self.suppressed
    }

    fn refill(&mut self, now: Instant) {
        let rate = f64::from(self.rate);
        let elapsed = now.saturating_duration_since(self.since).as_secs_f64();
        self.lines = (self.lines + elapsed * rate).min(rate);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn so_many_at_once_and_so_many_a_second() {
        let start = Instant::now();
        let mut allowance = Allowance::new(10, start);
        let taken =
            |allowance: &mut Allowance, now| (0..25).filter(|_| allowance.take(9, now)).count();
        assert_eq!(taken(&mut allowance, start), 10);
        assert_eq!(allowance.take_note(start), None, "no room for the note yet");
        let half = start + Duration::from_millis(500);
        assert_eq!(allowance.take_note(half), Some(15));
        assert_eq!(allowance.take_note(half), None);
        assert_eq!(taken(&mut allowance, half), 5);
        assert_eq!(allowance.suppressed(), 20);
        let later = start + Duration::from_millis(1400);
        assert_eq!(
            allowance.take_note(later),
            None,
            "a note was there within the last second"
        );
        let later = start + Duration::from_secs(60);
        assert_eq!(taken(&mut allowance, later), 10);
        assert_eq!(allowance.take_note(later), None, "no room");
    }

    #[test]
    fn another_rate_gives_nothing_back() {
        let start = Instant::now();
        let mut allowance = Allowance::new(10, start);
        assert!((0..10).all(|_| allowance.take(9, start)));
        allowance.set_rate(10, start);
        assert!(!allowance.take(9, start));
        allowance.set_rate(12, start);
        assert!(allowance.take(9, start) && allowance.take(9, start) && !allowance.take(9, start));
    }

    #[test]
    fn a_long_line_counts_as_several_and_fits_all_the_same() {
        let start = Instant::now();
        let mut allowance = Allowance::new(10, start);
        assert!(allowance.take(4096, start));
        assert!(allowance.take(4096, start));
        assert!(!allowance.take(9, start));
        let later = start + Duration::from_secs(1);
        assert!(allowance.take(1 << 20, later));
        assert!(!allowance.take(9, later));
    }
}

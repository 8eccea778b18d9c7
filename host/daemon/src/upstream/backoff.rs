//! How long to wait before a hub is tried again.
//!
//! Pure: what failed and a number for the jitter in, a wait out. One that cannot be reached is tried soon, for it may
//! be back at once; one that refuses is left alone for minutes, since only a person can change its mind. Used by the
//! twins' tasks and by the sessions.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

use super::UpstreamError;

/// First wait after the hub could not be reached.
const UNREACHABLE_FIRST: Duration = Duration::from_secs(1);

/// Longest wait after the hub could not be reached where nobody says otherwise, as at IoT Edge.
pub(crate) const UNREACHABLE_MAX: Duration = Duration::from_secs(60);

/// First wait after the hub refused: a change at the hub may still be on its way to where it is asked.
const REFUSED_FIRST: Duration = Duration::from_secs(10);

/// Longest wait after the hub refused. An identity that was deleted or disabled costs a connection in that time.
const REFUSED_MAX: Duration = Duration::from_secs(10 * 60);

/// A session that lasted so long was a good one: waits begin anew.
pub(crate) const STEADY: Duration = Duration::from_secs(30);

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The hub could not be reached, or the session ended.
    Unreachable,
    /// The hub did not let us in.
    Refused,
}

/// The waits of one who tries again; they double with each failure of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    unreachable: u32,
    refused: u32,
    /// The longest wait after the hub could not be reached.
    unreachable_max: Duration,
}

/// A random number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Jitter(f64);

impl Trouble {
    pub(crate) fn of(err: &UpstreamError) -> Self {
        match err {
            UpstreamError::Unreachable { .. } => Self::Unreachable,
            UpstreamError::Refused { .. } => Self::Refused,
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::at_most(UNREACHABLE_MAX)
    }
}

impl Backoff {
    /// Nothing has failed yet; a hub that could not be reached is tried again after this time at the latest.
    pub(crate) fn at_most(unreachable_max: Duration) -> Self {
        Self {
            unreachable: 0,
            refused: 0,
            unreachable_max,
        }
    }

    /// How long to wait now: between half of the wait and all of it, so that many do not come at once.
    ///
    /// One kind of trouble makes the waits for the other begin anew.
    pub(crate) fn next(&mut self, trouble: Trouble, jitter: Jitter) -> Duration {
        let (count, first, longest) = match trouble {
            Trouble::Unreachable => {
                self.refused = 0;
                let longest = self.unreachable_max;
                (&mut self.unreachable, UNREACHABLE_FIRST, longest)
            }
            Trouble::Refused => {
                self.unreachable = 0;
                (&mut self.refused, REFUSED_FIRST, REFUSED_MAX)
            }
        };
        let factor = 2_u32.checked_pow(*count).unwrap_or(u32::MAX);
        *count = count.saturating_add(1);
        let wait = first.saturating_mul(factor).min(longest);
        jitter.between(wait / 2, wait)
    }

    /// It went well: the next wait is the first one.
    pub(crate) fn reset(&mut self) {
        *self = Self::at_most(self.unreachable_max);
    }
}

impl Jitter {
    /// A new number. Without the system's random numbers all come at once, which is no reason not to come; in a test
    /// bed's time all waits are whole ones.
    pub(crate) fn random() -> Self {
        if wasm_edge_clock::is_virtual() {
            return Self(1.0);
        }
        let mut bytes = [0; 4];
        match SystemRandom::new().fill(&mut bytes) {
            Ok(()) => Self(f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)),
            Err(_) => Self(0.5),
        }
    }

    /// A time between two.
    pub(crate) fn between(self, least: Duration, most: Duration) -> Duration {
        least + most.saturating_sub(least).mul_f64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Jitter = Jitter(0.0);

    fn waits(trouble: Trouble, jitter: Jitter, count: usize) -> Vec<u64> {
        let mut backoff = Backoff::default();
        let mut next = || backoff.next(trouble, jitter).as_millis();
        (0..count).map(|_| u64::try_from(next()).unwrap()).collect()
    }

    #[test]
    fn waits_double_up_to_a_bound_and_lie_within_their_upper_half() {
        let check = |trouble, jitter, expected: &[u64]| {
            assert_eq!(waits(trouble, jitter, expected.len()), expected);
        };
        let unreachable = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000];
        check(Trouble::Unreachable, LEAST, &unreachable);
        check(Trouble::Unreachable, Jitter(0.5), &[750, 1_500, 3_000]);
        let refused = [
            5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000,
        ];
        check(Trouble::Refused, LEAST, &refused);
        let many = waits(Trouble::Unreachable, Jitter(0.999), 5_000);
        assert!(many.iter().all(|wait| *wait <= 60_000));
        assert!(*many.last().unwrap() > 59_000);
    }

    #[test]
    fn the_longest_wait_for_a_hub_out_of_reach_can_be_set() {
        let mut backoff = Backoff::at_most(Duration::from_secs(3));
        let mut wait = |trouble| backoff.next(trouble, LEAST).as_millis();
        let waits = [(); 4].map(|()| wait(Trouble::Unreachable));
        assert_eq!(waits, [500, 1_000, 1_500, 1_500]);
        // One that refuses is left alone as long as always.
        assert_eq!([(); 2].map(|()| wait(Trouble::Refused)), [5_000, 10_000]);
        backoff.reset();
        let waits = [(); 3].map(|()| backoff.next(Trouble::Unreachable, LEAST).as_millis());
        assert_eq!(waits, [500, 1_000, 1_500]);
    }

    #[test]
    fn one_trouble_ends_the_waits_for_the_other() {
        let mut backoff = Backoff::default();
        for _ in 0..4 {
            backoff.next(Trouble::Refused, LEAST);
        }
        let wait = backoff.next(Trouble::Unreachable, LEAST);
        assert_eq!(wait, UNREACHABLE_FIRST / 2);
        let wait = backoff.next(Trouble::Refused, LEAST);
        assert_eq!(wait, REFUSED_FIRST / 2);
        backoff.reset();
        let wait = backoff.next(Trouble::Refused, LEAST);
        assert_eq!(wait, REFUSED_FIRST / 2);
    }

    #[test]
    fn jitter_lies_within_its_bounds() {
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(2));
        for _ in 0..1000 {
            let wait = Jitter::random().between(least, most);
            assert!(wait >= least && wait < most, "{wait:?}");
        }
        // Bounds the wrong way round are no reason to panic.
        assert_eq!(Jitter(0.5).between(most, least), most);
    }
}

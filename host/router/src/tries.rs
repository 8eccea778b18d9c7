//! What becomes of a message that was handed over and not completed: again after a wait, or put aside.
//!
//! Pure: counts and durations only. The queues (`state`) keep the counts and do what is decided here.

use std::time::Duration;

use crate::aside::AsideReason;
use crate::limits::{RETRIES_MAX, RETRY_AFTER_MAX, TRIES_MAX, TRY_WAIT_FIRST, TRY_WAIT_MAX};

/// How often a message came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tries {
    /// Failed tries: the module trapped, ran out of time or memory.
    pub failed: u32,
    /// Times that the module asked for it later.
    pub retried: u32,
}

impl Tries {
    /// How often the message was handed over before.
    pub fn total(self) -> u32 {
        self.failed + self.retried
    }

    /// Counts a failed try and decides what comes next.
    pub(crate) fn after_failure(&mut self) -> AfterTry {
        self.failed += 1;
        if self.failed >= TRIES_MAX {
            return AfterTry::Aside(AsideReason::TriesExhausted);
        }
        let doubled = 2_u32.saturating_pow(self.failed - 1);
        let after = TRY_WAIT_FIRST.saturating_mul(doubled).min(TRY_WAIT_MAX);
        AfterTry::Again { after }
    }

    /// Counts a wish for later and decides what comes next.
    pub(crate) fn after_retry(&mut self, asked: Duration) -> AfterTry {
        self.retried += 1;
        if self.retried >= RETRIES_MAX {
            return AfterTry::Aside(AsideReason::RetriesExhausted);
        }
        let after = asked.min(RETRY_AFTER_MAX);
        AfterTry::Again { after }
    }
}

/// What became of a message that was not completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterTry {
    /// It is handed over again, not before so long; what waits behind it in its queue waits with it.
    Again {
        /// The wait.
        after: Duration,
    },
    /// It was put aside.
    Aside(AsideReason),
    /// Its module was removed meanwhile: it is dropped.
    Removed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tries_wait_longer_each_time_and_end_aside() {
        let mut tries = Tries::default();
        let outcomes: Vec<_> = (0..5).map(|_| tries.after_failure()).collect();
        let again = |secs| AfterTry::Again {
            after: Duration::from_secs(secs),
        };
        assert_eq!(
            outcomes,
            [
                again(1),
                again(2),
                again(4),
                again(8),
                AfterTry::Aside(AsideReason::TriesExhausted)
            ]
        );
    }

    #[test]
    fn the_wait_after_a_failed_try_is_capped() {
        for failed in 0..TRIES_MAX {
            let mut tries = Tries { failed, retried: 0 };
            if let AfterTry::Again { after } = tries.after_failure() {
                assert!(after <= TRY_WAIT_MAX, "{after:?}");
            }
        }
    }

    #[test]
    fn a_wish_for_later_is_cut_at_an_hour_and_counts_no_failure() {
        let mut tries = Tries::default();
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(
            tries.after_retry(day),
            AfterTry::Again {
                after: RETRY_AFTER_MAX
            }
        );
        assert_eq!(
            tries,
            Tries {
                failed: 0,
                retried: 1
            }
        );
    }

    #[test]
    fn the_thousandth_wish_for_later_puts_aside() {
        let mut tries = Tries {
            failed: 4,
            retried: RETRIES_MAX - 2,
        };
        assert_eq!(
            tries.after_retry(Duration::ZERO),
            AfterTry::Again {
                after: Duration::ZERO
            }
        );
        assert_eq!(
            tries.after_retry(Duration::ZERO),
            AfterTry::Aside(AsideReason::RetriesExhausted)
        );
    }
}

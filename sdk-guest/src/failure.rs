//! Why a handler did not deal with what it was given.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::bindings::messages as raw;
use crate::message::SendError;
use crate::{events, twin};

/// What a handler answers.
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// How long a message waits the first time that something was full; a queue of small messages drains in that time.
const FULL_WAIT_FIRST: Duration = Duration::from_millis(10);

/// How long it waits at most; the wait doubles each time.
const FULL_WAIT_MAX: Duration = Duration::from_secs(1);

/// Why a handler did not deal with what it was given, and what shall become of it.
///
/// Every error turns into a failure by `?`: [`Failure::Full`] where something in the host was full (`WouldBlock`), [`Failure::Reject`] with the error's text otherwise.
/// It is not an error type itself, which is what makes that conversion possible.
///
/// Only a message can wait or be put aside; from another handler the text alone counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Not now: the message comes again after this time, at most an hour. The queue waits, and no failure is counted.
    Retry {
        /// How long it waits.
        after: Duration,
        /// What is in the way, for the log; empty where nobody said.
        cause: String,
    },
    /// Something in the host was full, a queue as a rule: the message comes again soon, and ever later up to a second while that lasts.
    Full {
        /// What was full, for the log.
        cause: String,
    },
    /// Never: the message is put aside with this reason, at most 1 KiB.
    Reject(String),
}

impl Failure {
    /// The message comes again after a while.
    pub fn retry(after: Duration) -> Self {
        Self::Retry {
            after,
            cause: String::new(),
        }
    }

    /// The message is put aside.
    pub fn reject(reason: impl fmt::Display) -> Self {
        Self::Reject(reason.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { after, cause } if cause.is_empty() => {
                write!(f, "not now, again in {} ms", after.as_millis())
            }
            Self::Retry { cause, .. } | Self::Full { cause } => f.write_str(cause),
            Self::Reject(reason) => f.write_str(reason),
        }
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let texts: Vec<String> = chain(&error).map(ToString::to_string).collect();
        let cause = texts.join(": ");
        if chain(&error).any(is_full) {
            return Self::Full { cause };
        }
        Self::Reject(cause)
    }
}

impl Failure {
    /// As the host takes it, for a message that was handed over so often before.
    pub(crate) fn into_raw(self, previous_tries: u32) -> raw::Failure {
        match self {
            Self::Retry { after, .. } => raw::Failure::Retry(millis(after)),
            Self::Full { .. } => {
                let factor = 1_u32.checked_shl(previous_tries).unwrap_or(u32::MAX);
                let wait = FULL_WAIT_FIRST.saturating_mul(factor).min(FULL_WAIT_MAX);
                raw::Failure::Retry(millis(wait))
            }
            Self::Reject(reason) => raw::Failure::Reject(reason),
        }
    }
}

/// The error and what caused it, outermost first.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Whether the error says that something in the host was full, which passes.
fn is_full(error: &(dyn Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(SendError::WouldBlock))
        || matches!(error.downcast_ref(), Some(twin::Error::WouldBlock))
        || matches!(
            error.downcast_ref(),
            Some(events::CompletionError::WouldBlock)
        )
}

/// The time in whole milliseconds, as far as they can be counted.
pub(crate) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot pass on")]
    struct Outer(#[source] SendError);

    fn check(failure: impl Into<Failure>, expected: Failure) {
        assert_eq!(failure.into(), expected);
    }

    #[test]
    fn what_was_full_asks_for_another_try_and_says_what_it_was() {
        let retry = |cause: &str| Failure::Full {
            cause: cause.to_owned(),
        };
        let queue = "a queue on the message's way is full";
        check(SendError::WouldBlock, retry(queue));
        check(
            Outer(SendError::WouldBlock),
            retry(&format!("cannot pass on: {queue}")),
        );
        check(
            twin::Error::WouldBlock,
            retry("the twin takes no more patches now"),
        );
        assert_eq!(Failure::from(SendError::WouldBlock).to_string(), queue);
    }

    #[test]
    fn the_wait_for_room_doubles_up_to_a_second() {
        let wait =
            |previous_tries| match Failure::from(SendError::WouldBlock).into_raw(previous_tries) {
                raw::Failure::Retry(after_ms) => after_ms,
                other => panic!("{other:?}"),
            };
        assert_eq!([0, 1, 2, 6].map(wait), [10, 20, 40, 640]);
        assert_eq!([7, 31, 32, u32::MAX].map(wait), [1000; 4]);
    }

    #[test]
    fn any_other_error_rejects_with_its_causes() {
        let bad = SendError::Invalid("property `a` is empty".into());
        check(
            Outer(bad),
            Failure::reject("cannot pass on: message refused: property `a` is empty"),
        );
    }

    #[test]
    fn milliseconds_saturate() {
        assert_eq!(millis(Duration::from_micros(1_999)), 1);
        assert_eq!(millis(Duration::MAX), u32::MAX);
    }
}

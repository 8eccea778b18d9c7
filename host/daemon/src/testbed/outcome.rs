//! What comes out of a module under test, in the order in which it came.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use wasm_edge_model::message::Message;
pub use wasm_edge_runtime::guest::{LogLevel, LogLine, LogStream};

/// Outcomes of one step: a module that logs or sends in a loop is stopped by it, and nobody reads more.
pub const OUTCOMES_MAX: usize = 100_000;

/// Bytes of all bodies and texts of one step.
pub const OUTCOMES_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Something that came out.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A message that the hub has, with the output in its system properties.
    Message(Arc<Message>),
    /// A patch that the module reported.
    Reported(Map<String, Value>),
    /// The answer to a direct method.
    Answer {
        /// The method.
        name: String,
        /// What came back.
        result: Result<Answer, NoAnswer>,
    },
    /// A direct method that the module called.
    Invoked {
        /// The module that was called; `None` is the device.
        target: Option<String>,
        /// The method.
        name: String,
        /// JSON text.
        payload: String,
        /// What the module got.
        result: Result<Answer, String>,
    },
    /// A line that the module logged or wrote, or that the host wrote about a call of it.
    Log(LogLine),
    /// A message that was put aside.
    Aside {
        /// Its number, counted from 1.
        message: u64,
        /// `rejected`, `tries-exhausted` or `retries-exhausted`.
        reason: &'static str,
        /// What the module or the host said.
        detail: String,
    },
    /// A message that the module asked for again later.
    Retry {
        /// Its number.
        message: u64,
        /// Not before so long.
        after: Duration,
    },
    /// Messages that still wait at the end, while something is broken that they may wait for.
    Waiting {
        /// How many.
        messages: u64,
    },
    /// A message for the module that waited longer than messages may.
    Expired {
        /// Its number.
        message: u64,
    },
    /// An instance that ended without being told to.
    Ended {
        /// Why, as the device's log has it.
        reason: String,
        /// Its exit code.
        exit_code: i32,
        /// Where in the guest.
        backtrace: Vec<String>,
    },
}

/// An answer to a direct method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The callee's verdict.
    pub status: u32,
    /// JSON text.
    pub payload: String,
}

/// Why a direct method has no answer, as its caller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The module takes no methods, or does not run.
    NotFound,
    /// It did not answer in time.
    Timeout,
    /// It ended, or threw the call away, before it answered.
    Dropped,
}

impl NoAnswer {
    /// The text form: `not-found`, `timeout`, `dropped`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Timeout => "timeout",
            Self::Dropped => "dropped",
        }
    }
}

/// Where outcomes are gathered; clones share it. Written by all tasks of the test bed, read by its driver.
#[derive(Clone, Default)]
pub(super) struct Record {
    inner: Arc<Mutex<Gathered>>,
}

#[derive(Default)]
struct Gathered {
    outcomes: Vec<Outcome>,
    bytes: usize,
    overflown: bool,
}

impl Record {
    /// Notes an outcome; beyond the limits it is dropped, and [`Record::is_overflown`].
    pub(super) fn push(&self, outcome: Outcome) {
        let mut gathered = self.lock();
        gathered.bytes += outcome.size_bytes();
        if gathered.outcomes.len() >= OUTCOMES_MAX || gathered.bytes > OUTCOMES_MAX_BYTES {
            gathered.overflown = true;
        } else {
            gathered.outcomes.push(outcome);
        }
    }

    pub(super) fn is_overflown(&self) -> bool {
        self.lock().overflown
    }

    /// What was gathered since the last time.
    pub(super) fn take(&self) -> Vec<Outcome> {
        std::mem::take(&mut *self.lock()).outcomes
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outcome {
    fn size_bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.size_bytes(),
            Self::Reported(patch) => wasm_edge_model::twin::size_bytes(patch),
            Self::Answer { name, result } => {
                name.len() + result.as_ref().map_or(0, |answer| answer.payload.len())
            }
            Self::Invoked { payload, .. } => payload.len(),
            Self::Log(line) => line.text.len(),
            Self::Aside { detail, .. } => detail.len(),
            Self::Retry { .. } | Self::Waiting { .. } | Self::Expired { .. } => 0,
            Self::Ended { reason, .. } => reason.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gathered_is_bounded_in_number_and_bytes() {
        let record = Record::default();
        for _ in 0..OUTCOMES_MAX {
            record.push(Outcome::Expired { message: 1 });
        }
        assert!(!record.is_overflown());
        record.push(Outcome::Expired { message: 1 });
        assert!(record.is_overflown());
        assert_eq!(record.take().len(), OUTCOMES_MAX);
        assert!(!record.is_overflown());
        let text = "x".repeat(OUTCOMES_MAX_BYTES / 2 + 1);
        for _ in 0..2 {
            record.push(Outcome::Log(LogLine {
                stream: LogStream::Stdout,
                level: LogLevel::Info,
                text: text.clone(),
                fields: Vec::new(),
            }));
        }
        assert!(record.is_overflown());
        assert_eq!(record.take().len(), 1);
    }
}

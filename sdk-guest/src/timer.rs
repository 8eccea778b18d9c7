//! Timers, driven by the host: an idle module costs nothing.

use std::time::Duration;

use crate::bindings::timer as raw;

/// A timer that was due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The timer's name.
    pub name: String,
    /// How many earlier ticks were missed because the module was busy. They do not come again.
    pub missed: u64,
}

/// Starts a timer that is due each time the period has passed, first after one period. One of the same name is replaced.
///
/// The period is at least 1 ms and at most 366 days.
///
/// # Errors
/// [`Error::TooMany`] with 64 timers running, [`Error::Invalid`] for the name or the period.
pub fn every(name: &str, period: Duration) -> Result<(), Error> {
    start(name, raw::Schedule::Every(millis(period)))
}

/// Starts a timer that is due once. One of the same name is replaced.
///
/// # Errors
/// As [`every`].
pub fn once(name: &str, after: Duration) -> Result<(), Error> {
    start(name, raw::Schedule::Once(millis(after)))
}

/// Stops a timer. Nothing happens if there is none of that name.
pub fn cancel(name: &str) {
    raw::cancel(name);
}

fn start(name: &str, schedule: raw::Schedule) -> Result<(), Error> {
    raw::start(name, schedule).map_err(Error::from)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Why a timer was not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The module has 64 timers running.
    #[error("too many timers are running")]
    TooMany,
    /// The name or the time is not allowed; the text says which.
    #[error("timer refused: {0}")]
    Invalid(String),
    /// Anything else.
    #[error("timer not started: {0}")]
    Other(String),
}

impl From<raw::TimerError> for Error {
    fn from(error: raw::TimerError) -> Self {
        match error {
            raw::TimerError::TooMany => Self::TooMany,
            raw::TimerError::Invalid(text) => Self::Invalid(text),
            raw::TimerError::Other(text) => Self::Other(text),
        }
    }
}

impl From<raw::Tick> for Tick {
    fn from(tick: raw::Tick) -> Self {
        let raw::Tick { name, missed } = tick;
        Self { name, missed }
    }
}

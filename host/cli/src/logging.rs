//! What the host says about itself: `tracing` events, to standard error.
//!
//! Installed once by commands that run parts of the host; the verbs that only ask a device print through
//! [`crate::output`] alone.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, fmt};

use crate::output::{Output, Verbosity};

/// What is said, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logging {
    /// The host's events from here on; other crates' from the next level on.
    pub(crate) verbosity: Verbosity,
    /// An object a line instead of text.
    pub(crate) json: bool,
    /// Whether text is coloured.
    pub(crate) colors: bool,
}

impl Logging {
    /// Text, as much as the person wants to hear.
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            verbosity: output.verbosity(),
            json: false,
            colors: output.colors_messages(),
        }
    }

    /// Sends events to standard error from now on.
    ///
    /// # Errors
    /// When a subscriber is installed already.
    pub(crate) fn install(self) -> Result<(), TryInitError> {
        let layer = fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(self.colors)
            .with_target(self.json || self.verbosity == Verbosity::Debug);
        let layer = match self.json {
            true => layer.json().flatten_event(true).boxed(),
            false => layer.boxed(),
        };
        tracing_subscriber::registry()
            .with(layer)
            .with(filter(self.verbosity))
            .try_init()
    }
}

/// Which events are let through.
fn filter(verbosity: Verbosity) -> Targets {
    let (ours, others) = match verbosity {
        Verbosity::Quiet => (Level::ERROR, LevelFilter::OFF),
        Verbosity::Normal => (Level::WARN, LevelFilter::ERROR),
        Verbosity::Verbose => (Level::INFO, LevelFilter::WARN),
        Verbosity::Debug => (Level::DEBUG, LevelFilter::INFO),
    };
    Targets::new()
        .with_default(others)
        .with_target("wasm_edge", ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_events_are_heard_one_level_earlier() {
        let check = |verbosity, target, level, expected| {
            assert_eq!(
                filter(verbosity).would_enable(target, &level),
                expected,
                "{target} {level}"
            );
        };
        check(
            Verbosity::Quiet,
            "wasm_edge_daemon::agent",
            Level::ERROR,
            true,
        );
        check(
            Verbosity::Quiet,
            "wasm_edge_daemon::agent",
            Level::WARN,
            false,
        );
        check(Verbosity::Normal, "wasm_edge_hub", Level::WARN, true);
        check(Verbosity::Normal, "wasmtime", Level::WARN, false);
        check(Verbosity::Verbose, "wasm_edge_hub", Level::INFO, true);
        check(Verbosity::Verbose, "hyper", Level::INFO, false);
        check(Verbosity::Debug, "wasm_edge_hub", Level::DEBUG, true);
        check(Verbosity::Debug, "hyper", Level::DEBUG, false);
    }
}

//! What the host says about itself: `tracing` events, to standard error.
//!
//! Installed once by commands that run parts of the host; the verbs that only ask a device print through
//! [`crate::output`] alone.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::output::{Output, Verbosity};

/// Sends the host's events from `verbosity` on to standard error; other crates' events from the next level on.
///
/// # Errors
/// When a subscriber is installed already.
pub(crate) fn install(output: &Output) -> Result<(), TryInitError> {
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(output.colors_messages())
        .with_target(output.verbosity() == Verbosity::Debug);
    tracing_subscriber::registry()
        .with(layer)
        .with(filter(output.verbosity()))
        .try_init()
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

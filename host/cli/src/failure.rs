//! What a command failed with, as far as a person or a script acts on it: text, exit status, hint.
//!
//! Commands return `anyhow::Error`; a [`Failure`] anywhere in its chain decides the exit status and the hint.
//! [`crate::output`] prints both. Typed errors of the parts become a `Failure` in the command that calls them.

use std::error::Error;
use std::io::{self, ErrorKind};

use crate::exit_codes::ExitStatus;

/// The error of a command.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    message: String,
    status: ExitStatus,
    hint: Option<String>,
    #[source]
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure that ends the process with `status`; `message` is a lower-case fragment.
    pub(crate) fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status,
            hint: None,
            cause: None,
        }
    }

    /// Adds what the person can do about it, as a full sentence or a command to run.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what led to it; printed as `caused by:` with its own sources after it.
    #[must_use]
    pub(crate) fn caused_by(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

/// The exit status that an error asks for: of the first [`Failure`] in its chain, else [`ExitStatus::Failure`]. A full
/// disk has one of its own, whatever was to be written.
pub(crate) fn exit_status(error: &anyhow::Error) -> ExitStatus {
    if is_of_full_disk(error) {
        return ExitStatus::TryLater;
    }
    failures(error)
        .next()
        .map_or(ExitStatus::Failure, |failure| failure.status)
}

/// The hint of the first [`Failure`] in the chain that has one.
pub(crate) fn hint(error: &anyhow::Error) -> Option<&str> {
    failures(error).find_map(|failure| failure.hint.as_deref())
}

fn is_of_full_disk(error: &anyhow::Error) -> bool {
    let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
    let causes = error.chain();
    let mut kinds = causes.filter_map(|cause| Some(cause.downcast_ref::<io::Error>()?.kind()));
    kinds.any(|kind| full.contains(&kind))
}

/// A [`Failure`] may be the error itself, a context that was put around another one, or a source further down.
fn failures(error: &anyhow::Error) -> impl Iterator<Item = &Failure> {
    let outermost = error.downcast_ref::<Failure>();
    let rest = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<Failure>());
    outermost.into_iter().chain(rest)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn an_error_without_a_failure_ends_with_the_general_code() {
        let error = anyhow::anyhow!("disk on fire");
        assert_eq!(exit_status(&error), ExitStatus::Failure);
        assert_eq!(hint(&error), None);
    }

    #[test]
    fn a_failure_is_found_below_and_above_other_errors() {
        let inner =
            || Failure::new(ExitStatus::NotFound, "no module `x`").hint("run `wasm-edge list`");
        let below = Err::<(), _>(inner())
            .context("cannot read the twin")
            .unwrap_err();
        let above = anyhow::anyhow!("refused").context(inner());
        for error in [below, above] {
            assert_eq!(exit_status(&error), ExitStatus::NotFound);
            assert_eq!(hint(&error), Some("run `wasm-edge list`"));
        }
    }

    #[test]
    fn a_full_disk_ends_with_the_same_code_everywhere() {
        let full = || io::Error::from(ErrorKind::StorageFull);
        let told = Failure::new(ExitStatus::BadConfig, "cannot start").caused_by(full());
        let untold = Err::<(), _>(full())
            .context("cannot write `x`")
            .unwrap_err();
        for error in [told.into(), untold] {
            assert_eq!(exit_status(&error), ExitStatus::TryLater);
        }
        let other = anyhow::Error::from(io::Error::from(ErrorKind::NotFound));
        assert_eq!(exit_status(&other), ExitStatus::Failure);
    }

    #[test]
    fn the_outermost_failure_decides_and_an_inner_hint_is_kept() {
        let inner = Failure::new(ExitStatus::NotFound, "gone").hint("look elsewhere");
        let outer = Failure::new(ExitStatus::BadConfig, "cannot start").caused_by(inner);
        let error = anyhow::Error::from(outer);
        assert_eq!(exit_status(&error), ExitStatus::BadConfig);
        assert_eq!(hint(&error), Some("look elsewhere"));
    }
}

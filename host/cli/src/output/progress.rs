//! How far something long is, on a line of standard error that a person sees change.
//!
//! Nothing is drawn where standard error is no terminal, nor for those who want to hear errors only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::escape::harmless;
use super::{Output, Verbosity};

/// What is drawn; the bar gets what the line has left.
const TEMPLATE: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}";

/// A progress that is shown until it ends or is dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Output {
    /// Shows how far `what` is.
    pub(crate) fn progress(&self, what: &str) -> Progress {
        let target = match self.verbosity() {
            Verbosity::Quiet => ProgressDrawTarget::hidden(),
            _ => ProgressDrawTarget::stderr(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template(TEMPLATE);
        bar.set_style(style.expect("the template is one"));
        bar.set_message(harmless(what).into_owned());
        Progress { bar }
    }
}

impl Progress {
    /// So many bytes of so many.
    pub(crate) fn at(&self, done_bytes: u64, size_bytes: u64) {
        self.bar.set_length(size_bytes);
        self.bar.set_position(done_bytes);
    }

    /// Takes the line away.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

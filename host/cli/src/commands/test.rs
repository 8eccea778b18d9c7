//! `test`: runs a component over messages on a device of its own. What it does is in [`crate::test`].

use crate::args::test::TestArgs;
use crate::exit_codes::ExitStatus;
use crate::logging::Logging;
use crate::output::{Output, Verbosity};
use crate::test;

/// Runs the test on this thread. What the device logs is shown if the person wants to hear of it.
pub(super) fn execute(args: &TestArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    if output.verbosity() > Verbosity::Normal {
        Logging::of(output).install()?;
    }
    test::run(args, output)
}

//! `test`: runs a component over messages on a device of its own. What it does is in [`crate::test`].

use crate::args::test::TestArgs;
use crate::exit_codes::ExitStatus;
use crate::output::{Output, Verbosity};
use crate::{logging, test};

/// Runs the test on this thread. What the device logs is shown if the person wants to hear of it.
pub(super) fn execute(args: &TestArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    if output.verbosity() > Verbosity::Normal {
        logging::install(output)?;
    }
    test::run(args, output)
}

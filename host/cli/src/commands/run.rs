//! `run`: device and hub in one process.

use crate::args::run::RunArgs;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;

/// Checks what is to be run.
pub(super) fn execute(args: RunArgs, _output: &Output) -> anyhow::Result<ExitStatus> {
    args.targets()?;
    Err(Failure::new(ExitStatus::Failure, "this build cannot run deployments yet").into())
}

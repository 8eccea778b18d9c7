//! The commands under `route`: what a route does with a message, without a device.

pub(super) mod snippet;
mod test;

use crate::args::route::RouteCommand;
use crate::exit_codes::ExitStatus;
use crate::output::Output;

/// Runs a command under `route`.
pub(super) fn execute(command: RouteCommand, output: &Output) -> anyhow::Result<ExitStatus> {
    match command {
        RouteCommand::Test(args) => test::execute(&args, output),
    }
}

//! `completions`: a completion script for a shell.

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs};
use crate::exit_codes::ExitStatus;
use crate::output::Output;

/// Prints the script to standard output.
pub(super) fn execute(args: &CompletionsArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "wasm-edge", &mut script);
    output.verbatim(&String::from_utf8_lossy(&script))?;
    Ok(ExitStatus::Ok)
}

//! `run`: device and hub in one process; the rest is [`crate::run`].

use crate::args::run::RunArgs;
use crate::commands::foreground::{self, Threads};
use crate::exit_codes::ExitStatus;
use crate::logging::Logging;
use crate::output::Output;
use crate::run;

/// Modules are many and small, and a thread costs memory: the C library sets 64 MiB of addresses aside for each, of which a
/// gigabyte has to hold all.
const THREADS: Threads = Threads {
    workers_max: 4,
    blocking_max: 6,
};

/// Runs until the first signal, which ends in order; a second one ends at once.
pub(super) fn execute(args: RunArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    foreground::run(
        output,
        Logging::of(output),
        THREADS,
        |output, stop| async move { run::run(args, &output, stop).await },
    )
}

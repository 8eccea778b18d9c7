//! `hub serve`: a hub on the network; the rest is [`crate::hub_server`].

use crate::args::GlobalArgs;
use crate::args::hub::serve::ServeArgs;
use crate::commands::foreground::{self, Threads};
use crate::exit_codes::ExitStatus;
use crate::hub_server;
use crate::logging::Logging;
use crate::output::Output;

/// Connections are many, and so are those who wait for the disk.
const THREADS: Threads = Threads {
    workers_max: 32,
    blocking_max: 32,
};

/// Serves until the first signal, which ends in order; a second one ends at once.
pub(super) fn execute(
    args: ServeArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let data_dir = global.data_dir.clone();
    foreground::run(
        output,
        Logging::of(output),
        THREADS,
        |output, stop| async move { hub_server::serve(&args, data_dir, &output, stop).await },
    )
}

//! `run`: device and hub in one process. Signals are turned into a stop here; the rest is [`crate::run`].

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::run::RunArgs;
use crate::exit_codes::ExitStatus;
use crate::output::Output;
use crate::{logging, run};

/// Worker threads at most: modules are many and small, and a thread costs memory.
const WORKERS_MAX: usize = 4;

/// Threads for blocking work at most: files, the store, the compiler.
const BLOCKING_MAX: usize = 16;

/// Runs until the first signal, which ends in order; a second one ends at once.
pub(super) fn execute(args: RunArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    logging::install(output)?;
    raise_open_files();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(2, WORKERS_MAX))
        .max_blocking_threads(BLOCKING_MAX)
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    let stop = CancellationToken::new();
    let status = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        // Too large a file is an error to be told, not the end of the process.
        let _too_large = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        // In a task of its own, so that signals are heard while it is in the middle of reading a file.
        let (output_of_run, stop_of_run) = (output.clone(), stop.clone());
        let mut running =
            tokio::spawn(async move { run::run(args, &output_of_run, stop_of_run).await });
        let mut signals = 0;
        loop {
            tokio::select! {
                ended = &mut running => return ended?,
                _ = interrupt.recv() => signals += 1,
                _ = terminate.recv() => signals += 1,
            }
            if signals > 1 {
                output.warn("ended at once");
                return Ok(ExitStatus::Interrupted);
            }
            stop.cancel();
        }
    });
    // Work in blocking threads is not waited for: an orderly end has none left, another one must not hang.
    runtime.shutdown_background();
    status
}

/// Allows this process as many open files as the system lets it have: each module may hold some, and the
/// usual limit is from times when a process was one program.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(err) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%err, "the limit of open files stays as it is");
    }
}

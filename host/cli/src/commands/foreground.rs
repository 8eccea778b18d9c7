//! Commands that go on until they are told to stop: signals are turned into a stop here.
//!
//! The first SIGINT or SIGTERM ends in order, a second one at once. What ends in order is the work's own matter.

use std::future::Future;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit_codes::ExitStatus;
use crate::logging::Logging;
use crate::open_files;
use crate::output::Output;

/// How many threads a command gets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threads {
    /// For tasks, at most; as many as there are cores, but two.
    pub(super) workers_max: usize,
    /// For blocking work at most: files, the store, the compiler.
    pub(super) blocking_max: usize,
}

/// Runs `work` until it ends, or until a second signal.
pub(super) fn run<F>(
    output: &Output,
    logging: Logging,
    threads: Threads,
    work: impl FnOnce(Output, CancellationToken) -> F,
) -> anyhow::Result<ExitStatus>
where
    F: Future<Output = anyhow::Result<ExitStatus>> + Send + 'static,
{
    logging.install()?;
    open_files::raise();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(2, threads.workers_max))
        .max_blocking_threads(threads.blocking_max)
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
        let mut running = tokio::spawn(work(output.clone(), stop.clone()));
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

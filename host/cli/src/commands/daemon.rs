//! `daemon`: the device of a board; the rest is [`crate::daemon`].

use std::path::PathBuf;

use wasm_edge_daemon::config::Config;
use wasm_edge_daemon::config::device::{LogFormat, LogLevel};
use wasm_edge_daemon::supervisor::life::RestartWaits;

use crate::args::GlobalArgs;
use crate::args::daemon::DaemonArgs;
use crate::commands::foreground::{self, Threads};
use crate::daemon::{self, DaemonOptions};
use crate::exit_codes::ExitStatus;
use crate::logging::Logging;
use crate::output::{Output, Verbosity};
use crate::{config_file, live};

/// A board has few cores and little memory.
const THREADS: Threads = Threads {
    workers_max: 2,
    blocking_max: 6,
};

/// Runs until the first signal, which ends in order; a second one ends at once.
pub(super) fn execute(
    args: DaemonArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let config = config_file::read_service(&args.config, output)?;
    if args.check {
        return daemon::check::print(&config, &args.config, output);
    }
    let data_dir = global.data_dir.clone();
    let options = DaemonOptions {
        data_dir: data_dir.unwrap_or_else(|| PathBuf::from(live::SYSTEM_FOLDER)),
        pid_file: args.pid_file,
        run_for: None,
        restart_waits: RestartWaits::default(),
    };
    let logging = logging(&config, output);
    foreground::run(output, logging, THREADS, |output, stop| async move {
        daemon::run(config, options, &output, stop, |_| {}).await
    })
}

/// As the command line says, else as the configuration does.
pub(super) fn logging(config: &Config, output: &Output) -> Logging {
    let verbosity = match (output.verbosity(), config.log.level) {
        (Verbosity::Normal, LogLevel::Error) => Verbosity::Quiet,
        (Verbosity::Normal, LogLevel::Warn) => Verbosity::Normal,
        (Verbosity::Normal, LogLevel::Info) => Verbosity::Verbose,
        (Verbosity::Normal, LogLevel::Debug) => Verbosity::Debug,
        (said, _) => said,
    };
    Logging {
        verbosity,
        json: config.log.format == LogFormat::Json,
        ..Logging::of(output)
    }
}

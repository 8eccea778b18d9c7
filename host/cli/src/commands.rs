//! From arguments to an exit status: parses, runs the command, prints what failed.
//!
//! One file per command, each with one function that returns an [`ExitStatus`]; `running` finds the device to ask.

#[cfg(feature = "compiler")]
mod build;
pub(crate) mod check;
mod completions;
mod config;
mod daemon;
mod deploy;
#[cfg(feature = "hub")]
mod far_hub;
mod foreground;
#[cfg(feature = "hub")]
mod hub;
mod image;
mod inspect;
mod list;
mod logs;
mod man;
mod message;
mod method;
mod monitor;
#[cfg(feature = "compiler")]
mod new;
#[cfg(feature = "compiler")]
mod precompile;
mod queue;
mod restart;
mod route;
#[cfg(feature = "hub")]
mod run;
mod running;
mod send;
mod store;
pub(crate) mod support_bundle;
#[cfg(feature = "test")]
mod test;
mod twin;
mod upstream;

use std::ffi::OsString;
use std::future::Future;

use anyhow::Context;
use clap::Parser;

use crate::args::{Cli, Command};
use crate::exit_codes::ExitStatus;
use crate::failure;
use crate::output::{ColorChoice, Format, Output, OutputError, Verbosity};

/// Runs the command that the arguments ask for.
pub(crate) fn main(args: impl Iterator<Item = OsString>) -> ExitStatus {
    let args: Vec<OsString> = args.collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(err) => return usage(&err, color_asked_for(&args)),
    };
    let output =
        Output::to_standard_streams(cli.global.output, cli.global.color, cli.global.verbosity());
    end(dispatch(cli, &output), &output)
}

fn dispatch(cli: Cli, output: &Output) -> anyhow::Result<ExitStatus> {
    let global = &cli.global;
    match cli.command {
        #[cfg(feature = "hub")]
        Command::Run(args) => {
            let data_dir = cli.global.data_dir;
            run::execute(crate::args::run::RunArgs { data_dir, ..*args }, output)
        }
        Command::Daemon(args) => daemon::execute(args, global, output),
        Command::Config(command) => config::execute(command, output),
        Command::List(args) => wait(list::execute(args, global, output)),
        Command::Inspect(args) => wait(inspect::execute(args, global, output)),
        Command::Logs(args) => wait(logs::execute(args, global, output)),
        Command::Method(args) => wait(method::execute(args, global, output)),
        Command::Send(args) => wait(send::execute(args, global, output)),
        Command::Restart(args) => wait(restart::execute(args, global, output)),
        Command::Twin(command) => wait(twin::execute(command, global, output)),
        Command::Monitor(args) => wait(monitor::execute(args, global, output)),
        Command::Queue(command) => queue::execute(command, global, output),

        Command::Upstream(command) => wait(upstream::execute(command, global, output)),
        Command::Deploy(command) => deploy::execute(command, global, output),
        Command::Image(command) => image::execute(command, global, output),
        Command::Route(command) => route::execute(command, output),
        #[cfg(feature = "hub")]
        Command::Hub(command) => hub::execute(command, global, output),
        #[cfg(feature = "test")]
        Command::Test(args) => test::execute(&args, output),
        #[cfg(feature = "hub")]
        Command::Bench(args) => crate::bench::bench(&args, output),
        Command::Check(args) => wait(check::execute(args, global, output)),
        Command::SupportBundle(args) => wait(support_bundle::execute(args, global, output)),
        Command::Man(args) => man::execute(&args, output),
        #[cfg(feature = "compiler")]
        Command::New(args) => new::execute(&args, output),
        #[cfg(feature = "compiler")]
        Command::Build(args) => build::execute(args, output),
        #[cfg(feature = "compiler")]
        Command::Precompile(args) => {
            let data_dir = global.data_dir.as_deref();
            wait(precompile::execute(args, data_dir, output))
        }
        Command::Completions(args) => completions::execute(&args, output),
    }
}

/// Runs a command that talks to a device, on this thread alone.
fn wait(command: impl Future<Output = anyhow::Result<ExitStatus>>) -> anyhow::Result<ExitStatus> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .context("cannot start the event loop")?
        .block_on(command)
}

/// The exit status of what a command came to, after printing what failed.
fn end(result: anyhow::Result<ExitStatus>, output: &Output) -> ExitStatus {
    let error = match result {
        Ok(status) => return status,
        Err(error) => error,
    };
    let reader_gone = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(OutputError::ReaderGone))
    };
    if error.chain().any(reader_gone) {
        return ExitStatus::Ok;
    }
    output.error(&error);
    failure::exit_status(&error)
}

/// Prints a help page to standard output, or what is wrong with the arguments to standard error.
fn usage(err: &clap::Error, color: ColorChoice) -> ExitStatus {
    let output = Output::to_standard_streams(Format::Text, color, Verbosity::Normal);
    let page = err.render();
    if err.use_stderr() {
        output.usage_error(&page);
        return ExitStatus::Usage;
    }
    end(
        output
            .page(&page)
            .map(|()| ExitStatus::Ok)
            .map_err(Into::into),
        &output,
    )
}

/// The value of `--color`, for the case that the arguments as a whole are not understood.
fn color_asked_for(args: &[OsString]) -> ColorChoice {
    let mut choice = ColorChoice::Auto;
    for (index, arg) in args.iter().enumerate() {
        let arg = arg.to_string_lossy();
        let value = match arg.strip_prefix("--color=") {
            Some(value) => value.to_owned(),
            None if arg == "--color" => args
                .get(index + 1)
                .map(|v| v.to_string_lossy().into_owned())
                .unwrap_or_default(),
            None => continue,
        };
        choice = clap::ValueEnum::from_str(&value, false).unwrap_or(choice);
    }
    choice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_known_even_if_the_rest_is_wrong() {
        let check = |args: &[&str], expected| {
            let args: Vec<OsString> = args.iter().map(Into::into).collect();
            assert_eq!(color_asked_for(&args), expected);
        };
        check(&["wasm-edge", "nonsense"], ColorChoice::Auto);
        check(
            &["wasm-edge", "--color", "never", "nonsense"],
            ColorChoice::Never,
        );
        check(
            &["wasm-edge", "--color=always", "nonsense"],
            ColorChoice::Always,
        );
        check(&["wasm-edge", "--color"], ColorChoice::Auto);
        check(&["wasm-edge", "--color=mauve"], ColorChoice::Auto);
    }
}

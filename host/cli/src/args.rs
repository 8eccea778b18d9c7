//! The command line's grammar: commands, options and how their values are checked.
//!
//! Only shapes and parsing; what a command does is in `commands`. The text here is what `--help` shows.

#[cfg(feature = "compiler")]
pub(crate) mod author;
#[cfg(feature = "hub")]
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod daemon;
pub(crate) mod deploy;
pub(crate) mod far_hub;
#[cfg(feature = "hub")]
pub(crate) mod hub;
pub(crate) mod image;
pub(crate) mod module;
#[cfg(feature = "compiler")]
pub(crate) mod precompile;
pub(crate) mod queue;
#[cfg(feature = "hub")]
pub(crate) mod retention;
pub(crate) mod route;
#[cfg(feature = "hub")]
pub(crate) mod run;
pub(crate) mod support_bundle;
pub(crate) mod telemetry_filter;
#[cfg(feature = "test")]
pub(crate) mod test;
mod twin_patch;
pub(crate) mod upstream;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use wasm_edge_model::identity::{DeviceId, ModuleId};

use self::far_hub::FarHubArgs;
use self::telemetry_filter::TelemetryFilterArgs;
pub(crate) use self::twin_patch::TwinPatchArgs;
use crate::duration::{self, Moment};
use crate::exit_codes;
use crate::output::{ColorChoice, Format, Verbosity};

/// Runs Azure IoT Edge modules as WebAssembly components.
#[derive(Debug, Parser)]
#[command(
    name = "wasm-edge",
    version,
    propagate_version = true,
    after_long_help = exit_codes::help()
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The heading over the options of every command, after those of the command itself.
const GLOBAL: &str = "Options of every command";

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct GlobalArgs {
    /// The form of the data printed to standard output
    #[arg(long, global = true, help_heading = GLOBAL)]
    #[arg(value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) output: Format,

    /// The data folder; without it, `run` takes one per manifest, the other commands the only running device
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// When to use colour; `auto` heeds NO_COLOR
    #[arg(long, global = true, help_heading = GLOBAL)]
    #[arg(value_enum, value_name = "WHEN", default_value_t)]
    pub(crate) color: ColorChoice,

    /// Say more on standard error; twice for every step
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    #[arg(action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,

    /// Say errors only
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    quiet: bool,
}

impl GlobalArgs {
    /// Those that name a data folder and nothing else.
    pub(crate) fn of_data_folder(data_folder: PathBuf) -> Self {
        Self {
            output: Format::default(),
            data_dir: Some(data_folder),
            color: ColorChoice::default(),
            verbose: 0,
            quiet: false,
        }
    }
}

/// The commands, in the order of `--help`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a deployment manifest or a single component: device and hub in one process
    #[cfg(feature = "hub")]
    Run(Box<run::RunArgs>),
    /// Run the device of a hub elsewhere, or of none, as its configuration says: what a board's service is
    Daemon(daemon::DaemonArgs),
    /// Write the configuration of the daemon
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// List the modules of the running device
    List(ListArgs),
    /// Show all about one module
    Inspect(InspectArgs),
    /// Show what modules logged
    Logs(LogsArgs),
    /// Call a direct method of a module and print its answer
    Method(module::MethodArgs),
    /// Put a message into a module's input, past the routes
    Send(module::SendArgs),
    /// Restart a module
    Restart(module::RestartArgs),
    /// Read, change and watch the twin of a device or a module
    #[command(subcommand)]
    Twin(TwinCommand),
    /// Show the messages that go upstream, as they go
    Monitor(MonitorArgs),
    /// See and handle what waits in the queues, and what was put aside
    #[command(subcommand)]
    Queue(queue::QueueCommand),

    /// Show a device's way to its hub, take it away and give it back
    #[command(subcommand)]
    Upstream(upstream::UpstreamCommand),
    /// Work with deployment manifests
    #[command(subcommand)]
    Deploy(deploy::DeployCommand),
    /// Keep images of modules: push them to registries, pull, list and remove them, take them to sites without a network
    #[command(subcommand)]
    Image(image::ImageCommand),
    /// Work with routes and their conditions
    #[command(subcommand)]
    Route(route::RouteCommand),
    /// Operate a hub: identities of devices and modules, what goes to devices, what they sent
    #[cfg(feature = "hub")]
    #[command(subcommand)]
    Hub(hub::HubCommand),
    /// Run a component over messages on virtual time, and compare what comes out
    #[cfg(feature = "test")]
    Test(Box<test::TestArgs>),
    /// Measure on this machine what a device takes: starts, calls, messages, memory
    #[cfg(feature = "hub")]
    Bench(bench::BenchArgs),
    /// Look for what keeps a device from running well, on this machine and in its data folder
    Check(check::CheckArgs),
    /// Gather what helps to find a fault into one file, without secrets
    SupportBundle(support_bundle::SupportBundleArgs),
    /// Make a crate for a module, ready to be built, tested and run
    #[cfg(feature = "compiler")]
    New(author::NewArgs),
    /// Build a module's crate to a component, and say what came out
    #[cfg(feature = "compiler")]
    Build(author::BuildArgs),
    /// Compile the images of deployments into a data folder, for a device that has no compiler
    #[cfg(feature = "compiler")]
    Precompile(precompile::PrecompileArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print or write manual pages
    Man(ManArgs),
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only the modules of this device
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The module's id
    pub(crate) module: ModuleId,
    /// The device it runs on, where there are several
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The module's id; all modules without it
    pub(crate) module: Option<ModuleId>,
    /// Only modules of this device
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
    /// Go on with new lines until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// So many of the last lines; without it, all that are kept
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) tail: Option<u32>,
    /// Only lines from this time on: an RFC 3339 time, or a duration such as `10m` before now
    #[arg(long, value_name = "TIME|DURATION", value_parser = duration::parse_moment)]
    pub(crate) since: Option<Moment>,
    /// Only lines before this time, given as for `--since`
    #[arg(long, value_name = "TIME|DURATION", value_parser = duration::parse_moment)]
    #[arg(conflicts_with = "follow")]
    pub(crate) until: Option<Moment>,
    /// Only lines of this level and higher ones
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) level: Option<LevelArg>,
    /// Only lines that a regular expression is found in, in their text or in `name=value` of a field
    #[arg(long, value_name = "REGEX")]
    pub(crate) grep: Option<String>,
}

/// A level of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LevelArg {
    /// What failed.
    Error,
    /// What should be looked at.
    Warn,
    /// What happens.
    Info,
    /// For whoever looks for a fault.
    Debug,
    /// Every step.
    Trace,
}

impl LevelArg {
    /// Its name in the management API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The commands under `twin`.
#[derive(Debug, Subcommand)]
pub(crate) enum TwinCommand {
    /// Print a twin
    Get(TwinGetArgs),
    /// Change the desired properties or the tags by a merge patch
    Patch(TwinPatchArgs),
    /// Print a twin now and at each change
    Watch(TwinWatchArgs),
    /// Take back what `twin patch --local` changed of a module's desired properties
    Reset(TwinResetArgs),
}

/// Arguments of `twin get`.
#[derive(Debug, Args)]
pub(crate) struct TwinGetArgs {
    /// The module's id; the device's own twin without it
    pub(crate) module: Option<ModuleId>,
    /// The device, where there are several
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
    /// Only the desired properties
    #[arg(long, group = "section")]
    pub(crate) desired: bool,
    /// Only the reported properties
    #[arg(long, group = "section")]
    pub(crate) reported: bool,
    /// Only the tags
    #[arg(long, group = "section")]
    pub(crate) tags: bool,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// Arguments of `twin watch`.
#[derive(Debug, Args)]
pub(crate) struct TwinWatchArgs {
    /// The module's id; the device's own twin without it
    pub(crate) module: Option<ModuleId>,
    /// The device, where there are several
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// Arguments of `twin reset`.
#[derive(Debug, Args)]
pub(crate) struct TwinResetArgs {
    /// The module's id
    pub(crate) module: ModuleId,
    /// The device, where there are several
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
}

/// Arguments of `monitor`.
#[derive(Debug, Args)]
pub(crate) struct MonitorArgs {
    #[command(flatten)]
    pub(crate) filter: TelemetryFilterArgs,
    /// Where to begin: with the `earliest` message that the hub keeps, the `latest`, or a position
    #[arg(long, value_name = "POSITION", default_value = "latest", value_parser = parse_start)]
    pub(crate) from: String,
    /// When the device ends, wait for it and go on after the last message
    #[arg(long)]
    pub(crate) reconnect: bool,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write the pages of all commands into this folder; without it the page of the program is printed
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// An etag as it goes into `If-Match`, in double quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Etag(String);

impl Etag {
    /// The header's value.
    pub(crate) fn as_header(&self) -> &str {
        &self.0
    }
}

impl GlobalArgs {
    /// How much is said on standard error.
    pub(crate) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, 1) => Verbosity::Verbose,
            (false, _) => Verbosity::Debug,
        }
    }
}

/// Takes `earliest`, `latest` or a position of a message; what is there is the hub's matter.
fn parse_start(text: &str) -> Result<String, String> {
    let is_position = text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok();
    match text {
        "earliest" | "latest" => Ok(text.to_owned()),
        _ if is_position => Ok(text.to_owned()),
        _ => Err("expected `earliest`, `latest` or the position of a message".to_owned()),
    }
}

/// Takes an etag with or without its quotes.
fn parse_etag(text: &str) -> Result<Etag, String> {
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    match inner {
        "" => Err("an etag is not empty".to_owned()),
        _ if inner.len() > 128 => Err("an etag has at most 128 characters".to_owned()),
        _ if inner.chars().all(|c| c.is_ascii_graphic() && c != '"') => {
            Ok(Etag(format!("\"{inner}\"")))
        }
        _ => Err("an etag holds printable ASCII characters without spaces or quotes".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_patch_may_stand_alone_or_after_a_module() {
        let parse = |args: &[&str]| {
            let args = ["wasm-edge", "twin", "patch"].iter().chain(args);
            match Cli::try_parse_from(args).unwrap().command {
                Command::Twin(TwinCommand::Patch(args)) => {
                    (args.module.map(|m| m.to_string()), args.patch)
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(parse(&["{}"]), (None, "{}".to_owned()));
        assert_eq!(
            parse(&["sensor", "-"]),
            (Some("sensor".to_owned()), "-".to_owned())
        );
        for args in [
            ["--tags", "sensor", "{}"],
            ["sensor", "--tags", "{}"],
            ["sensor", "{}", "--tags"],
        ] {
            let expected = (Some("sensor".to_owned()), "{}".to_owned());
            assert_eq!(parse(&args), expected, "{args:?}");
        }
    }

    #[test]
    fn etags_are_quoted_once() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(
                parse_etag(text).ok().as_ref().map(Etag::as_header),
                expected
            );
        };
        check("AAAAAAAAAA8=", Some("\"AAAAAAAAAA8=\""));
        check("\"AAAAAAAAAA8=\"", Some("\"AAAAAAAAAA8=\""));
        check("*", Some("\"*\""));
        for wrong in ["", "\"\"", "a b", "a\"b", "a\r\nx: y", "é"] {
            check(wrong, None);
        }
    }

    #[test]
    fn every_command_and_option_is_documented() {
        const DOCS: &str = include_str!("../../../docs/cli.md");
        let mut missing = Vec::new();
        for command in commands_below(&Cli::command(), "") {
            let heading = format!("\n### `{}", command.0);
            let Some(section) = DOCS
                .split(&heading)
                .nth(1)
                .and_then(|rest| rest.split("\n##").next())
            else {
                missing.push(format!("a section of `{}`", command.0));
                continue;
            };
            for long in command.1.get_arguments().filter_map(|arg| arg.get_long()) {
                if !section.contains(&format!("--{long}")) {
                    missing.push(format!("`--{long}` of `{}`", command.0));
                }
            }
        }
        let global = DOCS
            .split("## Options of every command")
            .nth(1)
            .unwrap_or_default();
        for long in ["output", "data-dir", "color", "verbose", "quiet"] {
            if !global.contains(&format!("--{long}")) {
                missing.push(format!("`--{long}`"));
            }
        }
        assert!(missing.is_empty(), "docs/cli.md lacks {missing:?}");
    }

    /// All commands that do something, by their full name.
    fn commands_below(command: &clap::Command, prefix: &str) -> Vec<(String, clap::Command)> {
        let mut found = Vec::new();
        for child in command.get_subcommands() {
            let name = format!("{prefix}{}", child.get_name());
            found.extend(commands_below(child, &format!("{name} ")));
            if !child.is_subcommand_required_set() {
                found.push((name, child.clone()));
            }
        }
        found
    }
}

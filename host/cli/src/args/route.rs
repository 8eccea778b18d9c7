//! Arguments of the commands under `route`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::MessageSource;
use wasm_edge_model::route::condition::Compatibility;

use crate::exit_codes;

/// The commands under `route`.
#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Say whether a route or a condition takes a message, and why
    #[command(after_long_help = exit_codes::route_test_help())]
    Test(RouteTestArgs),
}

/// Arguments of `route test`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(["route", "condition"]))]
#[command(group = ArgGroup::new("messages").args(["message", "cases"]).required(true))]
pub(crate) struct RouteTestArgs {
    /// A whole route: `FROM source WHERE condition INTO sink`
    #[arg(long, value_name = "ROUTE", allow_hyphen_values = true, required_unless_present_any = ["condition", "cases"])]
    pub(crate) route: Option<String>,
    /// The condition alone, as it stands behind WHERE
    #[arg(long, value_name = "CONDITION", allow_hyphen_values = true)]
    pub(crate) condition: Option<String>,
    /// The message: a JSON object of `properties`, `systemProperties`, and `body`, `bodyText` or `bodyBase64`; `-`
    /// reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) message: Option<PathBuf>,
    /// Where the message came from, such as `/messages/modules/NAME/outputs/OUTPUT`; a route whose source it does
    /// not match is false
    #[arg(long, value_name = "SOURCE", value_parser = parse_source)]
    pub(crate) source: Option<MessageSource>,
    /// Whose behaviour conditions have where the two differ
    #[arg(long, value_enum, value_name = "WHOSE", default_value_t)]
    pub(crate) compatibility: CompatibilityArg,
    /// Show the value of each part on standard error
    #[arg(long)]
    pub(crate) explain: bool,
    /// Test the messages of a file instead, one JSON object per line, and compare with what each expects; `-` reads
    /// standard input
    #[arg(long, value_name = "FILE.ndjson", conflicts_with = "explain")]
    pub(crate) cases: Option<PathBuf>,
}

/// Whose behaviour conditions have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompatibilityArg {
    /// That of the documentation of IoT Hub.
    #[default]
    Documented,
    /// That of IoT Edge's hub.
    Edgehub,
}

impl From<CompatibilityArg> for Compatibility {
    fn from(arg: CompatibilityArg) -> Self {
        match arg {
            CompatibilityArg::Documented => Self::Documented,
            CompatibilityArg::Edgehub => Self::EdgeHub,
        }
    }
}

/// Reads a source. Whose twin changed is in the message, if anywhere.
pub(crate) fn parse_source(text: &str) -> Result<MessageSource, String> {
    let unknown = ModuleId::new("$edgeHub").map_err(|err| err.to_string())?;
    MessageSource::parse(text, unknown)
}

//! Arguments of `hub events` and of the commands under `hub consumer`.

use clap::{Args, Subcommand};

use crate::args::far_hub::FarHubArgs;
use crate::args::parse_start;
use crate::args::telemetry_filter::TelemetryFilterArgs;

/// Arguments of `hub events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// The consumer whose position is used and moved
    #[arg(long, value_name = "NAME")]
    pub(crate) consumer: String,
    /// Where the consumer is to begin, also if it is known: `earliest`, `latest`, or a position
    #[arg(long, value_name = "POSITION", value_parser = parse_start)]
    pub(crate) from: Option<String>,
    /// Go on with new messages until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) filter: TelemetryFilterArgs,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// The commands under `hub consumer`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConsumerCommand {
    /// List the named consumers, and how far each has read
    List(ConsumerListArgs),
    /// Forget a consumer
    Delete(ConsumerDeleteArgs),
}

/// Arguments of `hub consumer list`.
#[derive(Debug, Args)]
pub(crate) struct ConsumerListArgs {
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// Arguments of `hub consumer delete`.
#[derive(Debug, Args)]
pub(crate) struct ConsumerDeleteArgs {
    /// The consumer's name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

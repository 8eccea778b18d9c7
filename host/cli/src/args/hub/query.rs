//! Arguments of `hub query`.

use clap::Args;

use crate::args::far_hub::FarHubArgs;

/// How many items a query shows at most, where nothing else is asked for.
const TOP_DEFAULT: &str = "1000";

/// Arguments of `hub query`.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// The query, such as "SELECT deviceId FROM devices WHERE tags.site = 'north'"
    pub(crate) query: String,
    /// So many items at most
    #[arg(long, value_name = "N", default_value = TOP_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) top: u32,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

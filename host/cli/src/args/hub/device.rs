//! Arguments of the commands under `hub device`.

use clap::{Args, Subcommand};

use crate::args::far_hub::FarHubArgs;

/// How many devices a list shows at most, where nothing else is asked for.
const LIST_DEFAULT: &str = "1000";

/// The commands under `hub device`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// List the devices
    List(DeviceListArgs),
}

/// Arguments of `hub device list`.
#[derive(Debug, Args)]
pub(crate) struct DeviceListArgs {
    /// So many of them at most
    #[arg(long, value_name = "N", default_value = LIST_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) top: u32,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

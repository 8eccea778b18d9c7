//! Arguments of the commands under `hub configuration`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::far_hub::FarHubArgs;
use crate::args::{Etag, parse_etag};

/// The commands under `hub configuration`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigurationCommand {
    /// Make a configuration from a file
    Create(ConfigurationFileArgs),
    /// List the configurations with how many devices or modules they reach
    List(ConfigurationListArgs),
    /// Show a configuration
    Show(ConfigurationShowArgs),
    /// Delete a configuration; what it set goes, or becomes what others say
    Delete(ConfigurationDeleteArgs),
    /// Make a configuration as a file says, or change it to be so
    Apply(ConfigurationFileArgs),
}

/// Arguments of `hub configuration create` and `hub configuration apply`.
#[derive(Debug, Args)]
pub(crate) struct ConfigurationFileArgs {
    /// The configuration as the service API has it, with its `id`; `-` reads standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// Arguments of `hub configuration list`.
#[derive(Debug, Args)]
pub(crate) struct ConfigurationListArgs {
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// Arguments of `hub configuration show`.
#[derive(Debug, Args)]
pub(crate) struct ConfigurationShowArgs {
    /// The configuration's id
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// Arguments of `hub configuration delete`.
#[derive(Debug, Args)]
pub(crate) struct ConfigurationDeleteArgs {
    /// The configuration's id
    pub(crate) id: String,
    /// Only if this is its etag
    #[arg(long, value_name = "ETAG", value_parser = parse_etag)]
    pub(crate) etag: Option<Etag>,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

//! Arguments of the commands under `config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::daemon::CONFIG_DEFAULT;
use super::far_hub::Secret;

/// The commands under `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Write the configuration of a device that a connection string is for
    New(ConfigNewArgs),
}

/// Arguments of `config new`.
#[derive(Debug, Args)]
pub(crate) struct ConfigNewArgs {
    /// The connection string of the device; `@FILE` reads it from a file, `-` from standard input
    #[arg(long, value_name = "STRING|@FILE|-")]
    pub(crate) connection_string: Secret,

    /// The certificates (PEM) to trust the hub by, where the system's are not those
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// The file to write
    #[arg(long, value_name = "FILE", default_value = CONFIG_DEFAULT)]
    pub(crate) config: PathBuf,

    /// Replace a file that is there; its owner and mode stay
    #[arg(long)]
    pub(crate) force: bool,
}

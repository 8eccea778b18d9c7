//! Arguments of `daemon`.

use std::path::PathBuf;

use clap::Args;

/// Where the configuration lies unless said.
pub(crate) const CONFIG_DEFAULT: &str = "/etc/wasm-edge/config.toml";

/// Arguments of `daemon`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DaemonArgs {
    /// The device's configuration (TOML); files in `config.d` beside it count after it
    #[arg(long, value_name = "FILE", default_value = CONFIG_DEFAULT)]
    pub(crate) config: PathBuf,

    /// Read the configuration, say what it comes to, and start nothing
    #[arg(long)]
    pub(crate) check: bool,

    /// Write the process id into this file once the device runs, for init scripts
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    pub(crate) pid_file: Option<PathBuf>,
}

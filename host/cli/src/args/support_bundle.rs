//! Arguments of `support-bundle`.

use std::path::PathBuf;

use clap::Args;
use wasm_edge_model::identity::DeviceId;

use crate::duration::{self, Moment};

/// Arguments of `support-bundle`.
#[derive(Debug, Args)]
pub(crate) struct SupportBundleArgs {
    /// The file to write, which must not be there yet; `-` writes to standard output
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Only log lines from this time on: an RFC 3339 time, or a duration such as `1h` before now
    #[arg(long, value_name = "TIME|DURATION", value_parser = duration::parse_moment)]
    pub(crate) since: Option<Moment>,
    /// Only this device
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
    /// Leave environment variables and arguments of modules in, which may hold secrets
    #[arg(long)]
    pub(crate) include_env: bool,
}

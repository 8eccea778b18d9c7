//! Arguments of the commands under `upstream`.

use clap::{Args, Subcommand};
use wasm_edge_model::identity::DeviceId;

/// The commands under `upstream`.
#[derive(Debug, Subcommand)]
pub(crate) enum UpstreamCommand {
    /// Show whether devices may reach their hub, and what waits for it
    Status(UpstreamStatusArgs),
    /// Take the hub away from a device, as if a cable were pulled
    Disconnect(UpstreamSwitchArgs),
    /// Give the hub back to a device
    Connect(UpstreamSwitchArgs),
}

/// Arguments of `upstream status`.
#[derive(Debug, Args)]
pub(crate) struct UpstreamStatusArgs {
    /// Only this device
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
}

/// Arguments of `upstream disconnect` and `upstream connect`.
#[derive(Debug, Args)]
pub(crate) struct UpstreamSwitchArgs {
    /// The device, where there are several
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
}

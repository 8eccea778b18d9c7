//! Arguments of the commands under `hub device`.

use clap::{Args, Subcommand};
use wasm_edge_model::identity::DeviceId;

use super::identity::{AuthenticationArgs, StatusArg};
use crate::args::far_hub::FarHubArgs;
use crate::args::{Etag, parse_etag};

/// How many devices a list shows at most, where nothing else is asked for.
const LIST_DEFAULT: &str = "1000";

/// The commands under `hub device`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Make a device, and print its connection string
    Create(Box<DeviceCreateArgs>),
    /// List the devices
    List(DeviceListArgs),
    /// Show a device
    Show(DeviceShowArgs),
    /// Change a device
    Update(Box<DeviceUpdateArgs>),
    /// Delete a device with its modules, twins and messages
    Delete(DeviceDeleteArgs),
}

/// Arguments of `hub device create`.
#[derive(Debug, Args)]
pub(crate) struct DeviceCreateArgs {
    /// The device's id
    pub(crate) device: DeviceId,
    /// It may run modules, as devices of IoT Edge do
    #[arg(long)]
    pub(crate) edge: bool,
    /// Whether it may connect
    #[arg(long, value_enum, value_name = "STATUS", default_value = "enabled")]
    pub(crate) status: StatusArg,
    /// It may not connect yet; as `--status disabled`
    #[arg(long, conflicts_with = "status")]
    pub(crate) disabled: bool,
    /// Why the status is so, at most 128 bytes
    #[arg(long, value_name = "TEXT")]
    pub(crate) status_reason: Option<String>,
    #[command(flatten)]
    pub(crate) authentication: AuthenticationArgs,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
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

/// Arguments of `hub device show`.
#[derive(Debug, Args)]
pub(crate) struct DeviceShowArgs {
    /// The device's id
    pub(crate) device: DeviceId,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// Arguments of `hub device update`; what is not given stays.
#[derive(Debug, Args)]
pub(crate) struct DeviceUpdateArgs {
    /// The device's id
    pub(crate) device: DeviceId,
    /// Whether it may run modules, as devices of IoT Edge do
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
    pub(crate) edge: Option<bool>,
    /// Whether it may connect
    #[arg(long, value_enum, value_name = "STATUS")]
    pub(crate) status: Option<StatusArg>,
    /// It may not connect any more; as `--status disabled`
    #[arg(long, conflicts_with = "status")]
    pub(crate) disabled: bool,
    /// Why the status is so, at most 128 bytes
    #[arg(long, value_name = "TEXT")]
    pub(crate) status_reason: Option<String>,
    /// Give it two new keys; what is connected with an old one is closed
    #[arg(long, conflicts_with_all = ["primary_key", "thumbprints", "x509_ca"])]
    pub(crate) new_keys: bool,
    /// Only if this still is the identity's etag
    #[arg(long, value_name = "ETAG", value_parser = parse_etag)]
    pub(crate) etag: Option<Etag>,
    #[command(flatten)]
    pub(crate) authentication: AuthenticationArgs,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// Arguments of `hub device delete`.
#[derive(Debug, Args)]
pub(crate) struct DeviceDeleteArgs {
    /// The device's id
    pub(crate) device: DeviceId,
    /// Only if this still is the identity's etag
    #[arg(long, value_name = "ETAG", value_parser = parse_etag)]
    pub(crate) etag: Option<Etag>,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

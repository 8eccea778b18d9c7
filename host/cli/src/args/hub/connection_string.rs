//! Arguments of `hub connection-string`.

use clap::Args;
use wasm_edge_model::identity::{DeviceId, ModuleId};

use crate::args::far_hub::FarHubArgs;

/// The policy that may do everything.
const OWNER_POLICY: &str = "iothubowner";

/// Arguments of `hub connection-string`.
#[derive(Debug, Args)]
pub(crate) struct ConnectionStringArgs {
    /// The device's id; without it the string is that of a shared access policy of the hub
    pub(crate) device: Option<DeviceId>,
    /// The module's id
    pub(crate) module: Option<ModuleId>,
    /// The shared access policy: iothubowner, service, device, registryRead or registryReadWrite
    #[arg(long, value_name = "NAME", default_value = OWNER_POLICY, conflicts_with = "device")]
    pub(crate) policy: String,
    /// With the secondary key instead of the primary one
    #[arg(long)]
    pub(crate) secondary: bool,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

//! Arguments of `hub method`.

use clap::Args;
use wasm_edge_model::identity::DeviceId;

use crate::args::module::MethodCallArgs;

/// Arguments of `hub method`.
#[derive(Debug, Args)]
pub(crate) struct HubMethodArgs {
    /// The device's id
    pub(crate) device: DeviceId,
    #[command(flatten)]
    pub(crate) call: MethodCallArgs,
}

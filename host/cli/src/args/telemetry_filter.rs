//! Which telemetry a command wants to see.

use clap::Args;
use wasm_edge_model::identity::{DeviceId, ModuleId};

use super::module::parse_property;

/// What messages have to be; what is not given is not looked at.
#[derive(Clone, Debug, Args)]
pub(crate) struct TelemetryFilterArgs {
    /// Only messages of this device
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
    /// Only messages of this module
    #[arg(long, value_name = "ID")]
    pub(crate) module: Option<ModuleId>,
    /// Only messages with this application property; may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = parse_property)]
    pub(crate) properties: Vec<(String, String)>,
    /// Only messages of which this is true: a condition as it stands behind WHERE of a route
    #[arg(long = "where", value_name = "CONDITION")]
    pub(crate) condition: Option<String>,
}

//! Arguments of the commands under `hub module`.

use clap::{Args, Subcommand};
use wasm_edge_model::identity::{DeviceId, ModuleId};

use super::identity::AuthenticationArgs;
use crate::args::far_hub::FarHubArgs;
use crate::args::{Etag, parse_etag};

/// The commands under `hub module`.
#[derive(Debug, Subcommand)]
pub(crate) enum ModuleCommand {
    /// Make a module of a device, and print its connection string
    Create(Box<ModuleCreateArgs>),
    /// List the modules of a device
    List(ModuleListArgs),
    /// Show a module
    Show(ModuleShowArgs),
    /// Change a module
    Update(Box<ModuleUpdateArgs>),
    /// Delete a module with its twin
    Delete(ModuleDeleteArgs),
}

/// Arguments of `hub module create`.
#[derive(Debug, Args)]
pub(crate) struct ModuleCreateArgs {
    /// The device's id
    pub(crate) device: DeviceId,
    /// The module's id
    pub(crate) module: ModuleId,
    /// Who manages it, at most 128 bytes
    #[arg(long, value_name = "TEXT")]
    pub(crate) managed_by: Option<String>,
    #[command(flatten)]
    pub(crate) authentication: AuthenticationArgs,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// Arguments of `hub module list`.
#[derive(Debug, Args)]
pub(crate) struct ModuleListArgs {
    /// The device's id
    pub(crate) device: DeviceId,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// Arguments of `hub module show`.
#[derive(Debug, Args)]
pub(crate) struct ModuleShowArgs {
    /// The device's id
    pub(crate) device: DeviceId,
    /// The module's id
    pub(crate) module: ModuleId,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// Arguments of `hub module update`; what is not given stays.
#[derive(Debug, Args)]
pub(crate) struct ModuleUpdateArgs {
    /// The device's id
    pub(crate) device: DeviceId,
    /// The module's id
    pub(crate) module: ModuleId,
    /// Who manages it, at most 128 bytes
    #[arg(long, value_name = "TEXT")]
    pub(crate) managed_by: Option<String>,
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

/// Arguments of `hub module delete`.
#[derive(Debug, Args)]
pub(crate) struct ModuleDeleteArgs {
    /// The device's id
    pub(crate) device: DeviceId,
    /// The module's id
    pub(crate) module: ModuleId,
    /// Only if this still is the identity's etag
    #[arg(long, value_name = "ETAG", value_parser = parse_etag)]
    pub(crate) etag: Option<Etag>,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

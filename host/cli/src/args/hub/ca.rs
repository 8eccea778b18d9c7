//! Arguments of `hub ca` and `hub ca issue`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use wasm_edge_hub::server::authority::{CLIENT_VALID_DAYS, CLIENT_VALID_DAYS_MAX};
use wasm_edge_model::identity::{DeviceId, ModuleId};

/// Arguments of `hub ca`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct CaArgs {
    #[command(subcommand)]
    pub(crate) command: Option<CaCommand>,

    /// Write the certificate (PEM) into this file instead of printing it
    #[arg(long, value_name = "FILE")]
    pub(crate) output_file: Option<PathBuf>,
}

/// The commands under `hub ca`.
#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Issue a certificate with which a device or a module can prove who it is
    Issue(CaIssueArgs),
}

/// Arguments of `hub ca issue`.
#[derive(Debug, Args)]
pub(crate) struct CaIssueArgs {
    /// The device's id; it becomes the common name
    pub(crate) device: DeviceId,

    /// A module of it; the common name is DEVICE/MODULE then
    pub(crate) module: Option<ModuleId>,

    /// Where to write key and certificate
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,

    /// How many days the certificate is valid
    #[arg(long, value_name = "N", default_value_t = CLIENT_VALID_DAYS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(CLIENT_VALID_DAYS_MAX)))]
    pub(crate) days: u32,
}

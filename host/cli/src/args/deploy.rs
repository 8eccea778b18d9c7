//! Arguments of the commands under `deploy`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use wasm_edge_model::identity::DeviceId;

use super::far_hub::FarHubArgs;
use crate::duration;

/// The commands under `deploy`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeployCommand {
    /// Check a deployment manifest and print every fault in it
    Check(DeployCheckArgs),
    /// Give a deployment manifest to the running device, and wait for what becomes of it
    Apply(DeployApplyArgs),
    /// Show the deployment of the running device, without passwords, and what became of it
    Show(DeployShowArgs),
}

/// Arguments of `deploy check`.
#[derive(Debug, Args)]
pub(crate) struct DeployCheckArgs {
    /// The manifest; `-` reads standard input
    pub(crate) file: PathBuf,

    /// The configuration (TOML) of the device, whose `[policy]` is judged by
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Arguments of `deploy apply`.
#[derive(Debug, Args)]
pub(crate) struct DeployApplyArgs {
    /// The manifest; `-` reads standard input
    pub(crate) file: PathBuf,
    /// The device, where there are several
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
    /// Do not wait: once the hub has it, the device goes on by itself
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait until it is healthy, refused or rolled back
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse, conflicts_with = "no_wait")]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// Arguments of `deploy show`.
#[derive(Debug, Args)]
pub(crate) struct DeployShowArgs {
    /// The device, where there are several
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
    /// The last one that was healthy, which may be another than what runs
    #[arg(long)]
    pub(crate) last_good: bool,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

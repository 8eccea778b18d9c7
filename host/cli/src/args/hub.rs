//! Arguments of the commands under `hub`.
//!
//! The tree is here, the arguments of each branch are in a file of its own.

pub(crate) mod device;

use clap::Subcommand;

use self::device::DeviceCommand;

/// The commands under `hub`.
#[derive(Debug, Subcommand)]
pub(crate) enum HubCommand {
    /// Work with the identities of devices
    #[command(subcommand)]
    Device(DeviceCommand),
}

//! Arguments of the commands under `hub`.
//!
//! The tree is here, the arguments of each branch are in a file of its own.

pub(crate) mod ca;
pub(crate) mod device;
pub(crate) mod serve;

use clap::Subcommand;

use self::ca::CaArgs;
use self::device::DeviceCommand;
use self::serve::ServeArgs;

/// The commands under `hub`.
#[derive(Debug, Subcommand)]
pub(crate) enum HubCommand {
    /// Serve a hub on the network: MQTT, REST, and MQTT over WebSocket, by TLS
    Serve(Box<ServeArgs>),
    /// Print the certificate of the local authority, or issue a certificate for a device
    Ca(CaArgs),
    /// Work with the identities of devices
    #[command(subcommand)]
    Device(DeviceCommand),
}

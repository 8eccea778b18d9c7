//! Arguments of the commands under `hub`.
//!
//! The tree is here, the arguments of each branch are in a file of its own.

pub(crate) mod ca;
pub(crate) mod configuration;
pub(crate) mod connection_string;
pub(crate) mod device;
pub(crate) mod events;
pub(crate) mod identity;
pub(crate) mod method;
pub(crate) mod module;
pub(crate) mod query;
pub(crate) mod send;
pub(crate) mod serve;

use clap::Subcommand;

use self::ca::CaArgs;
use self::configuration::ConfigurationCommand;
use self::connection_string::ConnectionStringArgs;
use self::device::DeviceCommand;
use self::events::{ConsumerCommand, EventsArgs};
use self::method::HubMethodArgs;
use self::module::ModuleCommand;
use self::query::QueryArgs;
use self::send::HubSendArgs;
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
    /// Work with the identities of modules
    #[command(subcommand)]
    Module(ModuleCommand),
    /// Print the connection string of a device, a module or a shared access policy
    ConnectionString(ConnectionStringArgs),
    /// Call a direct method of a device and print its answer; `method` calls those of modules
    Method(HubMethodArgs),
    /// Send a message to a device, which gets it when it is connected
    Send(HubSendArgs),
    /// Print telemetry from where a named consumer stands, and move it on
    Events(EventsArgs),
    /// Work with the named consumers of telemetry
    #[command(subcommand)]
    Consumer(ConsumerCommand),
    /// Ask for twins, columns of them or groups, in IoT Hub's query language
    Query(QueryArgs),
    /// Work with configurations: desired properties for all devices that a condition chooses
    #[command(subcommand)]
    Configuration(ConfigurationCommand),
}

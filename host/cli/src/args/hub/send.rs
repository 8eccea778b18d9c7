//! Arguments of `hub send`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use wasm_edge_model::identity::DeviceId;

use crate::args::far_hub::FarHubArgs;
use crate::args::module::parse_property;
use crate::duration;

/// Arguments of `hub send`.
#[derive(Debug, Args)]
pub(crate) struct HubSendArgs {
    /// The device's id
    pub(crate) device: DeviceId,
    /// The message's body, as it is; `@FILE` reads a file, `-` standard input; empty without it
    #[arg(allow_hyphen_values = true, conflicts_with = "file")]
    pub(crate) body: Option<String>,
    /// An application property; may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = parse_property, conflicts_with = "file")]
    pub(crate) properties: Vec<(String, String)>,
    /// The media type of the body, such as application/json
    #[arg(long, value_name = "TYPE", conflicts_with = "file")]
    pub(crate) content_type: Option<String>,
    /// The message's id; made by the hub without it
    #[arg(long, value_name = "ID", conflicts_with = "file")]
    pub(crate) message_id: Option<String>,
    /// The id of what it belongs to
    #[arg(long, value_name = "ID", conflicts_with = "file")]
    pub(crate) correlation_id: Option<String>,
    /// How long it may wait for the device, up to 48h; 1h without it
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) expires_in: Option<Duration>,
    /// Of which outcome the sender wants to hear; noted, and told to nobody over HTTP
    #[arg(long, value_enum, value_name = "WHICH")]
    pub(crate) ack: Option<AckArg>,
    /// Messages, one JSON object per line; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// Of which outcome of a message its sender wants to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AckArg {
    /// Of none.
    None,
    /// That it was taken.
    Positive,
    /// That it was not.
    Negative,
    /// Of both.
    Full,
}

impl AckArg {
    /// Its name in the hub's REST face.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Full => "full",
        }
    }
}

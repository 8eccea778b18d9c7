//! Arguments of the commands that act on one module: `method`, `send`, `restart`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::message::InputName;

use super::far_hub::FarHubArgs;
use crate::duration;

/// Arguments of `method`.
#[derive(Debug, Args)]
pub(crate) struct MethodArgs {
    /// The module's id
    pub(crate) module: ModuleId,
    #[command(flatten)]
    pub(crate) call: MethodCallArgs,
    /// The device it runs on, where there are several
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
}

/// What is called, of whomever.
#[derive(Debug, Args)]
pub(crate) struct MethodCallArgs {
    /// The name of the method
    pub(crate) name: String,
    /// What to hand over: JSON; `@FILE` reads a file, `-` standard input; null without it
    #[arg(allow_hyphen_values = true)]
    pub(crate) payload: Option<String>,
    /// How long the answer may take, from 5s to 5m
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse_seconds)]
    pub(crate) timeout: Duration,
    /// How long to wait for one that is not there now, up to 5m
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration::parse_seconds)]
    pub(crate) connect_timeout: Duration,
    #[command(flatten)]
    pub(crate) far: FarHubArgs,
}

/// Arguments of `send`.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The module's id
    pub(crate) module: ModuleId,
    /// The message's body, as it is; `@FILE` reads a file, `-` standard input; empty without it
    #[arg(allow_hyphen_values = true, conflicts_with = "file")]
    pub(crate) body: Option<String>,
    /// The device it runs on, where there are several
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
    /// The input it is for; of messages of a file, for those that name none
    #[arg(long, value_name = "NAME", default_value = "input", value_parser = parse_input)]
    pub(crate) input: InputName,
    /// An application property; may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = parse_property, conflicts_with = "file")]
    pub(crate) properties: Vec<(String, String)>,
    /// The media type of the body, such as application/json
    #[arg(long, value_name = "TYPE", conflicts_with = "file")]
    pub(crate) content_type: Option<String>,
    /// Messages, one JSON object per line; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Wait until the module has dealt with each message, and tell how
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait for each message, up to an hour
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration::parse, requires = "wait")]
    pub(crate) timeout: Duration,
}

/// Arguments of `restart`.
#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    /// The module's id
    pub(crate) module: ModuleId,
    /// The device it runs on, where there are several
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
}

fn parse_input(text: &str) -> Result<InputName, String> {
    InputName::new(text).map_err(|err| err.to_string())
}

pub(super) fn parse_property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err("the name before `=` is empty".to_owned()),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("expected NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_ends_its_name_at_the_first_equals_sign() {
        let check = |text, expected: Option<(&str, &str)>| {
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(parse_property(text).ok(), expected, "{text}");
        };
        check("a=b=c", Some(("a", "b=c")));
        check("a=", Some(("a", "")));
        check("=b", None);
        check("a", None);
    }
}

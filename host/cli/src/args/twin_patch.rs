//! Arguments of `twin patch`, of whose two positional ones the first may be missing.
//!
//! clap understands that only where no option stands between the two, so it reads one list, which is taken apart here.

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use wasm_edge_model::identity::{DeviceId, ModuleId};

use super::far_hub::FarHubArgs;
use super::{Etag, parse_etag};

/// Arguments of `twin patch`.
#[derive(Debug)]
pub(crate) struct TwinPatchArgs {
    /// The module; without it the twin is the device's own.
    pub(crate) module: Option<ModuleId>,
    /// The patch, or where it is.
    pub(crate) patch: String,
    /// The device, where there are several.
    pub(crate) device: Option<DeviceId>,
    /// Whether the tags are meant, not the desired properties.
    pub(crate) tags: bool,
    /// The etag that the twin has to have.
    pub(crate) etag: Option<Etag>,
    /// Whether the change is the device's own, kept apart from what its hub says.
    pub(crate) local: bool,
    /// The hub, if it is on the network.
    pub(crate) far: FarHubArgs,
}

#[derive(Args)]
#[command(override_usage = "wasm-edge twin patch [OPTIONS] [MODULE] <PATCH>")]
struct Given {
    /// The module's id, the device's own twin without it; then a JSON object, merged into what is there: null deletes,
    /// `@FILE` reads a file, `-` standard input
    #[arg(required = true, num_args = 1..=2, value_name = "[MODULE] PATCH")]
    module_and_patch: Vec<String>,
    /// The device, where there are several
    #[arg(long, value_name = "ID")]
    device: Option<DeviceId>,
    /// Change the tags, not the desired properties
    #[arg(long)]
    tags: bool,
    /// Only if this still is the twin's etag
    #[arg(long, value_name = "ETAG", value_parser = parse_etag)]
    etag: Option<Etag>,
    /// Change them on the device, while it is away from its hub, whose own they do not touch
    #[arg(long, conflicts_with_all = ["tags", "etag"])]
    local: bool,
    #[command(flatten)]
    far: FarHubArgs,
}

impl Args for TwinPatchArgs {
    fn augment_args(command: Command) -> Command {
        Given::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Given::augment_args_for_update(command)
    }
}

impl FromArgMatches for TwinPatchArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = Given::from_arg_matches(matches)?;
        let (module, patch) = taken_apart(given.module_and_patch)?;
        Ok(Self {
            module,
            patch,
            device: given.device,
            tags: given.tags,
            etag: given.etag,
            local: given.local,
            far: given.far,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn taken_apart(mut given: Vec<String>) -> Result<(Option<ModuleId>, String), clap::Error> {
    let patch = given.pop().unwrap_or_default();
    let module = match given.as_slice() {
        [] => return Ok((None, patch)),
        [module] => module,
        _ => {
            let problem = format!("unexpected argument '{patch}' found");
            return Err(clap::Error::raw(ErrorKind::UnknownArgument, problem));
        }
    };
    match module.parse() {
        Ok(module) => Ok((Some(module), patch)),
        Err(err) => Err(clap::Error::raw(
            ErrorKind::ValueValidation,
            format!("invalid value '{module}' for '[MODULE]': {err}"),
        )),
    }
}

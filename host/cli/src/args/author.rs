//! Arguments of the verbs for authors of modules: `new` and `build`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::build::flags::Profile;
use crate::sdk::SdkChoice;

/// Arguments of `new`.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The name of the crate, of its folder and of the module
    pub(crate) name: String,

    /// What the module is to begin as
    #[arg(long, value_enum, value_name = "TEMPLATE", default_value_t)]
    pub(crate) template: Template,

    /// The SDK to write it with: a folder, or a version from the registry; by default the one that comes with wasm-edge
    #[arg(long, value_name = "PATH|VERSION", conflicts_with = "sdk_dir")]
    sdk: Option<String>,

    /// The folder that the SDK is unpacked into, by default one of the user's own
    #[arg(long, value_name = "DIR")]
    pub(crate) sdk_dir: Option<PathBuf>,
}

/// What `new` makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// Handlers for messages and desired properties
    #[default]
    Message,
    /// A sender at intervals that also answers a method
    Timer,
    /// A program with a loop of its own
    Program,
}

/// Arguments of `build`.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// The crate's folder
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,

    /// Optimise for size, which is what it does by default
    #[arg(long)]
    release: bool,

    /// Build quickly, without optimisation
    #[arg(long, conflicts_with = "release")]
    debug: bool,

    /// Keep the names of functions, so that backtraces have them
    #[arg(long)]
    pub(crate) names: bool,

    /// Further arguments of `cargo build`, after `--`
    #[arg(last = true, value_name = "CARGO_ARGS")]
    pub(crate) cargo_args: Vec<OsString>,
}

impl NewArgs {
    /// The SDK that is asked for.
    pub(crate) fn sdk(&self) -> SdkChoice {
        match &self.sdk {
            Some(text) => SdkChoice::Named(text.clone()),
            None => SdkChoice::Carried,
        }
    }
}

impl BuildArgs {
    /// What to optimise for.
    pub(crate) fn profile(&self) -> Profile {
        if self.debug {
            Profile::Debug
        } else {
            Profile::Release
        }
    }
}

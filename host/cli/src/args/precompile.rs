//! Arguments of `precompile`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `precompile`.
#[derive(Debug, Args)]
pub(crate) struct PrecompileArgs {
    /// Deployment manifests (JSON) and components (WebAssembly)
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Where the board's file system is on this machine: absolute `file:` images are looked for below it
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,

    /// The configuration (TOML) with `[registries]`, for images of registries
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Remove the code of all other images from the data folder
    #[arg(long)]
    pub(crate) prune: bool,
}

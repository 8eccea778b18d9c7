//! The data folder of `hub serve`: the one that was named, or the user's own.

use std::path::PathBuf;

use crate::failure::Failure;
use crate::user_folders;

/// The folder by `--data-dir`, else `wasm-edge/hub` below the user's data home.
pub(crate) fn of(data_dir: Option<PathBuf>) -> Result<PathBuf, Failure> {
    data_dir.map_or_else(|| user_folders::data_folder(&["hub"]), Ok)
}

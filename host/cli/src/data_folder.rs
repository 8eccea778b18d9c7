//! Opening the data folder of a command that runs a device or a hub.

use std::path::Path;

use anyhow::Context;
use wasm_edge_daemon::folder::{DataFolder, FolderError};

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// Opens the data folder at `path` and holds it, made with its parents where it is missing.
///
/// # Errors
/// When it cannot be made or used, with a hint.
pub(crate) fn open(path: &Path) -> anyhow::Result<DataFolder> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot make `{}`", parent.display()))?;
    }
    DataFolder::open(path).map_err(|err| {
        let hint = if matches!(err, FolderError::Locked { .. }) {
            "another process may run it: `wasm-edge list` shows; `--data-dir DIR` takes another folder"
        } else {
            "`--data-dir DIR` takes another folder"
        };
        let what = format!("cannot use the data folder `{}`", path.display());
        Failure::new(ExitStatus::Failure, what).hint(hint).caused_by(err).into()
    })
}

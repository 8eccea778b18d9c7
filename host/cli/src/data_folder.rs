//! Opening the data folder of a command that needs it for itself: to run a device or a hub, or for its images.

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
    make_parent(path)?;
    DataFolder::open(path).map_err(|err| cannot_use(path, err).into())
}

/// Opens the data folder as [`open`] does, if no other process holds it; else answers whose it is, as far as known.
///
/// # Errors
/// When it cannot be made or used, with a hint.
pub(crate) fn try_open(path: &Path) -> anyhow::Result<Result<DataFolder, Option<u32>>> {
    make_parent(path)?;
    match DataFolder::open(path) {
        Ok(folder) => Ok(Ok(folder)),
        Err(FolderError::Locked { pid, .. }) => Ok(Err(pid)),
        Err(err) => Err(cannot_use(path, err).into()),
    }
}

fn make_parent(path: &Path) -> anyhow::Result<()> {
    match path.parent() {
        Some(parent) => std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot make `{}`", parent.display())),
        None => Ok(()),
    }
}

fn cannot_use(path: &Path, err: FolderError) -> Failure {
    let hint = if matches!(err, FolderError::Locked { .. }) {
        "another process may run it: `wasm-edge list` shows; `--data-dir DIR` takes another folder"
    } else {
        "`--data-dir DIR` takes another folder"
    };
    let what = format!("cannot use the data folder `{}`", path.display());
    Failure::new(ExitStatus::Failure, what)
        .hint(hint)
        .caused_by(err)
}

//! The data folder of `hub serve`: the one that was named, or the user's own.

use std::path::PathBuf;

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::user_folders;

/// The folder by `--data-dir`, else `wasm-edge/hub` below the user's data home.
pub(crate) fn of(data_dir: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(folder) = data_dir {
        return Ok(folder);
    }
    let home = user_folders::data_home().ok_or_else(|| {
        Failure::new(
            ExitStatus::Usage,
            "neither `XDG_DATA_HOME` nor `HOME` is set",
        )
        .hint("name a folder with `--data-dir DIR`")
    })?;
    Ok(home.join("wasm-edge").join("hub"))
}

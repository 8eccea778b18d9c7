//! The device's configuration from a file that the person named.

use std::path::Path;

use wasm_edge_daemon::config::{CONFIG_SIZE_MAX_BYTES, Config};

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::text_file::{self, TextFileError};

/// Reads a configuration and prints all its faults; without a file, all is as by default.
///
/// # Errors
/// The file cannot be read, or how many faults it has.
pub(crate) fn read(file: Option<&Path>, output: &Output) -> Result<Config, Failure> {
    let Some(file) = file else {
        return Ok(Config::default());
    };
    let text = text_file::read(file, CONFIG_SIZE_MAX_BYTES).map_err(TextFileError::into_failure)?;
    Config::parse(&text).map_err(|faults| {
        let count = output.faults(file, &faults.0);
        let what = format!("the configuration `{}` has {count}", file.display());
        Failure::new(ExitStatus::BadConfig, what)
    })
}

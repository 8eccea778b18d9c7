//! Files of components, as a person names them on the command line.

use std::path::{Path, PathBuf};

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// The magic number that every WebAssembly file begins with.
#[cfg(feature = "compiler")]
const WASM_MAGIC: &[u8] = b"\0asm";

/// The path of a file that is there, from the root.
///
/// # Errors
/// There is no such file; the hint says what to give.
pub(crate) fn whole_path(file: &Path, hint: &str) -> Result<PathBuf, Failure> {
    std::fs::canonicalize(file).map_err(|err| {
        let what = format!("cannot read `{}`", file.display());
        Failure::new(ExitStatus::NotFound, what)
            .hint(hint)
            .caused_by(err)
    })
}

/// Whether a file is WebAssembly, and so no manifest.
///
/// # Errors
/// It cannot be read.
#[cfg(feature = "compiler")]
pub(crate) fn is_component(file: &Path) -> Result<bool, Failure> {
    use std::io::Read as _;
    let mut start = [0; WASM_MAGIC.len()];
    let opened = std::fs::File::open(file).and_then(|mut file| file.read(&mut start));
    let length = opened.map_err(|err| {
        let what = format!("cannot read `{}`", file.display());
        Failure::new(ExitStatus::Failure, what).caused_by(err)
    })?;
    Ok(&start[..length] == WASM_MAGIC)
}

//! A small file that only this device can read, replaced as a whole.
//!
//! Owns sealing, bounds and that the file has the old content or the new after a crash. Leaves form, version and what
//! to do about a damaged one to those who keep something: what runs, identities, the assignment of the hub.

use std::io;

use cap_std::fs::Dir;
use wasm_edge_store::file;
use zeroize::Zeroizing;

use crate::keys::SealingKey;

/// Why a file that is there cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealedError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It was changed, cut off, or sealed with another key.
    #[error("it is damaged, or another device's")]
    Damaged,
}

/// What the file `name` holds, if there is one, of at most `limit_bytes`. Blocks.
///
/// # Errors
/// [`SealedError`].
pub(crate) fn read(
    folder: &Dir,
    name: &str,
    key: &SealingKey,
    limit_bytes: u64,
) -> Result<Option<Zeroizing<Vec<u8>>>, SealedError> {
    let Some(sealed) = file::read_bounded(folder, name, limit_bytes)? else {
        return Ok(None);
    };
    let text = key.open(&sealed).map_err(|_| SealedError::Damaged)?;
    Ok(Some(Zeroizing::new(text)))
}

/// Puts `text` in the place of what the file `name` holds. Blocks until it is on disk.
///
/// # Errors
/// The I/O error.
pub(crate) fn write(folder: &Dir, name: &str, key: &SealingKey, text: &[u8]) -> io::Result<()> {
    let sealed = key.seal(text).map_err(io::Error::other)?;
    file::write_atomic(folder, name, &sealed)
}

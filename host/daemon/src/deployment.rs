//! Which deployment was applied last, kept in the device's store.

use serde::{Deserialize, Serialize};
use wasm_edge_store::file;
use wasm_edge_store::folder::FolderError;
use wasm_edge_store::folder::device::DeviceFolder;

/// The file, in the device's `store/`.
const FILE: &str = "deployment.json";

/// Its version.
const VERSION: u32 = 1;

/// Largest size that is read, in bytes.
const SIZE_MAX_BYTES: u64 = 4096;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    manifest_sha256: String,
}

/// The digest of the manifest that was applied last; `None` for a new device, and for a record that this
/// version cannot read: the manifest is applied again then, which is safe.
///
/// # Errors
/// [`FolderError`] if the store cannot be opened.
pub(crate) fn applied(folder: &DeviceFolder) -> Result<Option<String>, FolderError> {
    let bytes = match file::read_bounded(&folder.store()?, FILE, SIZE_MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(err) => {
            tracing::warn!(%err, "the record of the last deployment cannot be read");
            None
        }
    };
    let stored = bytes.and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
    Ok(stored
        .filter(|stored| stored.version == VERSION)
        .map(|stored| stored.manifest_sha256))
}

/// Records the manifest that was applied.
///
/// # Errors
/// The I/O error.
pub(crate) fn record(folder: &DeviceFolder, manifest_sha256: &str) -> std::io::Result<()> {
    let stored = Stored {
        version: VERSION,
        manifest_sha256: manifest_sha256.to_owned(),
    };
    let store = folder.store().map_err(std::io::Error::other)?;
    file::write_atomic(&store, FILE, &serde_json::to_vec(&stored)?)
}

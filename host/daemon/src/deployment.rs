//! What the device keeps of its deployment: which manifest's twins were set last, and the deployment itself.
//!
//! Owns the two files in the device's `store/`. `deployment.json` is the record of `run`, which sets twins only
//! when its manifest is another one; [`sealed`] is the agent's, encrypted, for a start without the hub; [`shown`] is what people see of it.

pub mod sealed;
pub mod shown;

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

/// A manifest whose twins were set at the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedManifest {
    /// SHA-256 of its text, 64 hexadecimal digits.
    pub manifest_sha256: String,
    /// The generation of the device's identity then: a hub that lost its store has another one, and its
    /// twins have to be set again.
    pub device_generation_id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    manifest_sha256: String,
    device_generation_id: String,
}

/// The manifest that was applied last; `None` for a new device, and for a record that this version cannot
/// read: the manifest is applied again then, which is safe.
///
/// # Errors
/// [`FolderError`] if the store cannot be opened.
pub(crate) fn applied(folder: &DeviceFolder) -> Result<Option<AppliedManifest>, FolderError> {
    let bytes = match file::read_bounded(&folder.store()?, FILE, SIZE_MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(err) => {
            tracing::warn!(%err, "the record of the last deployment cannot be read");
            None
        }
    };
    Ok(bytes.and_then(|bytes| read(&bytes)))
}

fn read(bytes: &[u8]) -> Option<AppliedManifest> {
    let stored: Stored = serde_json::from_slice(bytes).ok()?;
    (stored.version == VERSION).then_some(AppliedManifest {
        manifest_sha256: stored.manifest_sha256,
        device_generation_id: stored.device_generation_id,
    })
}

/// Records the manifest that was applied.
///
/// # Errors
/// The I/O error.
pub(crate) fn record(folder: &DeviceFolder, applied: &AppliedManifest) -> std::io::Result<()> {
    let stored = Stored {
        version: VERSION,
        manifest_sha256: applied.manifest_sha256.clone(),
        device_generation_id: applied.device_generation_id.clone(),
    };
    let store = folder.store().map_err(std::io::Error::other)?;
    file::write_atomic(&store, FILE, &serde_json::to_vec(&stored)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_read_and_anything_else_counts_as_new() {
        let text = br#"{"version":1,"manifest_sha256":"ab","device_generation_id":"7"}"#;
        let expected = AppliedManifest {
            manifest_sha256: "ab".to_owned(),
            device_generation_id: "7".to_owned(),
        };
        assert_eq!(read(text), Some(expected));
        assert_eq!(
            read(br#"{"version":2,"manifest_sha256":"ab","device_generation_id":"7"}"#),
            None
        );
        assert_eq!(read(b"{"), None);
    }
}

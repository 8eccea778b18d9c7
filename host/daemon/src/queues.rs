//! Opening the queues of a device as they were left, and what is said of what was lost.

use std::sync::Arc;

use wasm_edge_model::identity::DeviceId;
use wasm_edge_router::journal::{Journal, JournalError, JournalSettings};
use wasm_edge_router::limits::Limits;
use wasm_edge_router::router::Router;
use wasm_edge_store::folder::FolderError;
use wasm_edge_store::folder::device::DeviceFolder;
use wasm_edge_store::volume::FolderVolume;

use crate::config::RouterConfig;

/// The least that a deployment can leave to messages: with less, one of the largest size could never be taken.
const STORE_BYTES_MIN: u64 = 1024 * 1024;

/// Why the queues cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum QueuesError {
    /// Their folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Their files cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Opens the queues of a device, as they were left. Blocks while it reads what is in them.
///
/// What is damaged is skipped and told, so that the device starts whatever a crash left behind.
pub(crate) fn open(
    device: &DeviceId,
    folder: &DeviceFolder,
    config: &RouterConfig,
) -> Result<Router, QueuesError> {
    let volume = Arc::new(FolderVolume::new(folder.messages()?));
    let settings = JournalSettings {
        max_bytes: config.max_bytes,
        ..JournalSettings::default()
    };
    let (journal, recovered) = Journal::open(volume, settings)?;
    if recovered.damaged_records > 0 {
        let (records, messages) = (recovered.damaged_records, recovered.damaged_messages);
        tracing::warn!(%device, records, messages, "records of waiting messages are damaged; what was in them is lost");
    }
    if recovered.cut_bytes > 0 {
        let bytes = recovered.cut_bytes;
        tracing::info!(%device, bytes, "what was being written when the device ended is left out; it was not acknowledged");
    }
    Ok(Router::open(
        device.clone(),
        limits(config, None),
        journal,
        recovered,
    )?)
}

/// What the queues may hold: as the configuration says, or less, where the deployment says how much in bytes.
pub(crate) fn limits(config: &RouterConfig, deployment_max_bytes: Option<u64>) -> Limits {
    let number = |wanted: Option<u64>, otherwise: usize| {
        wanted.map_or(otherwise, |wanted| {
            usize::try_from(wanted).unwrap_or(usize::MAX)
        })
    };
    let defaults = Limits::default();
    Limits {
        store_messages: number(config.max_messages, defaults.store_messages),
        store_endpoint_messages: number(
            config.endpoint_max_messages,
            defaults.store_endpoint_messages,
        ),
        store_bytes: number(
            deployment_max_bytes.map(|bytes| bytes.max(STORE_BYTES_MIN)),
            usize::MAX,
        ),
        store_endpoint_bytes: number(config.endpoint_max_bytes, defaults.store_endpoint_bytes),
        ..defaults
    }
}

//! What is known of the device's module identities, on disk: the generation id of each.
//!
//! Owns the form of `identities.enc` and its versions. The keys follow from the generation ids and the device's master
//! key; a file that was sealed under another master key does not open, and keys made of it would be refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_store::folder::device::DeviceFolder;

use crate::keys::{Keyring, SealingKey};
use crate::provisioning::Assignment;
use crate::sealed;

/// The file, in the device's `store/`.
const FILE: &str = "identities.enc";

/// Its version.
const VERSION: u32 = 1;

/// Largest size that is read, in bytes: [`MODULES_MAX`] ids and generation ids, each of the greatest length.
const SIZE_MAX_BYTES: u64 = 256 * 1024;

/// Most identities that are kept: more than a device may have at a hub.
const MODULES_MAX: usize = 256;

/// What is known of a device's identities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cache {
    version: u32,
    /// The name of the hub, in lower case.
    hub: String,
    device: DeviceId,
    generation_ids: BTreeMap<ModuleId, String>,
}

/// The file.
#[derive(Clone)]
pub(super) struct CacheFile {
    folder: Arc<DeviceFolder>,
    key: Arc<SealingKey>,
}

impl Cache {
    pub(super) fn empty(assignment: &Assignment) -> Self {
        Self {
            version: VERSION,
            hub: assignment.hub.name().to_ascii_lowercase(),
            device: assignment.device.clone(),
            generation_ids: BTreeMap::new(),
        }
    }

    pub(super) fn generation_of(&self, module: &ModuleId) -> Option<&str> {
        self.generation_ids.get(module).map(String::as_str)
    }

    /// Sets or forgets the generation of an identity; answers with all that is known now, if that changed.
    pub(super) fn set(&mut self, module: &ModuleId, generation_id: Option<&str>) -> Option<Self> {
        if self.generation_of(module) == generation_id {
            return None;
        }
        match generation_id {
            None => {
                self.generation_ids.remove(module);
            }
            Some(generation_id) => {
                // Full of what is there no more: the hub is asked again for the others.
                if self.generation_ids.len() >= MODULES_MAX {
                    self.generation_ids.clear();
                }
                self.generation_ids
                    .insert(module.clone(), generation_id.to_owned());
            }
        }
        Some(self.clone())
    }
}

impl CacheFile {
    pub(super) fn new(folder: Arc<DeviceFolder>, keys: &Keyring) -> Self {
        let key = Arc::new(keys.file_key(FILE));
        Self { folder, key }
    }

    /// What is stored of the identities of `assignment`. Blocks.
    pub(super) fn read(&self, assignment: &Assignment) -> Cache {
        let empty = Cache::empty(assignment);
        match self.try_read() {
            Ok(Some(found)) if (&found.hub, &found.device) == (&empty.hub, &empty.device) => found,
            Ok(found) => {
                if let Some(other) = found {
                    tracing::info!(hub = other.hub, device = %other.device, "the stored identities are of another hub or device and not used");
                }
                empty
            }
            Err(err) => {
                tracing::warn!(%err, "the stored identities cannot be read; the hub is asked for them");
                empty
            }
        }
    }

    /// Stores all of it. What cannot be stored is asked for again after the next start, and told in the log.
    pub(super) async fn write(&self, cache: Cache) {
        let file = self.clone();
        let written = tokio::task::spawn_blocking(move || file.try_write(&cache)).await;
        let written = written.unwrap_or_else(|err| Err(std::io::Error::other(err)));
        if let Err(err) = written {
            tracing::error!(%err, "the identities cannot be stored");
        }
    }

    fn try_write(&self, cache: &Cache) -> std::io::Result<()> {
        let store = self.folder.store().map_err(std::io::Error::other)?;
        sealed::write(&store, FILE, &self.key, &serde_json::to_vec(cache)?)
    }

    fn try_read(&self) -> Result<Option<Cache>, String> {
        let store = self.folder.store().map_err(|err| err.to_string())?;
        let text = sealed::read(&store, FILE, &self.key, SIZE_MAX_BYTES);
        let Some(text) = text.map_err(|err| err.to_string())? else {
            return Ok(None);
        };
        let cache: Cache = serde_json::from_slice(&text).map_err(|err| err.to_string())?;
        match cache.version {
            VERSION => Ok(Some(cache)),
            other => Err(format!(
                "they have version {other}, and {VERSION} is the newest that is known"
            )),
        }
    }
}

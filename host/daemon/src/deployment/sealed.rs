//! The deployment on disk, encrypted: what runs, what ran well last, and what the device needs without its hub.
//!
//! Owns the form of `deployment.enc` and its versions. Leaves to the agent when what is written. A manifest may
//! hold passwords of registries, and credentials are in it: it is sealed with a key of this device.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wasm_edge_images::digest::Digest;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_store::folder::device::DeviceFolder;
use wasm_edge_store::keys::MasterKey;
use zeroize::Zeroizing;

use crate::deployment::shown::blank_agent;
use crate::keys::{Keyring, SealingKey};
use crate::sealed;
use crate::upstream::Credentials;

/// The file, in the device's `store/`.
const FILE: &str = "deployment.enc";

/// Its version. Version 1 knew no manifests of images, and is read as one that has none.
const VERSION: u32 = 2;

/// The oldest version that is read.
const VERSION_OLDEST: u32 = 1;

/// Largest size that is read, in bytes: two deployments of 64 KiB each, credentials of 50 modules, and room.
const SIZE_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The desired properties that make a deployment. Its `Debug` form shows versions only.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sections {
    /// Those of `$edgeAgent`, with passwords.
    pub agent: Map<String, Value>,
    /// Their version.
    pub agent_version: u64,
    /// Those of `$edgeHub`.
    pub hub: Map<String, Value>,
    /// Their version.
    pub hub_version: u64,
}

/// Which image a module runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageDigests {
    /// The digest of its component, which names its code.
    pub component: Digest,
    /// The digest of its manifest, for an image of a registry.
    pub manifest: Option<Digest>,
}

impl ImageDigests {
    /// What names the image to people: its manifest, or the component where that is all of it.
    pub fn shown(&self) -> Digest {
        self.manifest.unwrap_or(self.component)
    }
}

/// A deployment with the images that it ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredDeployment {
    /// What it says.
    pub sections: Sections,
    /// Digest of each module's component, `sha256:…`.
    pub images: BTreeMap<ModuleId, String>,
    /// Digest of the manifest of those images that are of registries, `sha256:…`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub manifests: BTreeMap<ModuleId, String>,
}

/// A deployment that gave way to the last good one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    /// What it was: see the agent's `Deployment::digest`.
    pub digest: String,
    /// The version of its desired properties of `$edgeAgent`.
    pub agent_version: u64,
    /// The version of its desired properties of `$edgeHub`.
    pub hub_version: u64,
    /// Why.
    pub reason: String,
}

/// A module that left the deployment and has to be cleared away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaving {
    /// Whether its `/data` stays.
    pub keep_data: bool,
}

/// All that is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// What runs, or is about to.
    pub current: Option<StoredDeployment>,
    /// What was healthy last.
    pub last_good: Option<StoredDeployment>,
    /// What gave way to it.
    pub rejected: Option<Rejected>,
    /// Modules that have to be cleared away.
    pub leaving: BTreeMap<ModuleId, Leaving>,
    /// Credentials of the modules at the hub.
    pub credentials: BTreeMap<ModuleId, StoredCredentials>,
}

/// Credentials as they are stored. The `Debug` form shows no key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredCredentials {
    generation_id: String,
    primary_key: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    version: u32,
    current: Option<StoredDeployment>,
    last_good: Option<StoredDeployment>,
    rejected: Option<Rejected>,
    leaving: BTreeMap<ModuleId, Leaving>,
    credentials: BTreeMap<ModuleId, StoredCredentials>,
}

/// The file.
#[derive(Clone)]
pub struct SealedFile {
    folder: Arc<DeviceFolder>,
    key: Arc<SealingKey>,
}

impl SealedFile {
    /// The file of a device, sealed with a key of its own.
    pub fn new(folder: Arc<DeviceFolder>, keys: &Keyring) -> Self {
        let key = Arc::new(keys.file_key(FILE));
        Self { folder, key }
    }

    /// What is stored. Blocks.
    ///
    /// A file that cannot be read, was damaged or is of another device counts as absent, with an error in the
    /// log: the hub has the deployment.
    pub fn read(&self) -> Stored {
        self.try_read().unwrap_or_else(|err| {
            tracing::error!(%err, "the stored deployment cannot be read and counts as absent");
            Stored::default()
        })
    }

    /// Puts `stored` in the place of what is there. Blocks until it is on disk.
    ///
    /// # Errors
    /// The I/O error.
    pub fn write(&self, stored: Stored) -> std::io::Result<()> {
        let text = Zeroizing::new(serde_json::to_vec(&Form::from(stored))?);
        let store = self.folder.store().map_err(std::io::Error::other)?;
        sealed::write(&store, FILE, &self.key, &text)
    }

    fn try_read(&self) -> Result<Stored, String> {
        let store = self.folder.store().map_err(|err| err.to_string())?;
        let text = sealed::read(&store, FILE, &self.key, SIZE_MAX_BYTES);
        let Some(text) = text.map_err(|err| err.to_string())? else {
            return Ok(Stored::default());
        };
        let form: Form = serde_json::from_slice(&text).map_err(|err| err.to_string())?;
        if !(VERSION_OLDEST..=VERSION).contains(&form.version) {
            return Err(format!(
                "it has version {}, and {VERSION} is the newest that is known",
                form.version
            ));
        }
        Ok(form.into())
    }
}

/// The manifests that a device's deployments have of registries, for holding them while the device does not run.
/// Blocks. A deployment that cannot be read has none, as for the device itself.
pub(crate) fn manifests_held(folder: DeviceFolder) -> BTreeSet<Digest> {
    let keys = folder
        .keys()
        .ok()
        .and_then(|keys| MasterKey::open(&keys).ok());
    let Some(keys) = keys else {
        return BTreeSet::new();
    };
    let stored = SealedFile::new(Arc::new(folder), &Keyring::new(&keys)).read();
    let deployments = [stored.current, stored.last_good].into_iter().flatten();
    deployments
        .flat_map(|deployment| deployment.manifest_digests().collect::<Vec<_>>())
        .collect()
}

impl StoredDeployment {
    /// The digests of a module's image, if they are known.
    pub fn digests(&self, module: &ModuleId) -> Option<ImageDigests> {
        let manifest = self.manifests.get(module);
        Some(ImageDigests {
            component: self.images.get(module)?.parse().ok()?,
            manifest: manifest.and_then(|digest| digest.parse().ok()),
        })
    }

    /// Each module whose image is known: the reference that named it, and which one that was.
    pub fn images_named(&self) -> impl Iterator<Item = (&ModuleId, String, ImageDigests)> {
        let modules = self.sections.agent.get("modules");
        self.images.keys().filter_map(move |id| {
            let settings = modules?.get(id.as_str())?.get("settings")?;
            let reference = settings.get("image")?.as_str()?;
            let digest = settings.get("digest").and_then(Value::as_str);
            let reference = match digest {
                Some(digest) if !reference.contains('@') => format!("{reference}@{digest}"),
                _ => reference.to_owned(),
            };
            Some((id, reference, self.digests(id)?))
        })
    }

    /// The manifests of all its images that are of registries.
    pub fn manifest_digests(&self) -> impl Iterator<Item = Digest> {
        let manifests = self.manifests.values();
        manifests.filter_map(|digest| digest.parse().ok())
    }
}

impl Sections {
    /// Whether both say the same; versions do not count.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.agent == other.agent && self.hub == other.hub
    }

    /// The deployment as a manifest has it.
    pub fn to_manifest(&self) -> Value {
        let mut content = Map::new();
        let section = |desired: &Map<String, Value>| json!({ "properties.desired": desired });
        content.insert("$edgeAgent".to_owned(), section(&self.agent));
        // A hub that was told nothing of routes has an empty section, which says nothing either.
        if !self.hub.is_empty() {
            content.insert("$edgeHub".to_owned(), section(&self.hub));
        }
        json!({ "modulesContent": content })
    }

    /// The same with its secrets blanked.
    pub fn without_secrets(&self) -> Self {
        let mut shown = self.clone();
        blank_agent(&mut shown.agent);
        shown
    }
}

impl fmt::Debug for Sections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sections")
            .field("agent_version", &self.agent_version)
            .field("hub_version", &self.hub_version)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for StoredCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredCredentials")
            .field("generation_id", &self.generation_id)
            .finish_non_exhaustive()
    }
}

impl From<&Credentials> for StoredCredentials {
    fn from(credentials: &Credentials) -> Self {
        Self {
            generation_id: credentials.generation_id.clone(),
            primary_key: credentials.primary_key.to_vec(),
        }
    }
}

impl From<&StoredCredentials> for Credentials {
    fn from(stored: &StoredCredentials) -> Self {
        Self {
            generation_id: stored.generation_id.clone(),
            primary_key: Zeroizing::new(stored.primary_key.clone()),
        }
    }
}

impl From<Stored> for Form {
    fn from(stored: Stored) -> Self {
        let Stored {
            current,
            last_good,
            rejected,
            leaving,
            credentials,
        } = stored;
        Self {
            version: VERSION,
            current,
            last_good,
            rejected,
            leaving,
            credentials,
        }
    }
}

impl From<Form> for Stored {
    fn from(form: Form) -> Self {
        let Form {
            version: _,
            current,
            last_good,
            rejected,
            leaving,
            credentials,
        } = form;
        Self {
            current,
            last_good,
            rejected,
            leaving,
            credentials,
        }
    }
}

#[cfg(test)]
mod tests;

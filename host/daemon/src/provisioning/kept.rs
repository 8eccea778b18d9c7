//! The assignment of the provisioning service on disk, so that a device starts without it.
//!
//! Owns the form of `provisioning/assignment.enc` and its versions. It lies beside the devices' folders and not in one:
//! which device this is follows from it. Leaves when it is good to [`super::provisioner`].

use std::io;
use std::sync::Arc;

use cap_std::fs::Dir;
use serde::{Deserialize, Serialize};
use wasm_edge_model::connection_string::HostAddress;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_store::keys::{KeyError, MasterKey};

use super::dps::Assigned;
use crate::keys::{Keyring, SealingKey};
use crate::sealed;

/// The file, in `provisioning/`.
const FILE: &str = "assignment.enc";

/// Its version.
const VERSION: u32 = 1;

/// Largest size that is read, in bytes: names and ids of the greatest length, with room.
const SIZE_MAX_BYTES: u64 = 4 * 1024;

/// The file.
#[derive(Clone)]
pub(super) struct KeptAssignment {
    folder: Arc<Dir>,
    key: Arc<SealingKey>,
    /// Whose assignment it has to be.
    subject: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    version: u32,
    /// Service, id scope and registration id.
    subject: String,
    hub: String,
    device: DeviceId,
}

impl KeptAssignment {
    /// The file in `provisioning/`, sealed with a key that lies there. Blocks.
    ///
    /// # Errors
    /// [`KeyError`].
    pub(super) fn open(folder: Dir, subject: String) -> Result<Self, KeyError> {
        let keys = Keyring::new(&MasterKey::open(&folder)?);
        Ok(Self {
            key: Arc::new(keys.file_key(FILE)),
            folder: Arc::new(folder),
            subject,
        })
    }

    /// What was assigned to this registration; what cannot be read, was damaged or is another's counts as absent.
    pub(super) async fn read(&self) -> Option<Assigned> {
        let kept = self.clone();
        let read = tokio::task::spawn_blocking(move || kept.try_read()).await;
        match read.unwrap_or_else(|err| Err(err.to_string())) {
            Ok(found) => found,
            Err(err) => {
                tracing::warn!(%err, "the stored assignment cannot be read; the device registers again");
                None
            }
        }
    }

    /// Stores an assignment. One that cannot be stored holds until the next start, and is told in the log.
    pub(super) async fn write(&self, assigned: &Assigned) {
        let form = Form {
            version: VERSION,
            subject: self.subject.clone(),
            hub: assigned.hub.to_string(),
            device: assigned.device.clone(),
        };
        let kept = self.clone();
        let written = tokio::task::spawn_blocking(move || kept.try_write(&form)).await;
        let written = written.unwrap_or_else(|err| Err(io::Error::other(err)));
        if let Err(err) = written {
            tracing::error!(%err, "the assignment cannot be stored");
        }
    }

    fn try_write(&self, form: &Form) -> io::Result<()> {
        let text = serde_json::to_vec(form)?;
        sealed::write(&self.folder, FILE, &self.key, &text)
    }

    fn try_read(&self) -> Result<Option<Assigned>, String> {
        let text = sealed::read(&self.folder, FILE, &self.key, SIZE_MAX_BYTES);
        let Some(text) = text.map_err(|err| err.to_string())? else {
            return Ok(None);
        };
        let form: Form = serde_json::from_slice(&text).map_err(|err| err.to_string())?;
        if form.version != VERSION {
            return Err(format!(
                "it has version {}, and {VERSION} is the newest that is known",
                form.version
            ));
        }
        if form.subject != self.subject {
            tracing::info!(
                of = form.subject,
                "the stored assignment is that of another registration and not used"
            );
            return Ok(None);
        }
        let hub = HostAddress::parse(&form.hub).ok_or("it names no hub")?;
        let device = form.device;
        Ok(Some(Assigned { hub, device }))
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    fn assigned(hub: &str) -> Assigned {
        Assigned {
            hub: HostAddress::parse(hub).unwrap(),
            device: "d".parse().unwrap(),
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_found_by_the_same_registration_only() {
        let temp = tempfile::tempdir().unwrap();
        let open = |subject: &str| {
            let folder = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
            KeptAssignment::open(folder, subject.to_owned()).unwrap()
        };
        assert_eq!(open("a").read().await, None);
        open("a").write(&assigned("h.example:1")).await;
        assert_eq!(open("a").read().await, Some(assigned("h.example:1")));
        assert_eq!(open("b").read().await, None);
    }

    #[tokio::test]
    async fn a_damaged_one_is_none() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        let kept = KeptAssignment::open(folder, "a".to_owned()).unwrap();
        kept.write(&assigned("h")).await;
        let path = temp.path().join(FILE);
        let good = std::fs::read(&path).unwrap();
        assert!(!good.windows(7).any(|bytes| bytes == b"subject"));
        for length in 0..good.len() {
            std::fs::write(&path, &good[..length]).unwrap();
            assert_eq!(kept.read().await, None, "{length}");
        }
        std::fs::write(&path, vec![1; 10_000]).unwrap();
        assert_eq!(kept.read().await, None);
        kept.write(&assigned("h")).await;
        assert_eq!(kept.read().await, Some(assigned("h")));
    }
}

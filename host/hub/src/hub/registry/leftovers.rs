//! Removing what belongs to identities that were deleted: modules of a device, and stored sessions.
//!
//! All of it can be repeated: what a crash leaves goes when a device or module of the id is made again.

use wasm_edge_model::identity::{DeviceId, TwinOwner};

use super::{DEVICES_PER_PAGE_MAX, owner_of};
use crate::error::HubError;
use crate::hub::{Hub, decode};
use crate::store::{Collection, DocumentKey, Expected};

impl Hub {
    /// Removes the documents of a device's modules, but for those of the generation `keep`.
    pub(super) async fn remove_modules(
        &self,
        device: &DeviceId,
        keep: Option<&str>,
    ) -> Result<(), HubError> {
        let collection = Collection::ModulesOf(device.clone());
        let mut after = None;
        loop {
            let page = self
                .store()
                .scan(&collection, after.as_ref(), DEVICES_PER_PAGE_MAX)
                .await?;
            for (key, document) in page.documents {
                let owner = owner_of(&key)?;
                let record = decode(&owner, &document.content)?;
                if keep != Some(&*record.device_generation_id) {
                    // A conflict means that another removed or replaced it.
                    self.write(&owner, Expected::Revision(document.revision), None)
                        .await?;
                }
                after = Some(key);
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    /// Removes what outlives the connections of `owner`, and of its modules if it is a device.
    pub(super) async fn remove_sessions(&self, owner: &TwinOwner) -> Result<(), HubError> {
        if owner.module().is_some() {
            let key = DocumentKey::session(owner);
            if let Some(found) = self.store().read(&key).await? {
                self.swap(&key, Expected::Revision(found.revision), None)
                    .await?;
            }
            return Ok(());
        }
        let collection = Collection::SessionsOf(owner.device().clone());
        let mut after = None;
        loop {
            let page = self
                .store()
                .scan(&collection, after.as_ref(), DEVICES_PER_PAGE_MAX)
                .await?;
            for (key, document) in page.documents {
                // A conflict means that another removed or replaced it.
                self.swap(&key, Expected::Revision(document.revision), None)
                    .await?;
                after = Some(key);
            }
            if !page.more {
                return Ok(());
            }
        }
    }
}

//! Removing what belongs to identities that were deleted: modules of a device, and stored sessions.
//!
//! All of it can be repeated: what a crash leaves goes when a device or module of the id is made again.

use wasm_edge_model::identity::{DeviceId, TwinOwner};

use super::{DEVICES_PER_PAGE_MAX, owner_of};
use crate::error::HubError;
use crate::hub::Hub;
use crate::hub::documents::decode;
use crate::store::{Collection, DocumentKey};

impl Hub {
    /// Removes the documents of a device's modules, but for those of the generation `keep`.
    pub(super) async fn remove_modules(
        &self,
        device: &DeviceId,
        keep: Option<&str>,
    ) -> Result<(), HubError> {
        let collection = Collection::ModulesOf(device.clone());
        let removed = self.remove_documents(&collection, DEVICES_PER_PAGE_MAX, |key, document| {
            let record = decode(&owner_of(key)?, &document.content)?;
            Ok(keep != Some(&*record.device_generation_id))
        });
        let removed = removed.await;
        // Also after an error, which leaves the outcome open.
        self.work().device(device);
        removed
    }

    /// Removes what outlives the connections of `owner`, and of its modules if it is a device.
    pub(super) async fn remove_sessions(&self, owner: &TwinOwner) -> Result<(), HubError> {
        if owner.module().is_some() {
            return self.remove_document(&DocumentKey::session(owner)).await;
        }
        let collection = Collection::SessionsOf(owner.device().clone());
        let removed = self.remove_documents(&collection, DEVICES_PER_PAGE_MAX, |_, _| Ok(true));
        removed.await
    }
}

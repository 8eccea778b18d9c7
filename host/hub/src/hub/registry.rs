//! The identity registry: making, reading, changing, deleting and listing identities.
//!
//! Owns the order of writes where an operation touches several documents, so
//! that it can be repeated after a crash: a device comes before its system
//! modules, which whoever looks for them makes if they are missing; a device
//! goes before its modules, which then count as absent. Leaves the form of
//! identities to [`crate::identity`].

use wasm_edge_model::identity::{DeviceId, ModuleIdentity, TwinOwner};
use wasm_edge_model::time::Timestamp;

use super::commands::documents::Keep;
use super::documents::{Found, SWAP_TRIES_MAX, Write, decode};
use super::twins::TwinPatch;
use super::{Hub, IfMatch};
use crate::error::HubError;
use crate::identity::{Identity, IdentityError, IdentityRequest, IdentitySpec, IdentityStatus};
use crate::session::CloseReason;
use crate::store::{Collection, DocumentKey, Expected};

mod leftovers;
mod making;
pub mod scope;

/// How many modules a device may have, beside `$edgeAgent` and `$edgeHub`; as IoT Hub.
pub const MODULES_PER_DEVICE_MAX: usize = 50;

/// Most identities in one answer.
pub const DEVICES_PER_PAGE_MAX: usize = 1000;

impl Hub {
    /// The device, made with new keys if it is missing; it may run modules afterwards.
    ///
    /// # Errors
    /// [`HubError::Store`] and its kin.
    pub async fn ensure_device(&self, device: &DeviceId) -> Result<Identity, HubError> {
        let owner = TwinOwner::Device(device.clone());
        let spec = IdentitySpec {
            edge: true,
            ..IdentitySpec::default()
        };
        let identity = match self.create(&owner, spec).await {
            Err(HubError::AlreadyExists { .. }) => {
                self.change(&owner, |record| {
                    let identity = &mut record.identity;
                    let write = if identity.edge {
                        Write::Nothing
                    } else {
                        Write::Record
                    };
                    if write == Write::Record {
                        identity.edge = true;
                        identity.etag_counter += 1;
                    }
                    Ok((identity.clone(), write))
                })
                .await?
            }
            made => made?,
        };
        self.ensure_system_modules(device).await?;
        Ok(identity)
    }

    /// The module, made with new keys if it is missing. Its device must exist.
    ///
    /// # Errors
    /// [`HubError::NotFound`] without the device, [`HubError::TooManyModules`],
    /// [`HubError::Store`] and its kin.
    pub async fn ensure_module(&self, module: &ModuleIdentity) -> Result<Identity, HubError> {
        let owner = TwinOwner::Module(module.clone());
        match self.load(&owner).await {
            Err(HubError::NotFound { owner: missing }) if missing == owner => {}
            found => return found.map(|found| found.record.identity),
        }
        match self.create(&owner, IdentitySpec::default()).await {
            Err(HubError::AlreadyExists { .. }) => self.identity(&owner).await,
            made => made,
        }
    }

    /// The identity of a device or module.
    ///
    /// # Errors
    /// [`HubError::NotFound`], [`HubError::Store`] and its kin.
    pub async fn identity(&self, owner: &TwinOwner) -> Result<Identity, HubError> {
        self.load(owner).await.map(|found| found.record.identity)
    }

    /// Makes a device or module with an empty twin.
    ///
    /// # Errors
    /// [`HubError::AlreadyExists`], [`HubError::NotFound`] without the device
    /// of a module, [`HubError::TooManyModules`], [`HubError::Identity`],
    /// [`HubError::Store`] and its kin.
    pub async fn create(
        &self,
        owner: &TwinOwner,
        spec: IdentitySpec,
    ) -> Result<Identity, HubError> {
        self.create_with(owner, spec, &TwinPatch::default()).await
    }

    /// Makes a device or module whose twin has these tags and desired properties.
    ///
    /// # Errors
    /// As [`Hub::create`], and [`HubError::Twin`].
    pub async fn create_with(
        &self,
        owner: &TwinOwner,
        spec: IdentitySpec,
        twin: &TwinPatch,
    ) -> Result<Identity, HubError> {
        self.check_parent(owner, spec.parent.as_deref()).await?;
        let identity = self.make(owner, spec, twin).await?;
        if let TwinOwner::Device(device) = owner {
            let generation_id = &*identity.generation_id;
            self.remove_modules(device, Some(generation_id)).await?;
            self.remove_commands(device, Keep::Generation(generation_id))
                .await?;
            if identity.edge {
                self.ensure_system_modules(device).await?;
            }
        }
        Ok(identity)
    }

    /// Changes an identity to be as `spec` says.
    ///
    /// # Errors
    /// [`HubError::NotFound`], [`HubError::PreconditionFailed`],
    /// [`HubError::Identity`], [`HubError::Store`] and its kin.
    pub async fn update(
        &self,
        owner: &TwinOwner,
        spec: IdentitySpec,
        if_match: IfMatch,
    ) -> Result<Identity, HubError> {
        self.update_with(owner, if_match, |_| Ok(spec.clone()))
            .await
    }

    /// Changes of an identity what `request` names; the rest stays as it is.
    ///
    /// # Errors
    /// As [`Hub::update`].
    pub async fn update_as(
        &self,
        owner: &TwinOwner,
        request: &IdentityRequest,
        if_match: IfMatch,
    ) -> Result<Identity, HubError> {
        self.update_with(owner, if_match, |present| request.check_update(present))
            .await
    }

    async fn update_with(
        &self,
        owner: &TwinOwner,
        if_match: IfMatch,
        spec: impl Fn(&Identity) -> Result<IdentitySpec, IdentityError>,
    ) -> Result<Identity, HubError> {
        let present = self.identity(owner).await?;
        let wanted = spec(&present).map_err(|source| refused(owner, source))?;
        if wanted.parent != present.parent {
            self.check_parent(owner, wanted.parent.as_deref()).await?;
        }
        let now = self.now();
        let (before, updated) = self
            .change(owner, |record| {
                let identity = &mut record.identity;
                if_match.check(owner, || identity.etag())?;
                let before = identity.status;
                spec(identity)
                    .and_then(|spec| become_as(identity, spec, now))
                    .map_err(|source| refused(owner, source))?;
                Ok(((before, identity.clone()), Write::Record))
            })
            .await?;
        let device = owner.device();
        if owner.module().is_none() {
            self.census().note(Some(before), Some(updated.status));
            if updated.edge {
                self.ensure_system_modules(device).await?;
            }
        }
        if updated.status == IdentityStatus::Disabled {
            self.connections()
                .close_device(device, CloseReason::IdentityDisabled);
        }
        Ok(updated)
    }

    /// Deletes a device with its modules, all their twins, and what waits for them; their sessions
    /// end, and what outlived their connections goes.
    ///
    /// # Errors
    /// [`HubError::NotFound`], [`HubError::PreconditionFailed`],
    /// [`HubError::Store`] and its kin.
    pub async fn delete_device(
        &self,
        device: &DeviceId,
        if_match: IfMatch,
    ) -> Result<(), HubError> {
        let owner = TwinOwner::Device(device.clone());
        let deleted = self.delete(&owner, &if_match).await?;
        self.census().note(Some(deleted.status), None);
        // From here on the modules count as absent; what a crash leaves of them goes when a
        // device of this id is made again.
        self.connections()
            .close_device(device, CloseReason::IdentityDeleted);
        self.remove_modules(device, None).await?;
        self.remove_commands(device, Keep::Nothing).await?;
        self.remove_sessions(&owner).await
    }

    /// Deletes a module with its twin; its session ends.
    ///
    /// # Errors
    /// [`HubError::NotFound`], [`HubError::PreconditionFailed`],
    /// [`HubError::SystemModule`], [`HubError::Store`] and its kin.
    pub async fn delete_module(
        &self,
        module: &ModuleIdentity,
        if_match: IfMatch,
    ) -> Result<(), HubError> {
        let owner = TwinOwner::Module(module.clone());
        if module.module.is_system() {
            return Err(HubError::SystemModule { owner });
        }
        self.delete(&owner, &if_match).await?;
        self.connections()
            .close(&owner, CloseReason::IdentityDeleted);
        self.remove_sessions(&owner).await
    }

    /// The devices whose ids come after `after`, in the order of their bytes: one page.
    ///
    /// At most `limit` and never more than [`DEVICES_PER_PAGE_MAX`]; fewer
    /// only when there are no more. What was made a moment ago may be missing.
    ///
    /// # Errors
    /// [`HubError::Store`] and its kin.
    pub async fn devices(
        &self,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<Identity>, HubError> {
        let limit = limit.min(DEVICES_PER_PAGE_MAX);
        let after = after.map(|device| DocumentKey::of(&TwinOwner::Device(device.clone())));
        self.identities(&Collection::Devices, after, limit, None)
            .await
    }

    /// The modules of a device, in the order of their ids' bytes, `$edgeAgent` and `$edgeHub` first.
    ///
    /// # Errors
    /// [`HubError::NotFound`], [`HubError::Store`] and its kin.
    pub async fn modules(&self, device: &DeviceId) -> Result<Vec<Identity>, HubError> {
        let found = self.load(&TwinOwner::Device(device.clone())).await?;
        let device_identity = found.record.identity;
        if device_identity.edge {
            self.ensure_system_modules(device).await?;
        }
        let mut modules = self
            .modules_of(device, &device_identity.generation_id)
            .await?;
        for module in &mut modules {
            module.status = device_identity.status;
        }
        Ok(modules)
    }

    /// The modules of a device that were made for this generation of it.
    async fn modules_of(
        &self,
        device: &DeviceId,
        generation_id: &str,
    ) -> Result<Vec<Identity>, HubError> {
        let collection = Collection::ModulesOf(device.clone());
        // More than there can be: those made at the same instant may pass the limit by a few.
        let limit = MODULES_PER_DEVICE_MAX * 2;
        self.identities(&collection, None, limit, Some(generation_id))
            .await
    }

    async fn delete(&self, owner: &TwinOwner, if_match: &IfMatch) -> Result<Identity, HubError> {
        for _ in 0..SWAP_TRIES_MAX {
            let Found {
                record, revision, ..
            } = self.load(owner).await?;
            if_match.check(owner, || record.identity.etag())?;
            if self
                .write(owner, Expected::Revision(revision), None)
                .await?
            {
                return Ok(record.identity);
            }
        }
        Err(HubError::Contended {
            owner: owner.clone(),
        })
    }

    /// Reads up to `limit` identities of a collection page by page, of one device generation if
    /// given. Only one page of twins is in memory at a time.
    async fn identities(
        &self,
        collection: &Collection,
        mut after: Option<DocumentKey>,
        limit: usize,
        generation_id: Option<&str>,
    ) -> Result<Vec<Identity>, HubError> {
        let mut identities = Vec::new();
        while identities.len() < limit {
            let missing = limit - identities.len();
            let page = self
                .store()
                .scan(collection, after.as_ref(), missing)
                .await?;
            for (key, document) in page.documents {
                let record = decode(&owner_of(&key)?, &document.content)?;
                if generation_id.is_none_or(|wanted| wanted == record.device_generation_id) {
                    identities.push(record.identity);
                }
                after = Some(key);
            }
            if !page.more {
                break;
            }
        }
        Ok(identities)
    }
}

/// Makes an identity what `spec` says.
fn become_as(
    identity: &mut Identity,
    spec: IdentitySpec,
    now: Timestamp,
) -> Result<(), IdentityError> {
    identity.authentication = spec
        .authentication
        .resolve(Some(&identity.authentication))?;
    if identity.owner.module().is_none() {
        if identity.status != spec.status {
            identity.status_updated = now;
        }
        identity.status = spec.status;
        identity.status_reason = spec.status_reason;
        identity.edge = spec.edge;
    }
    identity.managed_by = spec.managed_by;
    identity.parent = spec.parent;
    identity.etag_counter += 1;
    Ok(())
}

fn refused(owner: &TwinOwner, source: IdentityError) -> HubError {
    HubError::Identity {
        owner: owner.clone(),
        source,
    }
}

fn owner_of(key: &DocumentKey) -> Result<TwinOwner, HubError> {
    key.owner().ok_or_else(|| {
        let key = key.as_str().to_owned();
        HubError::Store(crate::store::StoreError::Damaged { key })
    })
}

#[cfg(test)]
mod tests;

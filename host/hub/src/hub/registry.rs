//! The identity registry: making, reading, changing, deleting and listing identities.
//!
//! Owns the order of writes where an operation touches several documents, so
//! that it can be repeated after a crash: a device comes before its system
//! modules, which whoever looks for them makes if they are missing; a device
//! goes before its modules, which then count as absent. Leaves the form of
//! identities to [`crate::identity`].

use std::collections::BTreeMap;

use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};
use wasm_edge_model::time::Timestamp;
use wasm_edge_model::twin::Twin;

use super::commands::documents::Keep;
use super::{Found, Hub, IfMatch, SWAP_TRIES_MAX, Slot, Write, decode};
use crate::error::HubError;
use crate::identity::{Identity, IdentityError, IdentitySpec, IdentityStatus, new_generation_id};
use crate::record::Record;
use crate::session::CloseReason;
use crate::store::{Collection, DocumentKey, Expected};

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
        let identity = self.make(owner, spec).await?;
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
        let now = self.now();
        let authentication = spec.authentication.clone();
        let updated = self
            .change(owner, |record| {
                let identity = &mut record.identity;
                if_match.check(owner, || identity.etag())?;
                identity.authentication = authentication
                    .clone()
                    .resolve(Some(&identity.authentication))
                    .map_err(|source| refused(owner, source))?;
                if owner.module().is_none() {
                    if identity.status != spec.status {
                        identity.status_updated = now;
                    }
                    identity.status = spec.status;
                    identity.status_reason.clone_from(&spec.status_reason);
                    identity.edge = spec.edge;
                }
                identity.managed_by.clone_from(&spec.managed_by);
                identity.etag_counter += 1;
                Ok((identity.clone(), Write::Record))
            })
            .await?;
        let device = owner.device();
        if owner.module().is_none() && updated.edge {
            self.ensure_system_modules(device).await?;
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
        self.delete(&owner, &if_match).await?;
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

    /// Makes a module by its id alone, if it is missing.
    pub(super) async fn make_module(&self, owner: &TwinOwner) -> Result<(), HubError> {
        match self.make(owner, IdentitySpec::default()).await {
            Ok(_) | Err(HubError::AlreadyExists { .. }) => Ok(()),
            Err(err) => Err(err),
        }
    }

    /// Makes the modules that every device of IoT Edge has, those that are missing.
    async fn ensure_system_modules(&self, device: &DeviceId) -> Result<(), HubError> {
        for module in [ModuleId::edge_agent(), ModuleId::edge_hub()] {
            let module = ModuleIdentity {
                device: device.clone(),
                module,
            };
            self.make_module(&TwinOwner::Module(module)).await?;
        }
        Ok(())
    }

    async fn make(&self, owner: &TwinOwner, spec: IdentitySpec) -> Result<Identity, HubError> {
        for _ in 0..SWAP_TRIES_MAX {
            let Slot::Absent { leftover, device } = self.slot(owner).await? else {
                return Err(HubError::AlreadyExists {
                    owner: owner.clone(),
                });
            };
            let device = device.map(|device| *device);
            if let Some(device) = &device {
                self.check_room(owner, &device.identity.generation_id)
                    .await?;
            }
            // What a deletion that was interrupted left behind: nobody has connected yet.
            self.remove_sessions(owner).await?;
            let record = self.new_record(owner, spec.clone(), device.as_ref())?;
            let expected = leftover.map_or(Expected::Absent, Expected::Revision);
            if self.write(owner, expected, Some(&record)).await? {
                return Ok(record.identity);
            }
        }
        Err(HubError::Contended {
            owner: owner.clone(),
        })
    }

    fn new_record(
        &self,
        owner: &TwinOwner,
        spec: IdentitySpec,
        device: Option<&Record>,
    ) -> Result<Record, HubError> {
        let now = self.now();
        let identity = Identity {
            owner: owner.clone(),
            generation_id: new_generation_id(now).map_err(|source| refused(owner, source))?,
            etag_counter: 1,
            status: spec.status,
            status_reason: spec.status_reason,
            status_updated: Timestamp::UNSET,
            authentication: spec
                .authentication
                .resolve(None)
                .map_err(|source| refused(owner, source))?,
            edge: spec.edge && owner.module().is_none(),
            managed_by: spec.managed_by,
        };
        let device = device.map_or(&identity, |device| &device.identity);
        let device_generation_id = device.generation_id.clone();
        Ok(Record {
            identity,
            device_generation_id,
            twin: Twin::new(now),
            model_id: String::new(),
            configurations: BTreeMap::new(),
            configured: Vec::new(),
        })
    }

    /// Refuses one module too many. Two made at the same instant may both pass: the limit keeps a
    /// device's share bounded and need not be exact.
    async fn check_room(&self, owner: &TwinOwner, generation_id: &str) -> Result<(), HubError> {
        if owner.module().is_some_and(|module| module.is_system()) {
            return Ok(());
        }
        let modules = self.modules_of(owner.device(), generation_id).await?;
        let users = modules.iter().filter(|module| !module.is_system_module());
        if users.count() >= MODULES_PER_DEVICE_MAX {
            let (device, limit) = (owner.device().clone(), MODULES_PER_DEVICE_MAX);
            return Err(HubError::TooManyModules { device, limit });
        }
        Ok(())
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

    async fn delete(&self, owner: &TwinOwner, if_match: &IfMatch) -> Result<(), HubError> {
        for _ in 0..SWAP_TRIES_MAX {
            let Found { record, revision } = self.load(owner).await?;
            if_match.check(owner, || record.identity.etag())?;
            if self
                .write(owner, Expected::Revision(revision), None)
                .await?
            {
                return Ok(());
            }
        }
        Err(HubError::Contended {
            owner: owner.clone(),
        })
    }

    /// Removes the documents of a device's modules, but for those of the generation `keep`.
    async fn remove_modules(&self, device: &DeviceId, keep: Option<&str>) -> Result<(), HubError> {
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
    async fn remove_sessions(&self, owner: &TwinOwner) -> Result<(), HubError> {
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

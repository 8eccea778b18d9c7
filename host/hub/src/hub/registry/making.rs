//! Making identities: the document of a new one, and the modules that come with a device.

use std::collections::BTreeMap;

use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};
use wasm_edge_model::time::Timestamp;
use wasm_edge_model::twin::{ServiceChange, Twin};

use super::{MODULES_PER_DEVICE_MAX, refused};
use crate::error::HubError;
use crate::hub::Hub;
use crate::hub::documents::{SWAP_TRIES_MAX, Slot};
use crate::hub::twins::TwinPatch;
use crate::identity::{Identity, IdentitySpec, new_generation_id};
use crate::record::Record;
use crate::store::Expected;

impl Hub {
    /// Makes a module by its id alone, if it is missing.
    pub(in crate::hub) async fn make_module(&self, owner: &TwinOwner) -> Result<(), HubError> {
        let (spec, twin) = (IdentitySpec::default(), TwinPatch::default());
        match self.make(owner, spec, &twin).await {
            Ok(_) | Err(HubError::AlreadyExists { .. }) => Ok(()),
            Err(err) => Err(err),
        }
    }

    /// Makes the modules that every device of IoT Edge has, those that are missing.
    pub(super) async fn ensure_system_modules(&self, device: &DeviceId) -> Result<(), HubError> {
        for module in [ModuleId::edge_agent(), ModuleId::edge_hub()] {
            let module = ModuleIdentity {
                device: device.clone(),
                module,
            };
            self.make_module(&TwinOwner::Module(module)).await?;
        }
        Ok(())
    }

    /// Writes the document of a new identity.
    pub(super) async fn make(
        &self,
        owner: &TwinOwner,
        spec: IdentitySpec,
        twin: &TwinPatch,
    ) -> Result<Identity, HubError> {
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
            let record = self.new_record(owner, spec.clone(), twin, device.as_ref())?;
            let expected = leftover.map_or(Expected::Absent, Expected::Revision);
            if self.write(owner, expected, Some(&record)).await? {
                if owner.module().is_none() {
                    self.census().note(None, Some(record.identity.status));
                }
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
        initial: &TwinPatch,
        device: Option<&Record>,
    ) -> Result<Record, HubError> {
        let now = self.now();
        let mut twin = Twin::new(now);
        let change = ServiceChange {
            tags: initial.tags.as_ref(),
            desired: initial.desired.as_ref(),
        };
        twin.patch(change, now).map_err(|source| HubError::Twin {
            owner: owner.clone(),
            source,
        })?;
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
            parent: spec.parent,
        };
        let device = device.map_or(&identity, |device| &device.identity);
        let device_generation_id = device.generation_id.clone();
        Ok(Record {
            identity,
            device_generation_id,
            twin,
            model_id: String::new(),
            configurations: BTreeMap::new(),
            configured: Vec::new(),
            deployed: Vec::new(),
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
}

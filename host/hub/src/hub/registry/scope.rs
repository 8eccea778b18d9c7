//! Devices behind other devices: who belongs to a device that runs modules.
//!
//! Owns looking for them. A device says itself behind which one it is, so
//! that a search reads devices page by page; only the router of a device asks,
//! and seldom.

use wasm_edge_model::identity::{DeviceId, TwinOwner};

use super::{DEVICES_PER_PAGE_MAX, refused};
use crate::error::HubError;
use crate::hub::Hub;
use crate::identity::{Identity, IdentityError, scope_of};

/// How much of a scope that is refused is shown.
const SCOPE_SHOWN_CHARS: usize = 200;

/// Some of the devices behind a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Children {
    /// The devices.
    pub devices: Vec<Identity>,
    /// Where to go on, if there may be more.
    pub next: Option<DeviceId>,
}

impl Hub {
    /// The devices that are right behind the device of this scope, and whose ids come after `after`.
    ///
    /// Of [`DEVICES_PER_PAGE_MAX`] devices those that are; possibly none, with more to come.
    ///
    /// # Errors
    /// [`HubError::Store`] and its kin.
    pub async fn children(
        &self,
        scope: &str,
        after: Option<&DeviceId>,
    ) -> Result<Children, HubError> {
        let mut devices = self.devices(after, DEVICES_PER_PAGE_MAX).await?;
        let last = devices.last().map(|last| last.owner.device().clone());
        let next = last.filter(|_| devices.len() == DEVICES_PER_PAGE_MAX);
        devices.retain(|device| device.parent.as_deref() == Some(scope));
        Ok(Children { devices, next })
    }

    /// Refuses a scope of no device that runs modules.
    pub(super) async fn check_parent(
        &self,
        owner: &TwinOwner,
        scope: Option<&str>,
    ) -> Result<(), HubError> {
        let Some(scope) = scope else {
            return Ok(());
        };
        let parent = match scope_of(scope) {
            Some((device, _)) => match self.identity(&TwinOwner::Device(device)).await {
                Err(HubError::NotFound { .. }) => None,
                found => Some(found?),
            },
            None => None,
        };
        let is_there = parent
            .is_some_and(|parent| parent.edge && parent.device_scope().as_deref() == Some(scope));
        if is_there {
            return Ok(());
        }
        let scope = scope.chars().take(SCOPE_SHOWN_CHARS).collect();
        Err(refused(owner, IdentityError::Parent { scope }))
    }
}

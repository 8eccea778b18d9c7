//! Who the device is, and its way to the hub, if it has one.

use wasm_edge_daemon::config::Config;
use wasm_edge_daemon::upstream::{Way, local};
use wasm_edge_model::identity::DeviceId;

use crate::device_name;

/// The device as it is known outside.
pub(super) struct Outside {
    device: DeviceId,
}

impl Outside {
    pub(super) fn open(config: &Config) -> anyhow::Result<Self> {
        let device = match &config.deployment.device_id {
            Some(id) => id.clone(),
            None => device_name::of_host("give one with `device_id` in `[deployment]`")?,
        };
        Ok(Self { device })
    }

    /// Its id.
    pub(super) fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Its way to the hub.
    pub(super) fn way(&self) -> Way {
        Way::None
    }

    /// The name by which modules know the hub.
    pub(super) fn host_name(&self) -> String {
        local::HOST_NAME.to_owned()
    }

    /// How it stands, in a line.
    pub(super) fn status(&self) -> String {
        format!("device `{}`, without a hub", self.device)
    }
}

//! Who the device is, and its way to the hub, if it has one.

pub(crate) mod line;
mod of_hub;
mod timely;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasm_edge_daemon::config::Config;
use wasm_edge_daemon::folder::DataFolder;
use wasm_edge_daemon::upstream::{Way, local};
use wasm_edge_model::identity::DeviceId;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::traffic::Ledger;

use self::of_hub::OfHub;
use super::notify::ServiceManager;
use crate::device_name;

/// The device as it is known outside.
pub(super) enum Outside {
    /// It has no hub.
    Alone(DeviceId),
    /// It belongs to a hub.
    OfHub(Box<OfHub>),
}

impl Outside {
    /// Finds out who the device is; where a service has to be asked first, waits until it answers.
    ///
    /// # Errors
    /// What the configuration names cannot be used, or the data folder.
    ///
    /// # Cancel safety
    /// Cancel safe: what the service was asked for is given up.
    pub(super) async fn open(
        config: &Config,
        folder: &Arc<DataFolder>,
        clock: HubClock,
        manager: &ServiceManager,
    ) -> anyhow::Result<Self> {
        if let Some(provisioning) = &config.provisioning {
            let of_hub = OfHub::open(provisioning, config, folder, clock, manager).await?;
            return Ok(Self::OfHub(Box::new(of_hub)));
        }
        match &config.deployment.device_id {
            Some(id) => Ok(Self::Alone(id.clone())),
            None => {
                device_name::of_host("give one with `device_id` in `[deployment]`").map(Self::Alone)
            }
        }
    }

    /// Its id.
    pub(super) fn device(&self) -> &DeviceId {
        match self {
            Self::Alone(device) => device,
            Self::OfHub(of_hub) => of_hub.device(),
        }
    }

    /// Its way to the hub.
    pub(super) fn way(&self) -> Way {
        match self {
            Self::Alone(_) => Way::None,
            Self::OfHub(of_hub) => Way::Network(of_hub.upstream()),
        }
    }

    /// The name by which modules know the hub.
    pub(super) fn host_name(&self) -> String {
        match self {
            Self::Alone(_) => local::HOST_NAME.to_owned(),
            Self::OfHub(of_hub) => of_hub.upstream().host_name(),
        }
    }

    /// Where what goes over the network is counted.
    pub(super) fn ledger(&self) -> Ledger {
        match self {
            Self::Alone(_) => Ledger::default(),
            Self::OfHub(of_hub) => of_hub.ledger(),
        }
    }

    /// How it stands, in a line.
    pub(super) fn status(&self) -> String {
        match self {
            Self::Alone(device) => format!("device `{device}`, without a hub"),
            Self::OfHub(of_hub) => of_hub.status(),
        }
    }

    /// Ends when it is another device, or that of another hub: opened anew it is so.
    pub(super) async fn reassigned(&self) {
        match self {
            Self::Alone(_) => std::future::pending().await,
            Self::OfHub(of_hub) => of_hub.reassigned().await,
        }
    }

    /// Lets go on beside the device what its way needs: the clock that is waited for, and what is told of the hub.
    pub(super) fn spawn(&mut self, tasks: &TaskTracker, stop: &CancellationToken) {
        if let Self::OfHub(of_hub) = self {
            of_hub.spawn(tasks, stop);
        }
    }

    /// Ends all sessions, when nothing is sent any more.
    pub(super) async fn close(&self) {
        if let Self::OfHub(of_hub) = self {
            of_hub.close().await;
        }
    }
}

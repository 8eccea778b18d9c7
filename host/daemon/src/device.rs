//! The root: builds the parts of one device, connects them, and ends them in order.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_net::traffic::Ledger;
use wasm_edge_router::router::Router;
use wasm_edge_store::database::DatabaseError;
use wasm_edge_store::folder::FolderError;
use wasm_edge_store::folder::device::DeviceFolder;
use wasm_edge_store::keys::{KeyError, MasterKey};

use crate::agent::handle::AgentHandle;
use crate::agent::{Agent, AgentParts, AgentSettings};
use crate::api::DeviceView;
use crate::code::CodeStore;
use crate::config::RouterConfig;
use crate::deployment::sealed::SealedFile;
use crate::deployment::{self, AppliedManifest};
use crate::images::ImageSupply;
use crate::injector::Injector;
use crate::keys::Keyring;
use crate::logs::{self, Logs};
use crate::methods::Methods;
use crate::pulse::{self, Pulse};
use crate::queues::{self, QueuesError};
use crate::supervisor::health::HealthChecks;
use crate::supervisor::life::RestartWaits;
use crate::supervisor::{Supervisor, Surroundings};
use crate::twins::Twins;
use crate::uploads::Uploads;
use crate::upstream::gate::{Gate, GatedUpstream};
use crate::upstream::local::{LocalHub, LocalHubError};
use crate::upstream::pump::sessions::Sessions;
use crate::upstream::pump::{self, PumpCounters};
use crate::upstream::{HubPlace, Upstream, Way};

/// What a device is made of.
pub struct DeviceConfig {
    /// Its id.
    pub device: DeviceId,
    /// Its part of the data folder.
    pub folder: DeviceFolder,
    /// The whole data folder, which is never granted to a module.
    pub own_folder: PathBuf,
    /// The way to its hub.
    pub upstream: Way,
    /// Code of images, shared by all devices of the process.
    pub code: CodeStore,
    /// Images of registries, shared by all devices of the process.
    pub images: ImageSupply,
    /// Waits between restarts of a module, where its manifest says nothing.
    pub restart_waits: RestartWaits,
    /// How the health of modules is asked, where their manifest says nothing.
    pub health_checks: HealthChecks,
    /// What can be set about its agent.
    pub agent: AgentSettings,
    /// How its messages are routed and kept.
    pub router: RouterConfig,
    /// What uploads need beside it.
    pub uploads: Uploads,
    /// Where what goes over the network is counted; none where the hub is in the same process.
    pub ledger: Option<Ledger>,
}

/// A running device.
pub struct Device {
    agent: JoinHandle<()>,
    stop_agent: CancellationToken,
    pulses: [(&'static str, Pulse); 2],
    view: DeviceView,
    pump: JoinHandle<()>,
    stop: CancellationToken,
    folder: Arc<DeviceFolder>,
}

/// Why a device could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its keys cannot be used.
    #[error("cannot use the device's keys")]
    Keys(#[from] KeyError),
    /// Its store cannot be used.
    #[error("cannot use the device's store")]
    Store(#[from] DatabaseError),
    /// What stands in for its hub cannot be used.
    #[error("cannot use the device's own twins")]
    LocalHub(#[from] LocalHubError),
    /// Its queues cannot be used.
    #[error("cannot use the device's waiting messages")]
    Queues(#[from] QueuesError),
}

impl Device {
    /// Builds and connects all parts. No module runs until the agent is told to follow the hub.
    ///
    /// Has to be called inside a tokio runtime; blocks while it opens the store.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: DeviceConfig) -> Result<Self, StartError> {
        let (device, routing) = (config.device, config.router);
        let (gate, pumped) = (Gate::default(), PumpCounters::default());
        let keys = Keyring::new(&MasterKey::open(&config.folder.keys()?)?);
        let folder = Arc::new(config.folder);
        let twins = Twins::open(&folder.store()?, &keys)?;
        let (upstream, hub) = hub_at(config.upstream, &twins, &keys)?;
        let upstream: Arc<dyn Upstream> = Arc::new(GatedUpstream::new(upstream, gate.clone()));
        let router = queues::open(&device, &folder, &routing)?;
        let logs = Logs::open(device.clone(), folder.logs()?, logs::DEVICE_SIZE_MAX_BYTES);
        let (methods, sessions) = (Methods::default(), Sessions::default());
        let file = SealedFile::new(Arc::clone(&folder), &keys);
        let supervisor = Supervisor::new(Surroundings {
            device: device.clone(),
            hub_host_name: upstream.host_name(),
            router: router.clone(),
            logs: logs.clone(),
            methods: methods.clone(),
            keys,
            folder: Arc::clone(&folder),
            own_folder: config.own_folder,
            restart_waits: config.restart_waits,
            health_checks: config.health_checks,
            interposer: None,
        });
        let (stop, stop_agent) = (CancellationToken::new(), CancellationToken::new());
        let (pump, pump_pulse) = start_pump(&router, &sessions, &pumped, &stop);
        let (agent, handle) = Agent::new(AgentParts {
            device: device.clone(),
            supervisor: supervisor.clone(),
            router: router.clone(),
            twins: twins.clone(),
            methods: methods.clone(),
            logs: logs.clone(),
            upstream: Arc::clone(&upstream),
            sessions: sessions.clone(),
            code: config.code,
            images: config.images,
            file,
            folder: Arc::clone(&folder),
            settings: config.agent,
            uploads: config.uploads,
            routing,
        })?;
        let view = DeviceView {
            device,
            supervisor,
            router,
            logs,
            agent: handle,
            twins,
            methods,
            pumped,
            gate,
            upstream,
            hub,
            sessions,
            ledger: config.ledger,
        };
        let (agent_pulse, heart) = pulse::pulse();
        Ok(Self {
            agent: tokio::spawn(agent.run(heart, stop_agent.clone())),
            pulses: [("agent", agent_pulse), ("way to the hub", pump_pulse)],
            stop_agent,
            view,
            pump,
            stop,
            folder,
        })
    }

    /// What the management API shows of it.
    pub fn view(&self) -> &DeviceView {
        &self.view
    }

    /// A way to put messages into the queues of its modules.
    pub fn injector(&self) -> Injector {
        Injector::new(self.view.router.clone())
    }

    /// The manifest whose twins were set last.
    ///
    /// # Errors
    /// [`StartError::Folder`].
    pub fn applied(&self) -> Result<Option<AppliedManifest>, StartError> {
        Ok(deployment::applied(&self.folder)?)
    }

    /// Records that the twins of a manifest are set.
    ///
    /// # Errors
    /// The I/O error.
    pub fn record_applied(&self, applied: &AppliedManifest) -> std::io::Result<()> {
        deployment::record(&self.folder, applied)
    }

    /// Its parts that have to answer as long as it runs, with what they are called in messages.
    pub fn pulses(&self) -> &[(&'static str, Pulse)] {
        &self.pulses
    }

    /// What makes the device match its deployment.
    pub fn agent(&self) -> &AgentHandle {
        &self.view.agent
    }

    /// Stops in order: modules in reverse start order, then what is on its way to the hub, then the rest. Messages that
    /// still wait go out after the next start.
    pub async fn stop(self) {
        self.stop_agent.cancel();
        if let Err(err) = self.agent.await {
            tracing::error!(%err, "the agent did not end in order");
        }
        self.stop.cancel();
        let _ = self.pump.await;
        self.view.gate.ended().await;
        self.view.router.close().await;
        self.view.logs.close().await;
    }
}

/// Sends what is routed upstream over the sessions until it is told to stop.
fn start_pump(
    router: &Router,
    sessions: &Sessions,
    counters: &PumpCounters,
    stop: &CancellationToken,
) -> (JoinHandle<()>, Pulse) {
    let (inbox, ways) = (router.upstream_inbox(), sessions.clone());
    let (pulse, heart) = pulse::pulse();
    let pump = pump::run(inbox, ways, counters.clone(), heart, stop.clone());
    (tokio::spawn(pump), pulse)
}

/// The device's way to its hub, and where that hub is; a device without one has its own.
fn hub_at(
    way: Way,
    twins: &Twins,
    keys: &Keyring,
) -> Result<(Arc<dyn Upstream>, HubPlace), StartError> {
    Ok(match way {
        Way::Embedded(upstream) => (upstream, HubPlace::Embedded),
        Way::Network(upstream) => (upstream, HubPlace::Network),
        Way::None => {
            let local = LocalHub::open(twins.database(), keys)?;
            (Arc::new(local.clone()), HubPlace::Local(local))
        }
    })
}

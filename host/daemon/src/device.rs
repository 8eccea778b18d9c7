//! The root: builds the parts of one device, connects them, and ends them in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_router::limits::Limits;
use wasm_edge_router::router::Router;
use wasm_edge_store::database::DatabaseError;
use wasm_edge_store::folder::FolderError;
use wasm_edge_store::folder::device::DeviceFolder;
use wasm_edge_store::keys::{KeyError, MasterKey};

use crate::agent::{Agent, AgentParts, DeployError, PreparedDeployment, Progress};
use crate::api::DeviceView;
use crate::code::CodeStore;
use crate::deployment::{self, AppliedManifest};
use crate::injector::Injector;
use crate::keys::Keyring;
use crate::logs::Logs;
use crate::methods::Methods;
use crate::supervisor::health::HealthChecks;
use crate::supervisor::life::RestartWaits;
use crate::supervisor::{Supervisor, Surroundings};
use crate::twins::Twins;
use crate::upstream::Upstream;
use crate::upstream::pump::{self, Sessions};

/// How long a device that stops waits for what is on its way to the hub.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// What a device is made of.
pub struct DeviceConfig {
    /// Its id.
    pub device: DeviceId,
    /// Its part of the data folder.
    pub folder: DeviceFolder,
    /// The whole data folder, which is never granted to a module.
    pub own_folder: PathBuf,
    /// The way to its hub.
    pub upstream: Arc<dyn Upstream>,
    /// Code of images, shared by all devices of the process.
    pub code: CodeStore,
    /// Waits between restarts of a module, where its manifest says nothing.
    pub restart_waits: RestartWaits,
    /// How the health of modules is asked, where their manifest says nothing.
    pub health_checks: HealthChecks,
}

/// A running device.
pub struct Device {
    agent: Agent,
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
}

impl Device {
    /// Builds and connects all parts. No module runs until a manifest is applied.
    ///
    /// Has to be called inside a tokio runtime; blocks while it opens the store.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: DeviceConfig) -> Result<Self, StartError> {
        let DeviceConfig {
            device,
            folder,
            own_folder,
            upstream,
            code,
            restart_waits,
            health_checks,
        } = config;
        let keys = Keyring::new(&MasterKey::open(&folder.keys()?)?);
        let twins = Twins::open(&folder.store()?)?;
        let folder = Arc::new(folder);
        let router = Router::new(device.clone(), Limits::default());
        let logs = Logs::new(device.clone());
        let methods = Methods::default();
        let sessions = Sessions::default();
        let supervisor = Supervisor::new(Surroundings {
            device: device.clone(),
            hub_host_name: upstream.host_name(),
            router: router.clone(),
            logs: logs.clone(),
            methods: methods.clone(),
            keys,
            folder: Arc::clone(&folder),
            own_folder,
            restart_waits,
            health_checks,
            interposer: None,
        });
        let stop = CancellationToken::new();
        let pump = tokio::spawn(pump::run(
            router.upstream_inbox(),
            sessions.clone(),
            stop.clone(),
        ));
        let view = DeviceView {
            device: device.clone(),
            supervisor: supervisor.clone(),
            router: router.clone(),
            logs: logs.clone(),
        };
        let agent = Agent::new(AgentParts {
            device,
            supervisor,
            router,
            twins,
            methods,
            logs,
            upstream,
            sessions,
            code,
        });
        Ok(Self {
            agent,
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

    /// Makes ready all that a manifest needs: see [`Agent::prepare`].
    ///
    /// # Errors
    /// [`DeployError`].
    pub async fn prepare(
        &self,
        manifest: &wasm_edge_model::manifest::Manifest,
        folder: &std::path::Path,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<PreparedDeployment, DeployError> {
        self.agent.prepare(manifest, folder, progress).await
    }

    /// Makes the device match what was prepared: see [`Agent::carry_out`].
    pub async fn carry_out(
        &mut self,
        deployment: PreparedDeployment,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) {
        self.agent.carry_out(deployment, progress).await;
    }

    /// Stops in order: modules in reverse start order, then what is on its way to the hub, then the rest.
    pub async fn stop(self) {
        self.agent.stop(FLUSH_MAX).await;
        self.stop.cancel();
        let _ = self.pump.await;
        self.view.logs.close();
    }
}

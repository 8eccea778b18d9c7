//! Keeps module instances alive: starts, stops and restarts them, and knows how each one is.
//!
//! Each module has a task of its own (`module`) that owns its life; the agent and the management API
//! talk to it through [`Supervisor`].

pub mod health;
pub mod interpose;
pub mod life;
pub mod report;

mod instance;
mod link;
mod module;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity};
use wasm_edge_model::manifest::{DesiredStatus, ModuleSpec};
use wasm_edge_router::router::Router;
use wasm_edge_runtime::instance::InstanceConfig;
use wasm_edge_runtime::precompiled::ModuleCode;
use wasm_edge_store::folder::device::DeviceFolder;

use crate::keys::Keyring;
use crate::logs::Logs;
use crate::methods::Methods;
use crate::twins::Twin;
use crate::upstream::Credentials;
use health::HealthChecks;
use interpose::Interposer;
use life::RestartWaits;
use module::{Command, ModuleTask, Order};
use report::ModuleReport;

/// How long an instance has to stop before it is ended.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

/// Orders that may wait for one module: the agent sends one at a time.
const ORDERS_MAX: usize = 8;

/// What all modules of a device share.
pub struct Surroundings {
    /// The device.
    pub device: DeviceId,
    /// Host name of the hub.
    pub hub_host_name: String,
    /// The queues.
    pub router: Router,
    /// The logs.
    pub logs: Logs,
    /// Direct methods.
    pub methods: Methods,
    /// The device's keys.
    pub keys: Keyring,
    /// The device's part of the data folder.
    pub folder: Arc<DeviceFolder>,
    /// The whole data folder, which is never granted to a module.
    pub own_folder: PathBuf,
    /// Waits between restarts, where a manifest says nothing.
    pub restart_waits: RestartWaits,
    /// How the health of modules is asked, where a manifest says nothing.
    pub health_checks: HealthChecks,
    /// Who stands between instances and device; a test bed does.
    pub interposer: Option<Arc<dyn Interposer>>,
}

/// A module to be looked after.
pub struct Module {
    /// What the manifest says.
    pub spec: ModuleSpec,
    /// Its code.
    pub code: ModuleCode,
    /// The digest that names its image to people, `sha256:…`.
    pub image_digest: String,
    /// The digest of its component, `sha256:…`.
    pub component_digest: String,
    /// Its credentials at the hub.
    pub credentials: Credentials,
    /// Its twin.
    pub twin: Twin,
}

/// A handle to all modules of a device; clones share them.
#[derive(Clone)]
pub struct Supervisor {
    surroundings: Arc<Surroundings>,
    modules: Arc<Mutex<BTreeMap<ModuleId, Handle>>>,
    /// Counts the changes of all reports; the modules' tasks write, whoever reports reads.
    changes: Arc<watch::Sender<u64>>,
}

struct Handle {
    orders: mpsc::Sender<Order>,
    report: watch::Receiver<ModuleReport>,
    task: JoinHandle<()>,
}

/// Why a module was not restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestartError {
    /// There is none of that name, or it is being removed.
    #[error("there is no such module")]
    NotFound,
    /// The deployment wants it stopped.
    #[error("the deployment wants it stopped")]
    NotToRun,
}

impl Supervisor {
    /// Makes a supervisor without modules.
    pub fn new(surroundings: Surroundings) -> Self {
        Self {
            surroundings: Arc::new(surroundings),
            modules: Arc::default(),
            changes: Arc::default(),
        }
    }

    /// Takes a module on; it does not run yet. One of the same name has to be let go first.
    pub fn add(&self, module: Module) {
        let (orders, receiver) = mpsc::channel(ORDERS_MAX);
        let id = module.spec.id.clone();
        let around = Arc::clone(&self.surroundings);
        let (task, report) = ModuleTask::new(around, module, receiver, Arc::clone(&self.changes));
        let task = tokio::spawn(task.run());
        let handle = Handle {
            orders,
            report,
            task,
        };
        self.lock().insert(id, handle);
    }

    /// Starts a module, unless it runs; done when it is being started.
    pub async fn start(&self, module: &ModuleId) {
        self.order(module, Command::Start).await;
    }

    /// Stops a module and keeps it; done when its instance has ended. What waits for it goes on waiting.
    pub async fn stop(&self, module: &ModuleId) {
        self.order(module, Command::Stop).await;
    }

    /// Restarts a module without a wait, whatever its policy; done when that has begun.
    ///
    /// # Errors
    /// [`RestartError`].
    pub async fn restart(&self, module: &ModuleId) -> Result<(), RestartError> {
        let wanted = self
            .lock()
            .get(module)
            .map(|handle| handle.report.borrow().spec.status);
        match wanted {
            Some(DesiredStatus::Stopped) => Err(RestartError::NotToRun),
            Some(DesiredStatus::Running) if self.order(module, Command::Restart).await => Ok(()),
            Some(DesiredStatus::Running) | None => Err(RestartError::NotFound),
        }
    }

    /// Replaces code and configuration of a module; done when no instance of the old one runs any more.
    ///
    /// The old instance finishes what it has in hand, or is ended after [`STOP_GRACE`], and the new one goes on
    /// with the module's queue: no message is lost or handled twice. A module that was stopped stays so; any
    /// other runs then, also one that had failed. Restarts are counted anew, the log goes on.
    ///
    /// `false` if there is none of that name.
    pub async fn update(&self, module: Module) -> bool {
        let id = module.spec.id.clone();
        self.order(&id, Command::Update(Box::new(module))).await
    }

    /// Changes what is said of a module, and leaves its instance alone: its desired status, its restart policy,
    /// how its health is asked, its start order, by which digest its image is named. Start or stop it besides where its
    /// desired status has changed.
    ///
    /// What an instance runs by, see [`ModuleSpec::runs_as`], holds from its next start on; what is to change
    /// that at once is [`Supervisor::update`]. `false` if there is none of that name.
    pub async fn set_spec(&self, spec: ModuleSpec, image_digest: String) -> bool {
        let id = spec.id.clone();
        let command = Command::SetSpec(Box::new(spec), image_digest);
        self.order(&id, command).await
    }

    /// Stops a module and lets it go; done when its instance has ended.
    pub async fn remove(&self, module: &ModuleId) {
        let removed = self.lock().remove(module);
        if let Some(handle) = removed {
            // Without anybody to command it, it stops and its task ends.
            drop(handle.orders);
            let _ = handle.task.await;
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Stops all modules, those with the highest start order first.
    pub async fn stop_all(&self) {
        let mut order: Vec<(u32, ModuleId)> = self
            .lock()
            .iter()
            .map(|(id, handle)| (handle.report.borrow().spec.startup_order, id.clone()))
            .collect();
        order.sort_by(|a, b| b.cmp(a));
        for group in order.chunk_by(|a, b| a.0 == b.0) {
            futures_util::future::join_all(group.iter().map(|(_, id)| self.remove(id))).await;
        }
    }

    /// Waits until a module is ready, or has ended, at most so long. Answers whether it is ready.
    pub async fn wait_ready(&self, module: &ModuleId, timeout: Duration) -> bool {
        let Some(mut report) = self.lock().get(module).map(|handle| handle.report.clone()) else {
            return false;
        };
        let settled = report.wait_for(|report| report.ready || report.is_down());
        match wasm_edge_clock::timeout(timeout, settled).await {
            Ok(Ok(report)) => report.ready,
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// How all modules are, by name.
    pub fn reports(&self) -> Vec<ModuleReport> {
        self.lock()
            .values()
            .map(|handle| handle.report.borrow().clone())
            .collect()
    }

    /// Tells of each change of [`Supervisor::reports`], but for what modules use.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn order(&self, module: &ModuleId, command: Command) -> bool {
        let orders = self.lock().get(module).map(|handle| handle.orders.clone());
        let Some(orders) = orders else {
            return false;
        };
        let (done, is_done) = oneshot::channel();
        if orders.send(Order { command, done }).await.is_err() {
            return false;
        }
        // Held no longer, so that `remove` can end the module's task meanwhile.
        drop(orders);
        is_done.await.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ModuleId, Handle>> {
        self.modules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Surroundings {
    fn interposed(&self, config: InstanceConfig) -> InstanceConfig {
        match &self.interposer {
            Some(interposer) => interposer.starting(config),
            None => config,
        }
    }

    fn identity(&self, module: &ModuleId) -> ModuleIdentity {
        ModuleIdentity {
            device: self.device.clone(),
            module: module.clone(),
        }
    }
}

/// Waits until then; for ever without a time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => wasm_edge_clock::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

//! Keeps module instances alive: starts, stops and restarts them, and knows how each one is.
//!
//! Each module has a task of its own (`module`) that owns its life; the agent and the management API
//! talk to it through [`Supervisor`].

pub mod life;
pub mod report;

mod instance;
mod link;
mod module;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity};
use wasm_edge_model::manifest::ModuleSpec;
use wasm_edge_router::router::Router;
use wasm_edge_runtime::precompiled::ModuleCode;
use wasm_edge_store::folder::device::DeviceFolder;

use crate::keys::Keyring;
use crate::logs::Logs;
use crate::methods::Methods;
use crate::twins::Twin;
use crate::upstream::Credentials;
use life::RestartWaits;
use module::{Command, ModuleTask};
use report::ModuleReport;

/// How long an instance has to stop before it is ended.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

/// Commands that may wait for one module: the agent sends one at a time.
const COMMANDS_MAX: usize = 8;

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
    /// Waits between restarts.
    pub restart_waits: RestartWaits,
}

/// A module to be looked after.
pub struct Module {
    /// What the manifest says.
    pub spec: ModuleSpec,
    /// Its code.
    pub code: ModuleCode,
    /// The digest of its image, `sha256:…`.
    pub image_digest: String,
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
}

struct Handle {
    commands: mpsc::Sender<Command>,
    report: watch::Receiver<ModuleReport>,
    startup_order: u32,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Makes a supervisor without modules.
    pub fn new(surroundings: Surroundings) -> Self {
        Self {
            surroundings: Arc::new(surroundings),
            modules: Arc::default(),
        }
    }

    /// Takes a module on; it does not run yet. One of the same name has to be let go first.
    pub fn add(&self, module: Module) {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let id = module.spec.id.clone();
        let startup_order = module.spec.startup_order;
        let (task, report) = ModuleTask::new(Arc::clone(&self.surroundings), module, receiver);
        let task = tokio::spawn(task.run());
        self.lock().insert(
            id,
            Handle {
                commands,
                report,
                startup_order,
                task,
            },
        );
    }

    /// Starts a module.
    pub async fn start(&self, module: &ModuleId) {
        self.command(module, Command::Start).await;
    }

    /// Restarts a module. `false` if there is none of that name.
    pub async fn restart(&self, module: &ModuleId) -> bool {
        self.command(module, Command::Restart).await
    }

    /// Stops a module and lets it go; done when its instance has ended.
    pub async fn remove(&self, module: &ModuleId) {
        let removed = self.lock().remove(module);
        if let Some(handle) = removed {
            let _ = handle.commands.send(Command::Stop).await;
            drop(handle.commands);
            let _ = handle.task.await;
        }
    }

    /// Stops all modules, those with the highest start order first.
    pub async fn stop_all(&self) {
        let mut order: Vec<(u32, ModuleId)> = self
            .lock()
            .iter()
            .map(|(id, handle)| (handle.startup_order, id.clone()))
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
        match tokio::time::timeout(timeout, settled).await {
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

    async fn command(&self, module: &ModuleId, command: Command) -> bool {
        let Some(commands) = self
            .lock()
            .get(module)
            .map(|handle| handle.commands.clone())
        else {
            return false;
        };
        commands.send(command).await.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ModuleId, Handle>> {
        self.modules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Surroundings {
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
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

//! Makes the device match a deployment manifest.
//!
//! All images are loaded and all identities made sure of before anything that runs is touched; then a
//! plan ([`plan`]) is carried out step by step.

pub mod plan;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wasm_edge_images::digest::Digest;
use wasm_edge_images::source::{ImageError, ImageSource};
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity};
use wasm_edge_model::manifest::{Manifest, ModuleSpec};
use wasm_edge_router::router::Router;
use wasm_edge_router::table::{RouteTable, RouteTableError};
use wasm_edge_runtime::precompiled::{ModuleCode, Origin};

use crate::code::{CodeStore, CodeStoreError};
use crate::logs::Logs;
use crate::methods::Methods;
use crate::supervisor::{Module, Supervisor};
use crate::twins::sync::Sync;
use crate::twins::{Twin, Twins};
use crate::upstream::pump::Sessions;
use crate::upstream::{Credentials, Interest, Upstream, UpstreamError};
use plan::{Command, Placed};

/// How long a group of one start order has to become ready before the next one is started.
pub const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a module waits for its twin from the hub; after that it starts with the stored one.
const SYNC_TIMEOUT: Duration = Duration::from_secs(3);

/// What the agent works with.
pub struct AgentParts {
    /// The device.
    pub device: DeviceId,
    /// Keeps instances alive.
    pub supervisor: Supervisor,
    /// The queues.
    pub router: Router,
    /// The twins.
    pub twins: Twins,
    /// Direct methods.
    pub methods: Methods,
    /// The logs.
    pub logs: Logs,
    /// The way to the hub.
    pub upstream: Arc<dyn Upstream>,
    /// Open sessions.
    pub sessions: Sessions,
    /// Code of images.
    pub code: CodeStore,
}

/// The agent of one device.
pub struct Agent {
    parts: AgentParts,
    placed: BTreeMap<ModuleId, Placed>,
    links: BTreeMap<ModuleId, Link>,
}

/// A module's session with the hub.
struct Link {
    stop: CancellationToken,
    synced: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

/// What is worth telling while a deployment is applied.
#[derive(Clone, Debug)]
pub enum Progress {
    /// A component is loaded or compiled.
    Loading {
        /// The module.
        module: ModuleId,
        /// Size of the component in bytes.
        size_bytes: usize,
    },
    /// Its code was compiled.
    Compiled {
        /// The module.
        module: ModuleId,
        /// How long it took.
        took: Duration,
    },
    /// Its code was there already.
    Cached {
        /// The module.
        module: ModuleId,
    },
    /// A module was not ready in time; the others go on.
    NotReady {
        /// The module.
        module: ModuleId,
    },
}

/// Why a deployment was not applied. Nothing was touched then.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// Some images cannot be had or cannot run.
    #[error("{} of the modules cannot be run", .0.len())]
    Images(Vec<(ModuleId, ModuleError)>),
    /// Too many routes.
    #[error(transparent)]
    Routes(#[from] RouteTableError),
    /// An identity could not be made at the hub.
    #[error("cannot make the identity of module `{module}`")]
    Identity {
        /// The module.
        module: ModuleId,
        /// Why.
        source: UpstreamError,
    },
    /// The device's store failed.
    #[error("cannot read the device's store")]
    Store(#[from] wasm_edge_store::database::DatabaseError),
}

/// Why one module cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// Its image cannot be had.
    #[error("cannot load its image")]
    Image(#[from] ImageError),
    /// There is no code for it.
    #[error("cannot use its image")]
    Code(#[from] CodeStoreError),
}

impl ModuleError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Image(err) => Some(err.hint()),
            Self::Code(CodeStoreError::NoCompiler { .. }) => {
                Some("fill the data folder with `wasm-edge precompile` of the full build")
            }
            Self::Code(_) => None,
        }
    }
}

/// All that a module needs, made ready before anything is touched.
struct Prepared {
    placed: Placed,
    code: ModuleCode,
    credentials: Credentials,
    twin: Twin,
}

/// A deployment with all that it needs, ready to be carried out.
pub struct PreparedDeployment {
    table: RouteTable,
    modules: BTreeMap<ModuleId, Prepared>,
}

impl Agent {
    /// Makes an agent of a device without modules.
    pub fn new(parts: AgentParts) -> Self {
        Self {
            parts,
            placed: BTreeMap::new(),
            links: BTreeMap::new(),
        }
    }

    /// Makes ready all that a manifest needs: images, code, identities. Nothing that runs is touched.
    ///
    /// `folder` is where `file:` images start.
    ///
    /// # Errors
    /// [`DeployError`].
    pub async fn prepare(
        &self,
        manifest: &Manifest,
        folder: &Path,
        progress: &(dyn Fn(Progress) + Send + std::marker::Sync),
    ) -> Result<PreparedDeployment, DeployError> {
        let table = RouteTable::new(&manifest.routes, manifest.store_and_forward.time_to_live)?;
        let codes = self.load_all(manifest, folder, progress).await?;
        let mut modules = BTreeMap::new();
        for (spec, digest, code) in codes {
            let provisioned = self.parts.upstream.provision(self.identity(&spec.id)).await;
            let credentials = provisioned.map_err(|source| DeployError::Identity {
                module: spec.id.clone(),
                source,
            })?;
            let (twins, id) = (self.parts.twins.clone(), spec.id.clone());
            let opened = tokio::task::spawn_blocking(move || twins.of(&id)).await;
            let twin =
                opened.expect("the store does not panic, and the runtime outlives the device")?;
            let placed = Placed {
                spec: spec.clone(),
                image_digest: digest.to_string(),
            };
            modules.insert(
                spec.id.clone(),
                Prepared {
                    placed,
                    code,
                    credentials,
                    twin,
                },
            );
        }
        Ok(PreparedDeployment { table, modules })
    }

    /// Makes the device match what was prepared.
    ///
    /// Done when all modules were started and are ready, or each start order has had [`READY_TIMEOUT`].
    pub async fn carry_out(
        &mut self,
        deployment: PreparedDeployment,
        progress: &(dyn Fn(Progress) + Send + std::marker::Sync),
    ) {
        let PreparedDeployment { table, mut modules } = deployment;
        let desired: BTreeMap<ModuleId, Placed> = modules
            .iter()
            .map(|(id, prepared)| (id.clone(), prepared.placed.clone()))
            .collect();
        let mut table = Some(table);
        for command in plan::plan(&self.placed, &desired) {
            match command {
                Command::RemoveModule(id) => self.remove(&id, desired.contains_key(&id)).await,
                Command::CreateModule(id) => {
                    if let Some(table) = table.take() {
                        self.parts.router.apply(table);
                    }
                    if let Some(prepared) = modules.remove(&id) {
                        self.create(prepared);
                    }
                }
                Command::StartModules(ids) => self.start(&ids, progress).await,
            }
        }
        if let Some(table) = table {
            self.parts.router.apply(table);
        }
        self.placed = desired;
    }

    /// Stops all modules and their sessions.
    pub async fn stop(mut self, flush: Duration) {
        self.parts.supervisor.stop_all().await;
        self.flush(flush).await;
        for link in self.links.values() {
            link.stop.cancel();
        }
        for (_, link) in std::mem::take(&mut self.links) {
            let _ = link.task.await;
        }
    }

    /// Waits until what was reported and what was sent upstream is at the hub, at most so long.
    async fn flush(&self, patience: Duration) {
        let deadline = tokio::time::Instant::now() + patience;
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while tokio::time::Instant::now() < deadline && !self.is_flushed() {
            pause.tick().await;
        }
        let waiting = self.waiting_upstream();
        if waiting > 0 {
            tracing::warn!(device = %self.parts.device, messages = waiting, "messages did not reach the hub and are lost with this process");
        }
    }

    fn waiting_upstream(&self) -> usize {
        let endpoints = self.parts.router.snapshot().endpoints;
        let upstream = endpoints
            .iter()
            .find(|endpoint| endpoint.endpoint.module().is_none());
        upstream.map_or(0, |endpoint| {
            endpoint.queued_messages + endpoint.in_hand_messages
        })
    }

    fn is_flushed(&self) -> bool {
        let mut twins = self
            .links
            .keys()
            .filter_map(|id| self.parts.twins.of(id).ok());
        self.waiting_upstream() == 0 && twins.all(|twin| twin.unsent().is_none())
    }

    async fn load_all<'a>(
        &self,
        manifest: &'a Manifest,
        folder: &Path,
        progress: &(dyn Fn(Progress) + Send + std::marker::Sync),
    ) -> Result<Vec<(&'a ModuleSpec, Digest, ModuleCode)>, DeployError> {
        let mut codes = Vec::new();
        let mut failed = Vec::new();
        for spec in manifest.modules.values() {
            match self.load(spec, folder, progress).await {
                Ok((digest, code)) => codes.push((spec, digest, code)),
                Err(err) => failed.push((spec.id.clone(), err)),
            }
        }
        if failed.is_empty() {
            Ok(codes)
        } else {
            Err(DeployError::Images(failed))
        }
    }

    async fn load(
        &self,
        spec: &ModuleSpec,
        folder: &Path,
        progress: &(dyn Fn(Progress) + Send + std::marker::Sync),
    ) -> Result<(Digest, ModuleCode), ModuleError> {
        let source = ImageSource::new(folder);
        let reference = spec.image.clone();
        let loaded = tokio::task::spawn_blocking(move || source.load(&reference, None));
        let image = loaded
            .await
            .expect("reading a file does not panic, and the runtime outlives the device")?;
        progress(Progress::Loading {
            module: spec.id.clone(),
            size_bytes: image.bytes.len(),
        });
        let digest = image.digest;
        let begun = tokio::time::Instant::now();
        let (code, origin) = self.parts.code.load(image).await?;
        progress(match origin {
            Origin::Compiled => Progress::Compiled {
                module: spec.id.clone(),
                took: begun.elapsed(),
            },
            Origin::Cached => Progress::Cached {
                module: spec.id.clone(),
            },
        });
        Ok((digest, code))
    }

    fn create(&mut self, prepared: Prepared) {
        let Prepared {
            placed,
            code,
            credentials,
            twin,
        } = prepared;
        let id = placed.spec.id.clone();
        self.parts
            .logs
            .set_rate(&id, placed.spec.limits.log_lines_per_second);
        let sync = Sync {
            identity: self.identity(&id),
            twin: twin.clone(),
            upstream: Arc::clone(&self.parts.upstream),
            sessions: self.parts.sessions.clone(),
            methods: self.parts.methods.clone(),
            interest: Interest {
                methods: code.takes_methods(),
            },
        };
        let stop = CancellationToken::new();
        let (told, synced) = watch::channel(false);
        let task = tokio::spawn(sync.run(told, stop.clone()));
        self.links.insert(id, Link { stop, synced, task });
        let Placed { spec, image_digest } = placed;
        self.parts.supervisor.add(Module {
            spec,
            code,
            image_digest,
            credentials,
            twin,
        });
    }

    async fn remove(&mut self, id: &ModuleId, comes_again: bool) {
        self.parts.supervisor.remove(id).await;
        if let Some(link) = self.links.remove(id) {
            link.stop.cancel();
            let _ = link.task.await;
        }
        if !comes_again {
            self.parts.router.remove_module(id);
        }
    }

    /// Starts modules of one start order and waits until all are ready, or their time is over.
    async fn start(
        &mut self,
        ids: &[ModuleId],
        progress: &(dyn Fn(Progress) + Send + std::marker::Sync),
    ) {
        let supervisor = &self.parts.supervisor;
        let links = &self.links;
        join_all(ids.iter().map(|id| async move {
            if let Some(link) = links.get(id) {
                let mut synced = link.synced.clone();
                // Out of time, the module starts with the twin that is stored here.
                let _ = tokio::time::timeout(SYNC_TIMEOUT, synced.wait_for(|synced| *synced)).await;
            }
            supervisor.start(id).await;
            if !supervisor.wait_ready(id, READY_TIMEOUT).await {
                progress(Progress::NotReady { module: id.clone() });
            }
        }))
        .await;
    }

    fn identity(&self, module: &ModuleId) -> ModuleIdentity {
        ModuleIdentity {
            device: self.parts.device.clone(),
            module: module.clone(),
        }
    }
}

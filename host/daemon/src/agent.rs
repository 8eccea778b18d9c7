//! Makes the device match its deployment: the desired properties of its `$edgeAgent` and `$edgeHub`.
//!
//! The agent is a task that follows these two twins through sessions of its own, and nothing else makes modules
//! run. What is desired is read and checked as a whole (`assemble`), compared with what is there ([`plan`]),
//! carried out step by step (`carry_out`) and watched until it is healthy (`health`); if it is not, the
//! last good deployment comes back. `reporter` tells the hub. Others hold an [`handle::AgentHandle`].

pub mod error;
pub mod handle;
pub mod memory;
pub mod plan;
pub mod progress;

mod assemble;
mod carry_out;
mod follow;
mod health;
mod images;
mod leaving;
mod methods;
mod pursue;
mod report;
mod reporter;
mod resolve;
mod state;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wasm_edge_images::digest::Digest;
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity};
use wasm_edge_router::router::Router;
use wasm_edge_store::database::DatabaseError;
use wasm_edge_store::folder::device::DeviceFolder;

use crate::clock;
use crate::code::CodeStore;
use crate::config::RouterConfig;
use crate::deployment::sealed::SealedFile;
use crate::images::ImageSupply;
use crate::logs::Logs;
use crate::methods::Methods;
use crate::pulse::Heart;
use crate::supervisor::Supervisor;
use crate::twins::Twins;
use crate::twins::sync::Sync;
use crate::uploads::Uploads;
use crate::upstream::backoff::UNREACHABLE_MAX;
use crate::upstream::pump::sessions::Sessions;
use crate::upstream::{Interest, Upstream};
use assemble::Deployment;
use follow::{Changes, Link, OwnTwins};
use handle::{AgentHandle, Shared};
use images::Images;
use methods::AgentMethods;
use plan::Current;
use pursue::Pursued;
use report::{Outcome, Running};
use reporter::Reporter;
use resolve::Resolved;
use state::Ledger;

/// How long a group of one start order has to become ready before the next one is started, unless set.
pub const READY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// How long a deployment has to become healthy after its last group was started, unless set.
pub const HEALTH_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// The longest wait before a hub out of reach is tried again, unless set; as at IoT Edge.
pub const RETRY_MAX_DEFAULT: Duration = UNREACHABLE_MAX;

/// How often the whole twins of `$edgeAgent` and `$edgeHub` are read without a cause, unless set; as at IoT Edge.
pub const TWIN_REFRESH_DEFAULT: Duration = Duration::from_secs(3600);

/// How long a twin is waited for from the hub; after that the stored one has to do.
const SYNC_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a change is left alone, so that one which is made in two twins is seen as one.
const GATHER: Duration = Duration::from_millis(100);

/// First wait before a deployment is tried again that needs a hub which cannot be reached; it doubles up to
/// [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_secs(5);

/// Longest wait before it is tried again.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How long an agent that ends waits for what is on its way to the hub.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// How often is looked meanwhile whether it has arrived.
const FLUSH_LOOK: Duration = Duration::from_millis(20);

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
    /// Images of registries.
    pub images: ImageSupply,
    /// Where the deployment is stored.
    pub file: SealedFile,
    /// The device's part of the data folder.
    pub folder: Arc<DeviceFolder>,
    /// What can be set.
    pub settings: AgentSettings,
    /// What uploads need.
    pub uploads: Uploads,
    /// How messages are routed and kept.
    pub routing: RouterConfig,
}

/// What can be set about an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentSettings {
    /// Whether a deployment may name files of this device as images.
    pub file_images: bool,
    /// How long a group of one start order has to become ready before the next one is started.
    pub ready_timeout: Duration,
    /// How long a deployment has to become healthy after its last group was started.
    pub health_timeout: Duration,
    /// How much memory all modules together may take; none leaves it to the machine.
    pub memory_max_bytes: Option<u64>,
    /// How often the whole twins of `$edgeAgent` and `$edgeHub` are read without a cause.
    pub twin_refresh: Duration,
    /// The longest wait before a hub out of reach is tried again.
    pub retry_max: Duration,
}

impl Default for AgentSettings {
    /// No files as images, and the times named here.
    fn default() -> Self {
        Self {
            file_images: false,
            ready_timeout: READY_TIMEOUT_DEFAULT,
            health_timeout: HEALTH_TIMEOUT_DEFAULT,
            memory_max_bytes: None,
            twin_refresh: TWIN_REFRESH_DEFAULT,
            retry_max: RETRY_MAX_DEFAULT,
        }
    }
}

/// The agent of one device.
pub struct Agent {
    parts: AgentParts,
    images: Images,
    shared: Arc<Shared>,
    own: OwnTwins,
    ledger: Ledger,
    outcome: watch::Sender<Outcome>,
    current: Current,
    /// Which images of registries the desired properties that were read last mean.
    resolved: Resolved,
    /// What runs, and what was healthy last.
    running: Option<Deployment>,
    last_good: Option<Deployment>,
    /// Modules that were touched since a deployment was settled.
    touched: BTreeSet<ModuleId>,
    /// Whether what runs was found healthy.
    healthy: bool,
    /// Whether something newer was refused: that is told, and not what becomes of what was there before.
    refused: bool,
    links: BTreeMap<ModuleId, Link>,
    own_links: Vec<Link>,
    /// Answers direct methods, and what ends it.
    answering: Option<(JoinHandle<()>, CancellationToken)>,
}

impl Agent {
    /// Makes an agent of a device without modules, and a handle to it. Blocks while it reads the store.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn new(parts: AgentParts) -> Result<(Self, AgentHandle), DatabaseError> {
        let holder = parts.device.folder_name();
        let images = Images::new(parts.code.clone(), parts.images.clone(), holder);
        let memory_max_bytes = parts.settings.memory_max_bytes;
        let compatibility = parts.routing.compatibility;
        let handle = AgentHandle::new(images.clone(), compatibility, memory_max_bytes);
        let own = OwnTwins {
            agent: parts.twins.of(&ModuleId::edge_agent())?,
            hub: parts.twins.of(&ModuleId::edge_hub())?,
        };
        let ledger = Ledger::open(parts.file.clone());
        images.note_ran(ledger.deployments());
        let agent = Self {
            images,
            shared: Arc::clone(handle.shared()),
            own,
            ledger,
            outcome: watch::Sender::default(),
            current: Current::default(),
            resolved: Resolved::default(),
            running: None,
            last_good: None,
            touched: BTreeSet::new(),
            healthy: false,
            refused: false,
            links: BTreeMap::new(),
            own_links: Vec::new(),
            answering: None,
            parts,
        };
        Ok((agent, handle))
    }

    /// Follows the device's twins until it is told to stop, then stops all modules and sessions.
    pub(crate) async fn run(mut self, mut heart: Heart, stop: CancellationToken) {
        let mut asked = self.shared.asked.subscribe();
        let followed = tokio::select! {
            followed = asked.wait_for(|asked| *asked > 0) => followed.is_ok(),
            () = heart.beat() => false,
            () = stop.cancelled() => false,
        };
        let reporting = CancellationToken::new();
        let mut reporter = None;
        if followed {
            reporter = Some(self.open(reporting.clone()));
            tokio::select! {
                () = self.follow() => {}
                () = heart.beat() => {}
                () = stop.cancelled() => {}
            }
        }
        reporting.cancel();
        self.end(reporter).await;
    }

    /// Opens the sessions of the agent's own twins and begins to report.
    fn open(&mut self, stop: CancellationToken) -> (Reporter, JoinHandle<()>) {
        let methods = AgentMethods {
            device: self.parts.device.clone(),
            hub_host_name: self.parts.upstream.host_name(),
            supervisor: self.parts.supervisor.clone(),
            logs: self.parts.logs.clone(),
            methods: self.parts.methods.clone(),
            folder: Arc::clone(&self.parts.folder),
            uploads: self.parts.uploads.clone(),
            shared: Arc::clone(&self.shared),
        };
        let ends = CancellationToken::new();
        let answering = tokio::spawn(methods.run(ends.clone()));
        self.answering = Some((answering, ends));
        for twin in [self.own.agent.clone(), self.own.hub.clone()] {
            let takes_methods = *twin.module() == ModuleId::edge_agent();
            self.own_links.push(Link::open(Sync {
                identity: self.identity(twin.module()),
                twin,
                upstream: Arc::clone(&self.parts.upstream),
                sessions: self.parts.sessions.clone(),
                methods: self.parts.methods.clone(),
                interest: Interest {
                    methods: takes_methods,
                },
                refresh: Some(self.parts.settings.twin_refresh),
                generation_id: None,
                retry_max: self.parts.settings.retry_max,
            }));
        }
        let reporter = Reporter {
            device: self.parts.device.clone(),
            supervisor: self.parts.supervisor.clone(),
            twins: self.own.clone(),
            outcome: self.outcome.subscribe(),
            started: clock::now(),
        };
        let task = tokio::spawn(reporter.clone().run(stop));
        (reporter, task)
    }

    async fn follow(&mut self) {
        let mut changes = Changes::new(&self.own, &self.shared, &self.parts.sessions);
        self.hold_images().await;
        self.hold_last_good().await;
        let own_links = self.own_links.iter();
        futures_util::future::join_all(own_links.map(|link| link.synced(SYNC_TIMEOUT))).await;
        let mut retry = RETRY_FIRST;
        let mut force = false;
        loop {
            force |= changes.see();
            let passed = self.pursue(&changes, force).await;
            self.hold_images().await;
            force = false;
            match passed {
                Pursued::Settled => {
                    retry = RETRY_FIRST;
                    self.wait_settled(&changes).await;
                    wasm_edge_clock::sleep(GATHER).await;
                }
                Pursued::Superseded => wasm_edge_clock::sleep(GATHER).await,
                Pursued::Later => {
                    tokio::select! {
                        () = changes.wait() => retry = RETRY_FIRST,
                        () = wasm_edge_clock::sleep(retry) => retry = (retry * 2).min(RETRY_MAX),
                    }
                }
            }
        }
    }

    /// Loads the code of the last good deployment, so that it is there to go back to whatever becomes of the files
    /// that it was made of, and counts as used.
    async fn hold_last_good(&self) {
        let images = self.ledger.last_good().map(|good| &good.images);
        for digest in images.into_iter().flat_map(BTreeMap::values) {
            if let Ok(digest) = digest.parse::<Digest>() {
                self.images.find(&digest).await;
            }
        }
    }

    /// Waits for something new, and clears away meanwhile what is left of modules that left.
    async fn wait_settled(&mut self, changes: &Changes) {
        while self.has_to_clear() && !changes.is_new() {
            self.clear_away().await;
            if self.has_to_clear() {
                tokio::select! {
                    () = changes.wait() => return,
                    () = wasm_edge_clock::sleep(leaving::LOOK) => {}
                }
            }
        }
        changes.wait().await;
    }

    /// Stops all modules and sessions, and says so to the hub.
    async fn end(mut self, reporter: Option<(Reporter, JoinHandle<()>)>) {
        if let Some((answering, ends)) = self.answering.take() {
            ends.cancel();
            let _ = answering.await;
        }
        // As they are before they stop: afterwards the supervisor knows none any more.
        let modules = self.parts.supervisor.reports();
        let reporter = match reporter {
            Some((reporter, task)) => {
                let _ = task.await;
                Some(reporter)
            }
            None => None,
        };
        self.parts.supervisor.stop_all().await;
        if let Some(reporter) = reporter {
            reporter.report(Running::Ends, &modules).await;
        }
        self.flush(FLUSH_MAX).await;
        let links = std::mem::take(&mut self.links).into_values();
        let links = links.chain(std::mem::take(&mut self.own_links));
        futures_util::future::join_all(links.map(Link::close)).await;
    }

    /// Waits until what was reported and what was sent upstream is at the hub, at most so long.
    async fn flush(&self, patience: Duration) {
        let deadline = wasm_edge_clock::now() + patience;
        while wasm_edge_clock::now() < deadline && !self.is_flushed() {
            wasm_edge_clock::sleep(FLUSH_LOOK).await;
        }
        let device = &self.parts.device;
        let (waiting, in_memory) = (
            self.waiting_upstream(),
            self.parts.router.snapshot().messages,
        );
        if waiting > 0 {
            tracing::info!(%device, messages = waiting, "messages wait for the hub");
        }
        if in_memory > 0 {
            tracing::warn!(%device, messages = in_memory, "messages without durability are lost with this process");
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

    /// Whether nothing more goes to the hub: it has all, or it is not there.
    fn is_flushed(&self) -> bool {
        let mut twins = self
            .links
            .keys()
            .filter_map(|id| self.parts.twins.of(id).ok())
            .chain([self.own.agent.clone(), self.own.hub.clone()]);
        self.parts.sessions.is_empty()
            || (self.waiting_upstream() == 0 && twins.all(|twin| twin.unsent().is_none()))
    }

    fn identity(&self, module: &ModuleId) -> ModuleIdentity {
        ModuleIdentity {
            device: self.parts.device.clone(),
            module: module.clone(),
        }
    }
}

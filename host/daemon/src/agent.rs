//! Makes the device match its deployment: the desired properties of its `$edgeAgent` and `$edgeHub`.
//!
//! The agent is a task that follows these two twins through sessions of its own, and nothing else makes modules
//! run. What is desired is read and checked as a whole ([`assemble`]), compared with what is there ([`plan`]),
//! carried out step by step ([`carry_out`]) and watched until it is healthy ([`health`]); if it is not, the
//! last good deployment comes back. [`reporter`] tells the hub. Others hold an [`handle::AgentHandle`].

pub mod handle;
pub mod plan;

mod assemble;
mod carry_out;
mod follow;
mod health;
mod images;
mod report;
mod reporter;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasm_edge_images::digest::Digest;
use wasm_edge_images::source::ImageError;
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity};
use wasm_edge_model::manifest::Manifest;
use wasm_edge_model::status::DeploymentCode;
use wasm_edge_router::router::Router;
use wasm_edge_router::table::RouteTableError;
use wasm_edge_store::database::DatabaseError;

use crate::clock;
use crate::code::{CodeStore, CodeStoreError};
use crate::deployment::sealed::{Rejected, SealedFile, Sections, StoredDeployment};
use crate::logs::Logs;
use crate::methods::Methods;
use crate::supervisor::Supervisor;
use crate::twins::Twins;
use crate::twins::sync::Sync;
use crate::upstream::pump::Sessions;
use crate::upstream::{Interest, Upstream, UpstreamError};
use assemble::{Deployment, Refusal};
use follow::{Changes, Link, OwnTwins};
use handle::{AgentHandle, Phase, Shared};
use health::{Verdict, Watch};
use images::Images;
use plan::Current;
use report::{Outcome, Running};
use reporter::Reporter;
use state::Ledger;

/// How long a group of one start order has to become ready before the next one is started, unless set.
pub const READY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// How long a deployment has to become healthy after its last group was started, unless set.
pub const HEALTH_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

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
    /// Where the deployment is stored.
    pub file: SealedFile,
    /// What can be set.
    pub settings: AgentSettings,
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
}

impl Default for AgentSettings {
    /// No files as images, and the times named here.
    fn default() -> Self {
        Self {
            file_images: false,
            ready_timeout: READY_TIMEOUT_DEFAULT,
            health_timeout: HEALTH_TIMEOUT_DEFAULT,
            memory_max_bytes: None,
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
    /// What runs, and what was healthy last.
    running: Option<Deployment>,
    last_good: Option<Deployment>,
    /// Modules that were touched since a deployment was settled.
    touched: BTreeSet<ModuleId>,
    links: BTreeMap<ModuleId, Link>,
    own_links: Vec<Link>,
}

/// What is worth telling while a deployment is prepared and applied.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The modules may take more memory than there is for them.
    #[error(
        "the modules may take {asked_bytes} bytes of memory, and {max_bytes} are there for them"
    )]
    Fit {
        /// What all that are to run may take.
        asked_bytes: u64,
        /// What is there.
        max_bytes: u64,
    },
    /// An identity could not be made at the hub.
    #[error("cannot make the identity of module `{module}`")]
    Identity {
        /// The module.
        module: ModuleId,
        /// Why.
        source: UpstreamError,
    },
    /// The device's store failed.
    #[error("cannot use the device's store")]
    Store(#[from] DatabaseError),
    /// The deployment cannot be stored.
    #[error("cannot store the deployment")]
    File(#[from] std::io::Error),
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

impl DeployError {
    /// Each reason as a line, with its causes.
    pub fn reasons(&self) -> Vec<String> {
        match self {
            Self::Images(modules) => modules
                .iter()
                .map(|(module, err)| format!("module `{module}`: {}", with_causes(err)))
                .collect(),
            err => vec![with_causes(err)],
        }
    }

    /// Whether the same may work later.
    fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Identity {
                source: UpstreamError::Unreachable { .. },
                ..
            }
        )
    }
}

fn with_causes(err: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(err.source(), |err| err.source());
    causes.fold(err.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// How carrying out a deployment ended.
enum Carried {
    /// All was started.
    Out,
    /// Something newer is desired.
    Interrupted,
}

impl Agent {
    /// Makes an agent of a device without modules, and a handle to it. Blocks while it reads the store.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn new(parts: AgentParts) -> Result<(Self, AgentHandle), DatabaseError> {
        let images = Images::new(parts.code.clone());
        let handle = AgentHandle::new(images.clone());
        let own = OwnTwins {
            agent: parts.twins.of(&ModuleId::edge_agent())?,
            hub: parts.twins.of(&ModuleId::edge_hub())?,
        };
        let ledger = Ledger::open(parts.file.clone());
        let agent = Self {
            images,
            shared: Arc::clone(handle.shared()),
            own,
            ledger,
            outcome: watch::Sender::default(),
            current: Current::default(),
            running: None,
            last_good: None,
            touched: BTreeSet::new(),
            links: BTreeMap::new(),
            own_links: Vec::new(),
            parts,
        };
        Ok((agent, handle))
    }

    /// Follows the device's twins until it is told to stop, then stops all modules and sessions.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut asked = self.shared.asked.subscribe();
        let mut changes = Changes::new(&self.own, &self.shared);
        let followed = tokio::select! {
            followed = asked.wait_for(|asked| *asked > 0) => followed.is_ok(),
            () = stop.cancelled() => false,
        };
        let reporting = CancellationToken::new();
        let mut reporter = None;
        if followed {
            reporter = Some(self.open(reporting.clone()));
            tokio::select! {
                () = self.follow(&mut changes) => {}
                () = stop.cancelled() => {}
            }
        }
        reporting.cancel();
        self.end(reporter).await;
    }

    /// Opens the sessions of the agent's own twins and begins to report.
    fn open(&mut self, stop: CancellationToken) -> (Reporter, JoinHandle<()>) {
        for twin in [self.own.agent.clone(), self.own.hub.clone()] {
            self.own_links.push(Link::open(Sync {
                identity: self.identity(twin.module()),
                twin,
                upstream: Arc::clone(&self.parts.upstream),
                sessions: self.parts.sessions.clone(),
                methods: self.parts.methods.clone(),
                interest: Interest { methods: false },
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

    async fn follow(&mut self, changes: &mut Changes) {
        let own_links = self.own_links.iter();
        futures_util::future::join_all(own_links.map(|link| link.synced(SYNC_TIMEOUT))).await;
        let mut retry = RETRY_FIRST;
        let mut force = false;
        loop {
            force |= changes.see();
            let passed = self.pursue(changes, force).await;
            force = false;
            match passed {
                Pursued::Settled => {
                    retry = RETRY_FIRST;
                    changes.wait().await;
                    tokio::time::sleep(GATHER).await;
                }
                Pursued::Superseded => tokio::time::sleep(GATHER).await,
                Pursued::Later => {
                    tokio::select! {
                        () = changes.wait() => retry = RETRY_FIRST,
                        () = tokio::time::sleep(retry) => retry = (retry * 2).min(RETRY_MAX),
                    }
                }
            }
        }
    }

    /// Brings the device to what is desired now. `force` tries again what was rejected before.
    async fn pursue(&mut self, changes: &Changes, force: bool) -> Pursued {
        let sections = self.own.sections();
        self.phase(&sections, Phase::Preparing);
        let deployment = match self.read(&sections).await {
            Ok(deployment) => deployment,
            Err(refusal) => return self.refuse(&sections, refusal, changes).await,
        };
        if let Some(rejected) = self.ledger.rejects(&deployment)
            && !force
        {
            return self.stay_back(rejected, changes).await;
        }
        if self.is_settled_with(&deployment) {
            self.accept(&deployment, Phase::Applied).await;
            return Pursued::Settled;
        }
        match self.apply(deployment, changes).await {
            Ok(pursued) => pursued,
            Err(err) => {
                let later = err.is_passing();
                let refusal = Refusal::failed(err.reasons());
                match self.refuse(&sections, refusal, changes).await {
                    Pursued::Settled if later => Pursued::Later,
                    pursued => pursued,
                }
            }
        }
    }

    /// Makes the device match a deployment, and watches it.
    async fn apply(
        &mut self,
        deployment: Deployment,
        changes: &Changes,
    ) -> Result<Pursued, DeployError> {
        self.phase(&deployment.sections, Phase::Applying);
        match self.carry_out(&deployment, changes).await? {
            Carried::Interrupted => Ok(Pursued::Superseded),
            Carried::Out => Ok(self.watch_health(deployment, changes).await),
        }
    }

    /// Whether this is what runs and was found healthy, so that there is nothing to do and nothing to watch.
    fn is_settled_with(&self, deployment: &Deployment) -> bool {
        self.touched.is_empty() && plan::plan(&self.current, &deployment.desired).is_empty()
    }

    /// Reads what is desired, and which images it means now.
    async fn read(&self, sections: &Sections) -> Result<Deployment, Refusal> {
        let manifest = assemble::assemble(sections, self.parts.settings.file_images)?;
        let images = self
            .resolve(&manifest)
            .await
            .map_err(|failed| Refusal::failed(DeployError::Images(failed).reasons()))?;
        Ok(Deployment::new(sections.clone(), manifest, &images))
    }

    async fn resolve(
        &self,
        manifest: &Manifest,
    ) -> Result<BTreeMap<ModuleId, String>, Vec<(ModuleId, ModuleError)>> {
        let mut images = BTreeMap::new();
        let mut failed = Vec::new();
        for spec in manifest.modules.values() {
            match self.images.resolve(spec).await {
                Ok(digest) => drop(images.insert(spec.id.clone(), digest.to_string())),
                Err(err) => failed.push((spec.id.clone(), err)),
            }
        }
        if failed.is_empty() {
            Ok(images)
        } else {
            Err(failed)
        }
    }

    /// Reads a deployment that was stored: with the images that it ran, where this device still has their code.
    async fn read_stored(&self, stored: &StoredDeployment) -> Result<Deployment, Refusal> {
        let manifest = assemble::assemble(&stored.sections, self.parts.settings.file_images)?;
        let mut images = BTreeMap::new();
        for spec in manifest.modules.values() {
            let digest: Option<Digest> = stored
                .images
                .get(&spec.id)
                .and_then(|digest| digest.parse().ok());
            let known = match digest {
                Some(digest) => self.images.find(&digest).await.map(|_| digest),
                None => None,
            };
            let digest = match known {
                Some(digest) => digest,
                None => self.images.resolve(spec).await.map_err(|err| {
                    let failed = DeployError::Images(vec![(spec.id.clone(), err)]);
                    Refusal::failed(failed.reasons())
                })?,
            };
            images.insert(spec.id.clone(), digest.to_string());
        }
        Ok(Deployment::new(stored.sections.clone(), manifest, &images))
    }

    /// Tells why what is desired is not applied. What ran before runs on; a device that has just started
    /// begins with it.
    async fn refuse(
        &mut self,
        sections: &Sections,
        refusal: Refusal,
        changes: &Changes,
    ) -> Pursued {
        let Refusal { code, reasons } = refusal;
        let none_yet = code == DeploymentCode::Empty && self.ledger.current().is_none();
        if none_yet {
            tracing::info!(device = %self.parts.device, "there is no deployment yet");
        } else {
            tracing::error!(device = %self.parts.device, reasons = reasons.join("; "), "the deployment is refused");
        }
        self.tell(sections, code, &reasons);
        let pursued = self.resume(changes).await;
        let phase = if none_yet {
            Phase::None
        } else {
            Phase::Refused { reasons }
        };
        self.phase(sections, phase);
        pursued
    }

    /// Goes on with what was accepted before: what was interrupted over something that is refused is brought to
    /// its end, and a device that has just started begins with what it ran.
    async fn resume(&mut self, changes: &Changes) -> Pursued {
        if let Some(running) = self.running.clone() {
            if self.is_settled_with(&running) {
                return Pursued::Settled;
            }
            return match self.apply(running, changes).await {
                Ok(pursued) => pursued,
                Err(err) => self.cannot_run_stored(&err),
            };
        }
        match self.ledger.current().cloned() {
            Some(stored) => self.go_back_to(&stored, changes).await,
            None => Pursued::Settled,
        }
    }

    /// Stays with the last good deployment, or begins with it, since what is desired was not healthy before.
    async fn stay_back(&mut self, rejected: Rejected, changes: &Changes) -> Pursued {
        let sections = self.own.sections();
        let reasons = [rejected.reason.clone()];
        self.tell(&sections, DeploymentCode::Failed, &reasons);
        let pursued = match (&self.running, self.ledger.last_good()) {
            (None, Some(good)) => {
                let good = good.clone();
                self.go_back_to(&good, changes).await
            }
            _ => Pursued::Settled,
        };
        let reason = rejected.reason;
        self.phase(&sections, Phase::RolledBack { reason });
        pursued
    }

    /// Runs a deployment that was stored; nothing follows if it cannot be run.
    async fn go_back_to(&mut self, stored: &StoredDeployment, changes: &Changes) -> Pursued {
        let carried = match self.read_stored(stored).await {
            Ok(deployment) => self.carry_out(&deployment, changes).await,
            Err(refusal) => {
                let reasons = refusal.reasons.join("; ");
                tracing::error!(device = %self.parts.device, reasons, "the deployment before cannot be run");
                return Pursued::Settled;
            }
        };
        match carried {
            Ok(Carried::Out) => {
                self.touched.clear();
                Pursued::Settled
            }
            Ok(Carried::Interrupted) => Pursued::Superseded,
            Err(err) => self.cannot_run_stored(&err),
        }
    }

    fn cannot_run_stored(&self, err: &DeployError) -> Pursued {
        let reasons = err.reasons().join("; ");
        tracing::error!(device = %self.parts.device, reasons, "the deployment before cannot be run");
        if err.is_passing() {
            Pursued::Later
        } else {
            Pursued::Settled
        }
    }

    /// Watches a deployment whose last group was started until it is healthy or its time is over.
    async fn watch_health(&mut self, deployment: Deployment, changes: &Changes) -> Pursued {
        let timeout = self.parts.settings.health_timeout;
        let mut watch = Watch::new(self.touched.clone(), timeout, Instant::now());
        self.phase(&deployment.sections, Phase::Watching);
        self.tell(&deployment.sections, DeploymentCode::Applied, &[]);
        let mut modules = self.parts.supervisor.watch();
        loop {
            modules.mark_unchanged();
            match watch.look(&self.parts.supervisor.reports(), Instant::now()) {
                Verdict::Healthy => {
                    self.accept(&deployment, Phase::Applied).await;
                    return Pursued::Settled;
                }
                Verdict::Unhealthy(reasons) => {
                    return self.roll_back(&deployment, &reasons, changes).await;
                }
                Verdict::Undecided(until) => {
                    tokio::select! {
                        _ = modules.changed() => {}
                        () = tokio::time::sleep_until(until) => {}
                        () = changes.wait() => return Pursued::Superseded,
                    }
                }
            }
        }
    }

    /// A deployment is healthy, or the best there is.
    async fn accept(&mut self, deployment: &Deployment, phase: Phase) {
        self.touched.clear();
        self.tell(&deployment.sections, DeploymentCode::Applied, &[]);
        self.last_good = Some(deployment.clone());
        self.running = Some(deployment.clone());
        let stored = deployment.to_stored();
        let kept = self.ledger.change(|all| {
            all.current = Some(stored.clone());
            all.last_good = Some(stored);
            all.rejected = None;
        });
        if let Err(err) = kept.await {
            tracing::error!(device = %self.parts.device, %err, "the deployment cannot be stored");
        }
        self.show();
        self.phase(&deployment.sections, phase);
    }

    /// Brings the last good deployment back in place of one that is not healthy.
    async fn roll_back(
        &mut self,
        deployment: &Deployment,
        reasons: &[String],
        changes: &Changes,
    ) -> Pursued {
        let sections = &deployment.sections;
        let reason = format!(
            "not healthy within {} s: {}",
            self.parts.settings.health_timeout.as_secs_f64(),
            reasons.join("; ")
        );
        self.tell(
            sections,
            DeploymentCode::Failed,
            std::slice::from_ref(&reason),
        );
        let digest = deployment.digest();
        let good = self
            .last_good
            .as_ref()
            .map(Deployment::to_stored)
            .or_else(|| self.ledger.last_good().cloned())
            .filter(|good| assemble::digest(good) != digest);
        let Some(good) = good else {
            tracing::error!(device = %self.parts.device, reason, "the deployment is unhealthy, and there is no other to go back to");
            self.touched.clear();
            self.phase(sections, Phase::Unhealthy { reason });
            return Pursued::Settled;
        };
        tracing::error!(device = %self.parts.device, reason, "the deployment is rolled back");
        let rejected = Rejected {
            digest,
            agent_version: sections.agent_version,
            hub_version: sections.hub_version,
            reason: reason.clone(),
        };
        let kept = self
            .ledger
            .change(|all| all.rejected = Some(rejected))
            .await;
        if let Err(err) = kept {
            tracing::error!(device = %self.parts.device, %err, "the rejected deployment cannot be recorded");
        }
        let pursued = self.go_back_to(&good, changes).await;
        self.phase(sections, Phase::RolledBack { reason });
        pursued
    }

    fn phase(&self, sections: &Sections, phase: Phase) {
        self.shared.state.send_modify(|state| {
            state.agent_version = sections.agent_version;
            state.hub_version = sections.hub_version;
            state.phase = phase;
        });
    }

    /// Tells the hub how it went with these desired properties.
    fn tell(&self, sections: &Sections, code: DeploymentCode, reasons: &[String]) {
        self.outcome.send_modify(|outcome| {
            outcome.agent_version = sections.agent_version;
            outcome.hub_version = sections.hub_version;
            outcome.status = Some(report::status(code, reasons));
        });
    }

    /// Shows what runs, without passwords.
    fn show(&self) {
        let shown = |deployment: &Option<Deployment>| {
            let deployment = deployment.as_ref()?;
            Some(deployment.sections.without_secrets())
        };
        let view = handle::DeploymentView {
            current: shown(&self.running),
            last_good: shown(&self.last_good),
        };
        self.shared.show(view);
        let agent = self.running.as_ref().map(|running| &running.sections.agent);
        let agent = agent.cloned().unwrap_or_default();
        self.outcome.send_modify(|outcome| {
            outcome.agent = agent;
            outcome.changes += 1;
        });
    }

    /// Stops all modules and sessions, and says so to the hub.
    async fn end(mut self, reporter: Option<(Reporter, JoinHandle<()>)>) {
        self.parts.supervisor.stop_all().await;
        if let Some((reporter, task)) = reporter {
            let _ = task.await;
            reporter.report(Running::Ends).await;
        }
        self.flush(FLUSH_MAX).await;
        let links = std::mem::take(&mut self.links).into_values();
        let links = links.chain(std::mem::take(&mut self.own_links));
        futures_util::future::join_all(links.map(Link::close)).await;
    }

    /// Waits until what was reported and what was sent upstream is at the hub, at most so long.
    async fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while Instant::now() < deadline && !self.is_flushed() {
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
            .filter_map(|id| self.parts.twins.of(id).ok())
            .chain([self.own.agent.clone(), self.own.hub.clone()]);
        self.waiting_upstream() == 0 && twins.all(|twin| twin.unsent().is_none())
    }

    fn identity(&self, module: &ModuleId) -> ModuleIdentity {
        ModuleIdentity {
            device: self.parts.device.clone(),
            module: module.clone(),
        }
    }
}

/// What came of pursuing what is desired.
enum Pursued {
    /// Nothing more comes of it by itself.
    Settled,
    /// Something newer is desired.
    Superseded,
    /// It is worth another try later.
    Later,
}

//! What others hold of a device's agent: where its deployment is, and a way to try one out.
//!
//! Owns the phases of a deployment as others see them. Leaves all decisions to the agent's task.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use wasm_edge_model::agent_method;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::manifest::{ImageReference, Limits, Manifest};
use wasm_edge_model::route::condition::Compatibility;
use wasm_edge_router::table::RouteTable;
use wasm_edge_runtime::precompiled::{MemoryNeeds, Origin};

use super::error::DeployError;
use super::images::{Asking, Images, Meant};
use super::memory::{Budget, MemoryAvailable};
use super::progress::Progress;
use crate::deployment::sealed::Sections;
use crate::free_memory;

/// Progress that a listener may be behind; older ones are lost to it.
const PROGRESS_MAX: usize = 256;

/// A handle to the agent of a device; clones share it.
#[derive(Clone)]
pub struct AgentHandle {
    shared: Arc<Shared>,
}

/// What the agent's task and its handles share.
pub(super) struct Shared {
    pub(super) images: Images,
    pub(super) compatibility: Compatibility,
    /// What all modules may take by the policy of the device.
    pub(super) memory_max_bytes: Option<u64>,
    /// Counts what the agent was asked for: 0 is that it does not follow the hub yet. Written by handles, read
    /// by the agent.
    pub(super) asked: watch::Sender<u64>,
    /// Written by the agent.
    pub(super) state: watch::Sender<DeploymentState>,
    /// Written by the agent and by those who try out.
    pub(super) progress: broadcast::Sender<Progress>,
    /// How often each of the agent's direct methods was called, in the order of their names.
    pub(super) method_counts: [AtomicU64; agent_method::NAMES.len()],
    /// Written by the agent, each for one short step.
    pub(super) shown: Mutex<DeploymentView>,
    /// Images that were tried out for desired properties of `$edgeAgent` in one version. Written by handles, taken by
    /// the agent.
    tried: Mutex<Option<(u64, TriedImages)>>,
}

/// What modules name as their images, and which ones those are.
pub(super) type TriedImages = BTreeMap<ModuleId, (ImageReference, Meant)>;

/// Which images the tags of a deployment mean that is tried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tags {
    /// What their registries say now, as is right for a deployment that is new.
    Anew,
    /// What they meant before, as is right for one that has not changed. What has another image since, by a change of
    /// its twin, is not looked at.
    AsBefore,
}

/// Where a device is with its deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentState {
    /// The version of the desired properties of `$edgeAgent` that was looked at last; 0 before the first.
    pub agent_version: u64,
    /// The same of `$edgeHub`.
    pub hub_version: u64,
    /// What became of them.
    pub phase: Phase,
}

/// What became of the desired properties that were looked at last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// There was no deployment yet.
    #[default]
    None,
    /// It is being checked, and what it needs is made ready. What ran before runs.
    Preparing,
    /// Modules are stopped and started.
    Applying,
    /// All was started; whether it stays well is being watched.
    Watching,
    /// It runs and is healthy.
    Applied,
    /// It runs and is not healthy, and there is no last good one to go back to.
    Unhealthy {
        /// Why not.
        reason: String,
    },
    /// It was refused; what ran before runs.
    Refused {
        /// Why: all that was found.
        reasons: Vec<String>,
        /// Whether the same may be applied later; it is tried again then.
        is_passing: bool,
    },
    /// It was not healthy within its time, and the last good one is back.
    RolledBack {
        /// Why.
        reason: String,
    },
}

/// The deployments of a device, without passwords.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeploymentView {
    /// What runs.
    pub current: Option<Sections>,
    /// What was healthy last.
    pub last_good: Option<Sections>,
}

/// A deployment that can be applied.
#[derive(Clone, Debug)]
pub struct TriedOut {
    /// Each module, by name.
    pub modules: Vec<TriedOutModule>,
    /// What those that are to run need and may take.
    pub budget: Budget,
    /// What is there for them; that others stop before is not counted.
    pub available: MemoryAvailable,
    /// Which image each module means, for [`AgentHandle::means`].
    pub(super) images: TriedImages,
}

/// A module of it.
#[derive(Clone, Debug)]
pub struct TriedOutModule {
    /// The module.
    pub module: ModuleId,
    /// Digest of its image, `sha256:…`.
    pub image_digest: String,
    /// Whether its code had to be compiled.
    pub compiled: bool,
    /// What it needs of memory.
    pub needs: MemoryNeeds,
    /// What it may take.
    pub limits: Limits,
}

impl AgentHandle {
    pub(super) fn new(
        images: Images,
        compatibility: Compatibility,
        memory_max_bytes: Option<u64>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                images,
                compatibility,
                memory_max_bytes,
                asked: watch::Sender::new(0),
                state: watch::Sender::new(DeploymentState::default()),
                progress: broadcast::Sender::new(PROGRESS_MAX),
                method_counts: Default::default(),
                shown: Mutex::default(),
                tried: Mutex::default(),
            }),
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Lets the agent follow its twins from now on; before, it opens no session and runs nothing. What the hub
    /// is told before is what it begins with.
    pub fn follow(&self) {
        self.shared.state.send_if_modified(|state| {
            let begins = state.phase == Phase::None && *self.shared.asked.borrow() == 0;
            if begins {
                state.phase = Phase::Preparing;
            }
            begins
        });
        self.shared.asked.send_if_modified(|asked| {
            let first = *asked == 0;
            *asked = (*asked).max(1);
            first
        });
    }

    /// Lets the agent look at the same desired properties again, as when the file of an image has changed, and
    /// try again what was refused. Without effect before [`AgentHandle::follow`].
    pub fn look_again(&self) {
        self.shared.asked.send_if_modified(|asked| {
            let follows = *asked > 0;
            *asked += u64::from(follows);
            follows
        });
    }

    /// Whose behaviour the conditions of routes have on this device.
    pub fn compatibility(&self) -> Compatibility {
        self.shared.compatibility
    }

    /// Says that desired properties of `$edgeAgent` in this version mean the images that were tried out: what runs is
    /// what was tried out, and no registry is asked again. It has to be said before the agent follows that version, or
    /// is asked to look again.
    pub fn means(&self, agent_version: u64, tried: TriedOut) {
        let mut slot = self
            .shared
            .tried
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *slot = Some((agent_version, tried.images));
    }

    /// Finds out whether a deployment can be applied: loads and compiles all images, checks the routes. It
    /// touches nothing; code that was compiled is there when the deployment comes. `file:` images are absolute.
    ///
    /// # Errors
    /// [`DeployError::Images`] with all that cannot be run, [`DeployError::Routes`], [`DeployError::Memory`].
    pub async fn try_out(&self, manifest: &Manifest, tags: Tags) -> Result<TriedOut, DeployError> {
        RouteTable::new(&manifest.routes, manifest.store_and_forward.time_to_live)?;
        let mut modules = Vec::new();
        let mut images = TriedImages::new();
        let mut failed = Vec::new();
        let progress = |progress| self.shared.tell(progress);
        let asking = Asking::new(&manifest.registry_credentials, &progress);
        for spec in manifest.modules.values() {
            let module = || spec.id.clone();
            match self.shared.images.try_out(spec, tags, asking).await {
                Ok(Some(tried)) => {
                    modules.push(TriedOutModule {
                        module: module(),
                        image_digest: tried.meant.digests.shown().to_string(),
                        compiled: tried.origin == Origin::Compiled,
                        needs: tried.code.memory_needs(),
                        limits: spec.limits.clone(),
                    });
                    images.insert(module(), (spec.image.clone(), tried.meant));
                }
                Ok(None) => {}
                Err(err) => failed.push((module(), err)),
            }
        }
        if !failed.is_empty() {
            return Err(DeployError::Images(failed));
        }
        self.try_memory(manifest, modules, images).await
    }

    /// Checks what modules need and may take against what is known without stopping any.
    async fn try_memory(
        &self,
        manifest: &Manifest,
        modules: Vec<TriedOutModule>,
        images: TriedImages,
    ) -> Result<TriedOut, DeployError> {
        let free = tokio::task::spawn_blocking(|| free_memory::of(None)).await;
        let free = free.expect("reading files does not panic, and the runtime outlives the device");
        let available = MemoryAvailable {
            policy_max_bytes: self.shared.memory_max_bytes,
            free_bytes: free.map(|free| free.available_bytes),
        };
        let budget = Budget::of(manifest.modules.values(), |id| {
            let module = modules.iter().find(|module| module.module == *id)?;
            Some(module.needs)
        });
        // What those give back that stop before, only the agent knows.
        let certain = MemoryAvailable {
            free_bytes: None,
            ..available
        };
        let faults = budget.faults(certain);
        if !faults.is_empty() {
            return Err(DeployError::Memory(faults));
        }
        Ok(TriedOut {
            modules,
            budget,
            available,
            images,
        })
    }

    /// How often each of the agent's direct methods was called.
    pub fn method_counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.shared.method_counts.iter();
        let names = agent_method::NAMES.into_iter();
        names.zip(counts.map(|count| count.load(Ordering::Relaxed)))
    }

    /// Tells of each change of the state.
    pub fn watch(&self) -> watch::Receiver<DeploymentState> {
        self.shared.state.subscribe()
    }

    /// Waits until all modules of a deployment were started, or nothing more comes of it; answers where it stands
    /// then. `agent_version` is the least version of the desired properties of `$edgeAgent` that is meant.
    pub async fn started(&self, agent_version: u64) -> DeploymentState {
        let mut state = self.watch();
        let is_started = |state: &DeploymentState| {
            let goes_on = !state.is_settled() && state.phase != Phase::Watching;
            state.agent_version >= agent_version && !goes_on
        };
        let started = state.wait_for(is_started).await.map(|state| state.clone());
        // The handle itself keeps the sender.
        started.unwrap_or_default()
    }

    /// Tells of what happens from now on while a deployment is prepared and applied.
    pub fn progress(&self) -> broadcast::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    /// What runs, and what was healthy last; passwords of registries are blanked.
    pub fn deployment(&self) -> DeploymentView {
        self.shared
            .shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Shared {
    /// A direct method was called.
    pub(super) fn count(&self, method: &'static str) {
        let place = agent_method::NAMES.iter().position(|name| *name == method);
        if let Some(count) = place.and_then(|place| self.method_counts.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn tell(&self, progress: Progress) {
        // Nobody may listen.
        let _ = self.progress.send(progress);
    }

    /// What was tried out for desired properties of `$edgeAgent` in this version, once.
    pub(super) fn take_tried(&self, agent_version: u64) -> Option<TriedImages> {
        let mut slot = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let tried = slot.take_if(|(version, _)| *version <= agent_version);
        let (version, images) = tried?;
        (version == agent_version).then_some(images)
    }

    pub(super) fn show(&self, view: DeploymentView) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }
}

impl DeploymentState {
    /// Whether the modules of these versions are not known yet.
    pub(crate) fn is_assembling(&self) -> bool {
        matches!(self.phase, Phase::Preparing | Phase::Applying)
    }

    /// Whether nothing more comes of these versions by itself.
    pub fn is_settled(&self) -> bool {
        !matches!(
            self.phase,
            Phase::None | Phase::Preparing | Phase::Applying | Phase::Watching
        )
    }

    /// The form of the management API.
    pub fn to_json(&self) -> Value {
        let (phase, reasons): (&str, &[String]) = match &self.phase {
            Phase::None => ("none", &[]),
            Phase::Preparing => ("preparing", &[]),
            Phase::Applying => ("applying", &[]),
            Phase::Watching => ("watching", &[]),
            Phase::Applied => ("applied", &[]),
            Phase::Unhealthy { reason } => ("unhealthy", std::slice::from_ref(reason)),
            Phase::Refused { reasons, .. } => ("refused", reasons),
            Phase::RolledBack { reason } => ("rolled-back", std::slice::from_ref(reason)),
        };
        json!({
            "phase": phase,
            "reasons": reasons,
            "agentVersion": self.agent_version,
            "hubVersion": self.hub_version,
            "settled": self.is_settled(),
        })
    }
}

/// The folder that `file:` images of a deployment start in: they are absolute there.
pub(super) fn image_folder() -> &'static Path {
    Path::new("/")
}

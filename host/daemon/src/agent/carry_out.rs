//! Carries out a plan, step by step.
//!
//! Owns what each command does to supervisor, router and sessions. What can fail comes first in a plan, so that
//! an error leaves all as it was. Leaves the order to the plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::manifest::DesiredStatus;
use wasm_edge_router::table::RouteTable;
use wasm_edge_runtime::precompiled::ModuleCode;

use super::assemble::Deployment;
use super::error::DeployError;
use super::follow::{Changes, Link};
use super::images::Asking;
use super::memory::{Budget, MemoryAvailable};
use super::plan::{self, Command, Here, Placed};
use super::progress::Progress;
use super::pursue::Carried;
use super::{Agent, SYNC_TIMEOUT, leaving};
use crate::deployment::sealed::StoredCredentials;
use crate::free_memory;
use crate::queues;
use crate::supervisor::Module;
use crate::twins::Twin;
use crate::twins::sync::Sync;
use crate::upstream::{Credentials, Interest, UpstreamError};

/// What modules need, made ready before anything is touched.
#[derive(Default)]
struct Ready {
    codes: BTreeMap<ModuleId, ModuleCode>,
    identities: BTreeMap<ModuleId, (Credentials, Twin)>,
}

impl Agent {
    /// Makes the device match a deployment. Done when all was started and is ready, or had its time.
    pub(super) async fn carry_out(
        &mut self,
        deployment: &Deployment,
        changes: &Changes,
    ) -> Result<Carried, DeployError> {
        let wiring = &deployment.desired.wiring;
        // Checked before anything is touched, and applied in its turn.
        let routes = self.parts.routing.completed(&wiring.routes);
        let mut table = Some(RouteTable::new(&routes, wiring.time_to_live)?);
        let mut ready = Ready::default();
        let mut touched = false;
        for command in plan::plan(&self.current, &deployment.desired) {
            let prepares = matches!(
                command,
                Command::FetchImages(_) | Command::CheckFit | Command::ProvisionIdentities(_)
            );
            if !prepares && !touched {
                touched = true;
                self.begin(deployment).await?;
            }
            if changes.is_new() {
                return Ok(Carried::Interrupted);
            }
            match command {
                Command::FetchImages(ids) => ready.codes = self.fetch(&ids, deployment).await?,
                Command::CheckFit => self.check_fit(deployment, &ready).await?,
                Command::ProvisionIdentities(ids) => {
                    ready.identities = self.provision(&ids).await?;
                }
                Command::StopModule(id) => self.stop(&id).await,
                Command::RemoveModule(id) => self.remove(&id).await,
                Command::ApplyRoutes => {
                    let limits = queues::limits(&self.parts.routing, wiring.store_max_bytes);
                    self.parts.router.set_limits(limits);
                    if let Some(table) = table.take() {
                        self.parts.router.apply(table);
                    }
                    self.current.wiring = Some(wiring.clone());
                }
                Command::ChangeSettings(id) | Command::ChangeStatus(id, DesiredStatus::Running) => {
                    self.change(&id, deployment).await;
                }
                Command::ChangeStatus(id, DesiredStatus::Stopped) => {
                    self.stop(&id).await;
                    self.change(&id, deployment).await;
                }
                Command::CreateModule(id) | Command::UpdateModule(id) => {
                    self.put(&id, deployment, &mut ready).await;
                }
                Command::StartModules(ids) => {
                    if !self.start(&ids, changes).await {
                        return Ok(Carried::Interrupted);
                    }
                }
            }
        }
        if !touched {
            self.begin(deployment).await?;
        }
        Ok(Carried::Out)
    }

    /// Records what is about to run, so that a crash in between finds it.
    async fn begin(&mut self, deployment: &Deployment) -> Result<(), DeployError> {
        let stored = deployment.to_stored();
        let leaving = leaving::leaving(self.ledger.stored(), deployment);
        self.ledger
            .change(|all| {
                all.current = Some(stored);
                all.leaving = leaving;
            })
            .await?;
        self.healthy = false;
        self.running = Some(deployment.clone());
        self.show();
        Ok(())
    }

    async fn fetch(
        &self,
        ids: &[ModuleId],
        deployment: &Deployment,
    ) -> Result<BTreeMap<ModuleId, ModuleCode>, DeployError> {
        let tell = |progress: Progress| self.shared.tell(progress);
        let asking = Asking::new(&deployment.registry_credentials, &tell);
        let mut codes = BTreeMap::new();
        let mut failed = Vec::new();
        for placed in ids
            .iter()
            .filter_map(|id| deployment.desired.modules.get(id))
        {
            let id = placed.spec.id.clone();
            match self.images.load(&placed.spec, placed.image, asking).await {
                Ok((code, _)) => drop(codes.insert(id, code)),
                Err(err) => failed.push((id, err)),
            }
        }
        if failed.is_empty() {
            Ok(codes)
        } else {
            Err(DeployError::Images(failed))
        }
    }

    /// Checks that what all modules may take, and what those need that are to be started, is there.
    async fn check_fit(&self, deployment: &Deployment, ready: &Ready) -> Result<(), DeployError> {
        let specs = deployment.desired.modules.values();
        let budget = Budget::of(specs.map(|placed| &placed.spec), |module| {
            Some(ready.codes.get(module)?.memory_needs())
        });
        let free_bytes = self.free_after_stops(deployment, ready).await;
        let available = MemoryAvailable {
            policy_max_bytes: self.parts.settings.memory_max_bytes,
            // What ran here before runs again: what is free just now may be another thing in a moment.
            free_bytes: free_bytes.filter(|_| !self.ledger.knows(deployment)),
        };
        let faults = budget.faults(available);
        if !faults.is_empty() {
            return Err(DeployError::Memory(faults));
        }
        let asked_bytes = budget.may_take_bytes;
        if let Some(free_bytes) = free_bytes.filter(|free_bytes| asked_bytes > *free_bytes) {
            let device = &self.parts.device;
            tracing::warn!(%device, asked_bytes, free_bytes, "the modules may take more memory than is free");
        }
        Ok(())
    }

    /// What is free for modules, with what those hold that go or are replaced.
    async fn free_after_stops(&self, deployment: &Deployment, ready: &Ready) -> Option<u64> {
        let free = tokio::task::spawn_blocking(|| free_memory::of(None)).await;
        let free =
            free.expect("reading files does not panic, and the runtime outlives the device")?;
        let stops = |id: &ModuleId| {
            ready.codes.contains_key(id) || !deployment.desired.modules.contains_key(id)
        };
        let reports = self.parts.supervisor.reports();
        let held = reports
            .iter()
            .filter(|report| stops(report.module()))
            .map(|report| report.gauges.memory_bytes() + report.gauges.host_memory_bytes());
        Some(held.fold(free.available_bytes, u64::saturating_add))
    }

    /// Makes sure of identities. Without the hub, those that are known from before have to do.
    async fn provision(
        &mut self,
        ids: &[ModuleId],
    ) -> Result<BTreeMap<ModuleId, (Credentials, Twin)>, DeployError> {
        let mut identities = BTreeMap::new();
        for id in ids {
            let provisioned = self.parts.upstream.provision(self.identity(id)).await;
            let known = self.ledger.stored().credentials.get(id);
            let credentials = match (provisioned, known) {
                (Ok(credentials), _) => credentials,
                (Err(UpstreamError::Unreachable { .. }), Some(known)) => known.into(),
                (Err(source), _) => {
                    let module = id.clone();
                    return Err(DeployError::Identity { module, source });
                }
            };
            let (twins, module) = (self.parts.twins.clone(), id.clone());
            let twin = tokio::task::spawn_blocking(move || twins.of(&module))
                .await
                .expect("the store does not panic, and the runtime outlives the device")?;
            identities.insert(id.clone(), (credentials, twin));
        }
        let known: Vec<(ModuleId, StoredCredentials)> = identities
            .iter()
            .map(|(id, (credentials, _))| (id.clone(), credentials.into()))
            .collect();
        self.ledger
            .change(|all| all.credentials.extend(known))
            .await?;
        Ok(identities)
    }

    async fn stop(&mut self, id: &ModuleId) {
        self.parts.supervisor.stop(id).await;
        if let Some(here) = self.current.modules.get_mut(id) {
            here.started = false;
        }
    }

    async fn remove(&mut self, id: &ModuleId) {
        self.parts.supervisor.remove(id).await;
        // Its session stays until what it sent is at the hub: see `leaving`.
        self.parts.router.remove_module(id);
        self.current.modules.remove(id);
        self.touched.remove(id);
    }

    /// Changes in place what a module is to be.
    async fn change(&mut self, id: &ModuleId, deployment: &Deployment) {
        let here = self.current.modules.get_mut(id);
        if let (Some(here), Some(placed)) = (here, deployment.desired.modules.get(id)) {
            let digest = placed.image.shown().to_string();
            let spec = placed.spec.clone();
            self.parts.supervisor.set_spec(spec, digest).await;
            here.placed = placed.clone();
            if let Some(twin) = self.parts.twins.known(id) {
                keep_local_changes(&twin, placed.spec.keep_local_changes).await;
            }
        }
    }

    /// Takes a module on, in the place of a stopped one if there is one: its queue and its session stay.
    async fn put(&mut self, id: &ModuleId, deployment: &Deployment, ready: &mut Ready) {
        let prepared = (
            deployment.desired.modules.get(id),
            ready.codes.remove(id),
            ready.identities.remove(id),
        );
        let (Some(placed), Some(code), Some((credentials, twin))) = prepared else {
            unreachable!("a plan fetches and provisions what it makes");
        };
        let Placed { spec, image } = placed.clone();
        self.parts.logs.set_limits(id, &spec.limits);
        keep_local_changes(&twin, spec.keep_local_changes).await;
        self.parts.sessions.identity_taken(id);
        let interest = Interest {
            methods: code.takes_methods(),
        };
        self.connect(id, &twin, &credentials, interest).await;
        let module = Module {
            spec,
            code,
            image_digest: image.shown().to_string(),
            component_digest: image.component.to_string(),
            credentials,
            twin,
        };
        if self.current.modules.contains_key(id) {
            self.parts.supervisor.update(module).await;
        } else {
            self.parts.supervisor.add(module);
        }
        let here = Here {
            placed: placed.clone(),
            started: false,
            identity_replaced: false,
        };
        self.current.modules.insert(id.clone(), here);
    }

    /// Opens the session of a module, anew if it takes methods now and did not, or the other way.
    async fn connect(
        &mut self,
        id: &ModuleId,
        twin: &Twin,
        credentials: &Credentials,
        interest: Interest,
    ) {
        if let Some(link) = self.links.remove(id) {
            link.close().await;
        }
        let sync = Sync {
            identity: self.identity(id),
            twin: twin.clone(),
            upstream: Arc::clone(&self.parts.upstream),
            sessions: self.parts.sessions.clone(),
            methods: self.parts.methods.clone(),
            interest,
            refresh: None,
            generation_id: Some(credentials.generation_id.clone()),
            retry_max: self.parts.settings.retry_max,
        };
        self.links.insert(id.clone(), Link::open(sync));
    }

    /// Starts modules of one start order and waits until all are ready, or their time is over. `false` when
    /// something newer is desired meanwhile.
    async fn start(&mut self, ids: &[ModuleId], changes: &Changes) -> bool {
        self.touched.extend(ids.iter().cloned());
        let is_online = self.own_links.iter().any(Link::is_synced);
        let (supervisor, links) = (&self.parts.supervisor, &self.links);
        join_all(ids.iter().map(|id| async move {
            // Without the hub, the twin that is stored here has to do.
            if let Some(link) = links.get(id).filter(|_| is_online) {
                link.synced(SYNC_TIMEOUT).await;
            }
            supervisor.start(id).await;
        }))
        .await;
        for id in ids {
            if let Some(here) = self.current.modules.get_mut(id) {
                here.started = true;
            }
        }
        let (timeout, shared) = (self.parts.settings.ready_timeout, &self.shared);
        let supervisor = &self.parts.supervisor;
        let ready = join_all(ids.iter().map(|id| async move {
            if !supervisor.wait_ready(id, timeout).await {
                let module = id.clone();
                shared.tell(Progress::NotReady { module });
            }
        }));
        tokio::select! {
            _ = ready => true,
            () = changes.wait() => false,
        }
    }
}

/// Tells a twin whether what is changed on the device holds on when the hub is there.
async fn keep_local_changes(twin: &Twin, keeps: bool) {
    if let Err(err) = twin.keep_local_changes(keeps).await {
        // They are given up in memory with the next change that can be stored.
        tracing::error!(module = %twin.module(), %err, "changes made on the device cannot be given up yet");
    }
}

//! Carries out configurations: makes stored twins as they say.
//!
//! Owns the order of work, device after device, and going on after failures.
//! Leaves what becomes of a device to [`super::plan`]. Everything is decided
//! from what is stored at the moment, and each twin is changed only if it is
//! still what the decision was made from: work that was interrupted anywhere
//! is done again and comes to the same end, and nobody waits for it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use wasm_edge_model::error::chain;
use wasm_edge_model::identity::{DeviceId, ModuleIdentity, TwinOwner};

use super::PENDING;
use super::document::Configuration;
use super::plan::{Plan, Room, Subject, plan};
use super::work::Next;
use crate::error::HubError;
use crate::hub::Hub;
use crate::hub::documents::{Found, decode};
use crate::hub::registry::MODULES_PER_DEVICE_MAX;
use crate::record::Record;
use crate::store::{Collection, DocumentKey, Expected, Revision, Swap};

/// How long marks are gathered before they are worked on: changes come in bursts.
const GATHER: Duration = Duration::from_millis(200);

/// How often all devices are looked at without a mark, as IoT Hub does: another process may have
/// changed them, and some conditions ask for what leaves no mark, such as who is connected.
const ALL_EVERY: Duration = Duration::from_secs(5 * 60);

/// How long the worker waits after a failure of the store.
const RETRY_WAIT: Duration = Duration::from_secs(5);

/// How often a device is planned anew because others change it meanwhile; then it is marked again.
const PLANS_MAX: usize = 8;

/// How many devices are read at a time.
const SCAN_DEVICES: usize = 32;

/// Counting metrics takes at most this share of the time: after each count there is a pause of so
/// many times what it took.
const COUNT_PAUSE_FACTOR: u32 = 4;

/// The longest pause between two counts.
const COUNT_PAUSE_MAX: Duration = Duration::from_secs(60);

/// How a device was dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    /// It is as configurations say.
    Done,
    /// Others changed it too often meanwhile.
    Contended,
}

impl Hub {
    /// Carries out configurations until the hub is closed. One such task is enough for a store, and
    /// several do no harm.
    ///
    /// # Cancel safety
    /// It may be dropped at any moment.
    pub async fn run_configurations(&self) {
        let _running = RunningMark::set(self);
        let begun = self.begin_configurations().await;
        let mut is_failed = begun.is_err();
        let mut next_all = Instant::now() + ALL_EVERY;
        let mut next_count = Instant::now();
        loop {
            if is_failed && !self.pause(RETRY_WAIT).await {
                return;
            }
            is_failed = false;
            tokio::select! {
                biased;
                () = self.closing().cancelled() => return,
                () = self.work().marked() => {
                    if !self.pause(GATHER).await {
                        return;
                    }
                }
                () = sleep_until(next_all) => {
                    next_all = Instant::now() + ALL_EVERY;
                    if self.work().is_active() {
                        self.work().give_back(Next::All);
                    }
                }
                upto = count_wanted(self, next_count) => {
                    let begun = Instant::now();
                    is_failed = told(self.count_configurations(upto).await);
                    let pause = begun.elapsed() * COUNT_PAUSE_FACTOR;
                    next_count = Instant::now() + pause.min(COUNT_PAUSE_MAX);
                    continue;
                }
            }
            is_failed |= told(self.carry_out_configurations().await);
        }
    }

    /// Finds out whether there is anything to do, as after a restart.
    pub(super) async fn begin_configurations(&self) -> Result<(), HubError> {
        let pending = self.store().read(&DocumentKey::setting(PENDING)).await?;
        if pending.is_some() || !self.configurations().await?.is_empty() {
            self.work().all();
        }
        Ok(())
    }

    /// Does what is marked.
    pub(super) async fn carry_out_configurations(&self) -> Result<(), HubError> {
        let next = self.work().take();
        let done = match &next {
            Next::All => self.carry_out_all().await,
            Next::Devices(devices) => {
                let configurations = self.configurations().await;
                match configurations {
                    Ok(configurations) => self.carry_out_at(devices, &configurations).await,
                    Err(err) => Err(err),
                }
            }
            Next::Nothing => Ok(()),
        };
        if done.is_err() {
            self.work().give_back(next);
        }
        done
    }

    async fn carry_out_at(
        &self,
        devices: &std::collections::BTreeSet<DeviceId>,
        configurations: &[Configuration],
    ) -> Result<(), HubError> {
        for device in devices {
            if self.closing().is_cancelled() {
                return Ok(());
            }
            if let Some(found) = self.read(&TwinOwner::Device(device.clone())).await? {
                self.settle(device, found, configurations).await?;
            }
        }
        Ok(())
    }

    /// Looks at all devices. When configurations have changed meanwhile, the mark of it stays, and
    /// all comes again.
    async fn carry_out_all(&self) -> Result<(), HubError> {
        let mark = DocumentKey::setting(PENDING);
        let pending = self.store().read(&mark).await?;
        let configurations = self.configurations().await?;
        let mut after = None;
        loop {
            let page = self
                .store()
                .scan(&Collection::Devices, after.as_ref(), SCAN_DEVICES)
                .await?;
            for (key, document) in page.documents {
                if self.closing().is_cancelled() {
                    return Ok(());
                }
                let Some(owner) = key.owner() else {
                    after = Some(key);
                    continue;
                };
                after = Some(key);
                match decode(&owner, &document.content) {
                    Ok(record) => {
                        let revision = document.revision;
                        let found = Found {
                            device_etag_counter: record.identity.etag_counter,
                            record,
                            revision,
                        };
                        self.settle(owner.device(), found, &configurations).await?;
                    }
                    Err(err) => tracing::error!(error = chain(&err), "a device is passed over"),
                }
            }
            if !page.more {
                break;
            }
        }
        if let Some(pending) = pending {
            let expected = Expected::Revision(pending.revision);
            // A conflict says that configurations have changed since.
            self.store().compare_and_set(&mark, expected, None).await?;
        }
        if configurations.is_empty() {
            self.work().rest();
        }
        Ok(())
    }

    /// Makes a device as configurations say; tells what cannot be.
    async fn settle(
        &self,
        device: &DeviceId,
        found: Found,
        configurations: &[Configuration],
    ) -> Result<(), HubError> {
        match self.settle_tried(device, found, configurations).await {
            Ok(Settled::Done) => Ok(()),
            Ok(Settled::Contended) => {
                self.work().device(device);
                Ok(())
            }
            // About this device alone: others go on.
            Err(
                err @ (HubError::NotFound { .. }
                | HubError::Contended { .. }
                | HubError::Record { .. }),
            ) => {
                tracing::warn!(%device, error = chain(&err), "a device cannot be configured");
                Ok(())
            }
            Err(err) => Err(err),
        }
    }

    async fn settle_tried(
        &self,
        device: &DeviceId,
        found: Found,
        configurations: &[Configuration],
    ) -> Result<Settled, HubError> {
        let mut found = found;
        let mut room = Room::Enough;
        for _ in 0..PLANS_MAX {
            let modules = self.found_modules(&found).await?;
            let plan = self.plan(configurations, &found, &modules, room);
            for (owner, error) in &plan.refused {
                tracing::warn!(%owner, %error, "a twin cannot be as configurations say");
            }
            for module in &plan.missing {
                let (device, module) = (device.clone(), module.clone());
                match self.ensure_module(&ModuleIdentity { device, module }).await {
                    Ok(_) => {}
                    Err(err @ HubError::TooManyModules { .. }) => {
                        tracing::warn!(error = chain(&err), "a deployment cannot be applied");
                        room = Room::Full;
                        break;
                    }
                    Err(err) => return Err(err),
                }
            }
            let is_whole = plan.missing.is_empty();
            let is_written = self.write_plan(plan, &found, &modules, is_whole).await?;
            if is_written && is_whole {
                return Ok(Settled::Done);
            }
            let device = TwinOwner::Device(device.clone());
            match self.read(&device).await? {
                Some(again) => found = again,
                None => return Ok(Settled::Done),
            }
        }
        Ok(Settled::Contended)
    }

    fn plan(
        &self,
        configurations: &[Configuration],
        device: &Found,
        modules: &BTreeMap<TwinOwner, Found>,
        room: Room,
    ) -> Plan {
        let modules = modules.values();
        let modules: Vec<_> = modules.map(|found| self.subject(&found.record)).collect();
        let device = self.subject(&device.record);
        plan(configurations, &device, &modules, room, self.now())
    }

    fn subject<'a>(&self, record: &'a Record) -> Subject<'a> {
        // Messages that wait are not counted: conditions of configurations see none.
        let connection = self.view_with(&record.identity, 0);
        Subject { record, connection }
    }

    /// Writes the twins that change; `false` when another changed one of them first. Modules are
    /// left alone as long as some of them are not there yet.
    async fn write_plan(
        &self,
        plan: Plan,
        device: &Found,
        modules: &BTreeMap<TwinOwner, Found>,
        is_whole: bool,
    ) -> Result<bool, HubError> {
        for record in plan.changed {
            let owner = record_owner(&record).clone();
            let revision = match owner.module() {
                None => Some(device.revision),
                Some(_) => modules.get(&owner).map(|found| found.revision),
            };
            let Some(revision) = revision.filter(|_| is_whole || owner.module().is_none()) else {
                continue;
            };
            if !self.write_settled(&owner, revision, &record).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes without a mark: what the worker does gives it nothing to do.
    async fn write_settled(
        &self,
        owner: &TwinOwner,
        revision: Revision,
        record: &Record,
    ) -> Result<bool, HubError> {
        let key = DocumentKey::of(owner);
        let (expected, content) = (Expected::Revision(revision), Some(record.encode()));
        let swap = self
            .store()
            .compare_and_set(&key, expected, content)
            .await?;
        Ok(swap != Swap::Conflict)
    }

    /// The modules of a device of this generation.
    async fn found_modules(&self, device: &Found) -> Result<BTreeMap<TwinOwner, Found>, HubError> {
        let identity = &device.record.identity;
        let collection = Collection::ModulesOf(identity.owner.device().clone());
        let (mut modules, mut after) = (BTreeMap::new(), None);
        loop {
            let page = self
                .store()
                .scan(&collection, after.as_ref(), MODULES_PER_DEVICE_MAX)
                .await?;
            for (key, document) in page.documents {
                if let Some(owner) = key.owner() {
                    let mut record = decode(&owner, &document.content)?;
                    if record.device_generation_id == identity.generation_id {
                        record.identity.status = identity.status;
                        let revision = document.revision;
                        let found = Found {
                            record,
                            revision,
                            device_etag_counter: identity.etag_counter,
                        };
                        modules.insert(owner, found);
                    }
                }
                after = Some(key);
            }
            if !page.more {
                return Ok(modules);
            }
        }
    }

    async fn count_configurations(&self, upto: u64) -> Result<(), HubError> {
        let configurations = self.configurations().await?;
        let counts = self.count_metrics(&configurations).await?;
        self.work().set_counts(upto, counts);
        Ok(())
    }

    /// Waits; `false` if the hub is closed meanwhile.
    async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.closing().cancelled() => false,
            () = sleep(time) => true,
        }
    }
}

/// Waits until metrics are wanted and may be counted again.
async fn count_wanted(hub: &Hub, not_before: Instant) -> u64 {
    hub.work().count_wanted().await;
    sleep_until(not_before).await;
    hub.work().count_wanted().await
}

fn record_owner(record: &Record) -> &TwinOwner {
    &record.identity.owner
}

/// Whether work failed; tells why.
fn told(done: Result<(), HubError>) -> bool {
    if let Err(err) = &done {
        tracing::error!(
            error = chain(err),
            "configurations cannot be carried out now"
        );
    }
    done.is_err()
}

/// Says that there is a worker as long as it lives.
struct RunningMark<'a>(&'a Hub);

impl<'a> RunningMark<'a> {
    fn set(hub: &'a Hub) -> Self {
        hub.work().set_running(true);
        Self(hub)
    }
}

impl Drop for RunningMark<'_> {
    fn drop(&mut self) {
        self.0.work().set_running(false);
    }
}

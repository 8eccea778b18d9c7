//! The modules' twins on the device: served from the device's own store, kept in step with the hub.
//!
//! A [`Twin`] is what a module reads and writes; [`sync`] carries its changes to the hub and back.
//! What was reported is stored before the module hears that it was; what of it the hub has is stored
//! too, so that after a cut only the difference is sent.

pub mod local;
pub mod sync;

mod offers;
mod record;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use tokio::sync::{Notify, watch};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::twin::{check_section, diff, merge_patch};
use wasm_edge_runtime::events::DesiredUpdate;
use wasm_edge_runtime::guest::TwinError;
use wasm_edge_store::database::{Database, DatabaseError, Format, Table};

use crate::keys::{Keyring, SealingKey};
use crate::record::RecordError;
use crate::upstream::TwinDocument;
use local::LocalChange;
use record::Record;
use state::{By, Draft, State};
use zeroize::Zeroizing;

/// The twins' table; a key is a module id.
const TWINS: Table = Table("twins");

/// What the device's database holds.
pub const FORMAT: Format = Format {
    kind: "device",
    version: 1,
};

/// Its file.
const FILE: &str = "device.redb";

/// Names the key that the system modules' records are sealed with.
const SYSTEM_TWINS: &str = "twins of system modules";

/// Largest reported section in bytes (IoT Hub, twin limits).
const REPORTED_MAX_BYTES: usize = 32 * 1024;

/// All twins of one device; clones share them.
#[derive(Clone)]
pub struct Twins {
    database: Arc<Database>,
    /// Seals the records of the system modules: a deployment may hold passwords.
    key: Arc<SealingKey>,
    open: Arc<Mutex<BTreeMap<ModuleId, Twin>>>,
}

/// The twin of one module; clones share it.
#[derive(Clone)]
pub struct Twin {
    inner: Arc<Inner>,
}

struct Inner {
    module: ModuleId,
    database: Arc<Database>,
    /// What the record is sealed with on disk, if it is.
    key: Option<Arc<SealingKey>>,
    /// Written by the module's calls and by its sync task, each for one short step.
    state: Mutex<State>,
    /// One change is stored at a time, so that what is on disk is never older than what was promised.
    storing: tokio::sync::Mutex<()>,
    /// Counts the changes of what the module sees of its desired properties.
    revision: watch::Sender<u64>,
    /// Counts the changes of anything.
    changes: watch::Sender<u64>,
    reported: Notify,
}

impl Twins {
    /// Opens the device's database in its `store/` folder.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn open(store: &cap_std::fs::Dir, keys: &Keyring) -> Result<Self, DatabaseError> {
        let database = Arc::new(Database::open(store, FILE, FORMAT)?);
        Ok(Self {
            database,
            key: Arc::new(keys.file_key(SYSTEM_TWINS)),
            open: Arc::default(),
        })
    }

    /// The device's database, for what else belongs to twins.
    pub(crate) fn database(&self) -> Arc<Database> {
        Arc::clone(&self.database)
    }

    /// The twin of a module, read from disk the first time. Blocks for that.
    ///
    /// # Errors
    /// [`DatabaseError`]. A record that cannot be read counts as a new one, and is logged: the hub has the
    /// desired properties and what was reported before.
    pub fn of(&self, module: &ModuleId) -> Result<Twin, DatabaseError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(twin) = open.get(module) {
            return Ok(twin.clone());
        }
        let record = match self.database.get(TWINS, module.as_str().as_bytes())? {
            None => Record::default(),
            Some(bytes) => self.read(module, &bytes).unwrap_or_else(|err| {
                tracing::error!(%module, %err, "the stored twin cannot be read and is fetched anew");
                Record::default()
            }),
        };
        let key = module.as_str().as_bytes();
        let local = self.database.get(local::TABLE, key)?.and_then(|bytes| {
            let read = LocalChange::read(&bytes);
            let lost = |err| tracing::error!(%module, %err, "the changes made on the device cannot be read and are given up");
            read.map_err(lost).ok()
        });
        let twin = Twin {
            inner: Arc::new(Inner {
                module: module.clone(),
                database: Arc::clone(&self.database),
                key: module.is_system().then(|| Arc::clone(&self.key)),
                revision: watch::Sender::default(),
                changes: watch::Sender::default(),
                state: Mutex::new(State {
                    record,
                    local,
                    last_patch: None,
                    revision: 0,
                    keeps: false,
                    at_hub: false,
                }),
                storing: tokio::sync::Mutex::new(()),
                reported: Notify::new(),
            }),
        };
        open.insert(module.clone(), twin.clone());
        Ok(twin)
    }

    /// The twin of a module, if it is known by now: that of a module of the deployment, or of a system module.
    pub(crate) fn known(&self, module: &ModuleId) -> Option<Twin> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(module).cloned()
    }

    /// Removes the twin of a module that left. Blocks; a missing one is fine. Handles to it have to be gone: what
    /// they report would store it again.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn forget(&self, module: &ModuleId) -> Result<(), DatabaseError> {
        let left = self
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(module);
        if let Some(twin) = left {
            // Whoever watches it sees that it is gone.
            twin.inner.changes.send_modify(|changes| *changes += 1);
        }
        self.database.transact(|transaction| {
            transaction.remove(TWINS, module.as_str().as_bytes())?;
            transaction.remove(local::TABLE, module.as_str().as_bytes())?;
            Ok(())
        })
    }

    fn read(&self, module: &ModuleId, bytes: &[u8]) -> Result<Record, RecordError> {
        if !module.is_system() {
            return Record::read(bytes);
        }
        let text = self.key.open(bytes).map_err(|_| RecordError::Sealed)?;
        Record::read(&Zeroizing::new(text))
    }
}

impl Twin {
    /// The module that it belongs to.
    pub(crate) fn module(&self) -> &ModuleId {
        &self.inner.module
    }

    /// The hub's desired properties and their version, which is 0 before it told any.
    pub(crate) fn desired(&self) -> (Map<String, Value>, u64) {
        let state = self.lock();
        (state.record.desired.clone(), state.record.desired_version)
    }

    /// The reported properties and the version that the hub gave them last.
    pub(crate) fn reported_section(&self) -> (Map<String, Value>, u64) {
        let state = self.lock();
        (state.record.reported.clone(), state.record.reported_version)
    }

    /// The reported properties.
    pub(crate) fn reported_properties(&self) -> Map<String, Value> {
        self.lock().record.reported.clone()
    }

    /// The desired properties that the module sees, with the hub's `$version`, as JSON text.
    pub fn desired_text(&self) -> String {
        let state = self.lock();
        with_version(&state.seen(), state.record.desired_version)
    }

    /// The reported properties with `$version`, as JSON text.
    pub fn reported_text(&self) -> String {
        let state = self.lock();
        with_version(&state.record.reported, state.record.reported_version)
    }

    /// Tells of each change of the desired properties that the module sees.
    pub fn watch_desired(&self) -> watch::Receiver<u64> {
        self.inner.revision.subscribe()
    }

    /// Tells of each change of anything.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// What an instance that has seen the revision `seen` is to be told, and the revision it has then.
    ///
    /// All of it if it has seen nothing or more than one change came in between.
    pub fn desired_update(&self, seen: Option<u64>) -> (DesiredUpdate, u64) {
        let state = self.lock();
        let version = state.record.desired_version;
        let update = match (&state.last_patch, seen) {
            (Some(patch), Some(seen)) if seen + 1 == state.revision => {
                DesiredUpdate::Patch(with_version(patch, version))
            }
            _ => DesiredUpdate::Full(with_version(&state.seen(), version)),
        };
        (update, state.revision)
    }

    /// Counts the changes of the desired properties that the module sees, since the device started.
    pub(crate) fn desired_revision(&self) -> u64 {
        self.lock().revision
    }

    /// Merges a patch into the reported properties; done when it is on disk. Answers whether it changed them.
    ///
    /// # Errors
    /// [`TwinError::Limit`] if the section would break a rule; [`TwinError::Other`] if it cannot be stored.
    /// Nothing is changed then.
    pub async fn report(&self, patch: &Map<String, Value>) -> Result<bool, TwinError> {
        let _storing = self.inner.storing.lock().await;
        let changed = {
            let state = self.lock();
            let mut reported = state.record.reported.clone();
            merge_patch(&mut reported, patch);
            if reported == state.record.reported {
                return Ok(false);
            }
            check_section(&reported, REPORTED_MAX_BYTES)
                .map_err(|err| TwinError::Limit(err.to_string()))?;
            Record {
                reported,
                ..state.record.clone()
            }
        };
        self.store(Some(changed.clone()), None)
            .await
            .map_err(|err| TwinError::Other(err.to_string()))?;
        self.lock().record = changed;
        self.inner.reported.notify_one();
        self.inner.changes.send_modify(|changes| *changes += 1);
        Ok(true)
    }

    /// What the hub does not have yet of the reported properties, as a patch; `None` if it has all.
    pub(crate) fn unsent(&self) -> Option<Map<String, Value>> {
        let state = self.lock();
        let patch = diff(&state.record.reported_at_hub, &state.record.reported);
        (!patch.is_empty()).then_some(patch)
    }

    /// Waits until something was reported.
    pub(crate) async fn reported(&self) {
        self.inner.reported.notified().await;
    }

    /// The hub has taken this patch, which is part of what was unsent.
    pub(crate) async fn sent(
        &self,
        patch: &Map<String, Value>,
        version: Option<u64>,
    ) -> Result<(), DatabaseError> {
        self.change(By::Whole, |draft| {
            let record = &mut draft.record;
            merge_patch(&mut record.reported_at_hub, patch);
            record.reported_version = version.unwrap_or(record.reported_version + 1);
        })
        .await
    }

    /// Takes the hub's whole twin: its desired properties, and what it has of the reported ones.
    pub(crate) async fn take_document(&self, document: TwinDocument) -> Result<(), DatabaseError> {
        let changed = self.change(By::Whole, |draft| {
            draft.arrive();
            let record = &mut draft.record;
            if record.reported_version == 0 && record.reported.is_empty() {
                // A device that lost its store, or is new: what was reported before still holds.
                record.reported = document.reported.clone();
            }
            record.desired = document.desired;
            record.desired_version = document.desired_version;
            record.reported_at_hub = document.reported;
            record.reported_version = document.reported_version;
        });
        changed.await
    }

    /// Takes a change of the desired properties.
    pub(crate) async fn take_desired(
        &self,
        patch: Map<String, Value>,
        version: u64,
    ) -> Result<Taken, DatabaseError> {
        let present = self.desired_version();
        if version <= present {
            return Ok(Taken::Old);
        }
        if version > present + 1 {
            return Ok(Taken::Gap);
        }
        let merged = self.change(By::Patch(patch.clone()), |draft| {
            merge_patch(&mut draft.record.desired, &patch);
            draft.record.desired_version = version;
        });
        merged.await?;
        Ok(Taken::Merged)
    }

    /// The version of the desired properties.
    pub(crate) fn desired_version(&self) -> u64 {
        self.lock().record.desired_version
    }

    /// Changes the twin and stores what is another then.
    async fn change(&self, by: By, change: impl FnOnce(&mut Draft)) -> Result<(), DatabaseError> {
        let _storing = self.inner.storing.lock().await;
        let (draft, record, local) = {
            let mut state = self.lock();
            let mut draft = state.draft();
            change(&mut draft);
            if draft.fit() {
                let module = &self.inner.module;
                tracing::warn!(%module, "changes made on the device do not go with the hub's any more and are given up");
            }
            let record = (draft.record != state.record).then(|| draft.record.clone());
            let local = (draft.local != state.local).then(|| draft.local.clone());
            if record.is_none() && local.is_none() {
                (state.keeps, state.at_hub) = (draft.keeps, draft.at_hub);
                return Ok(());
            }
            (draft, record, local)
        };
        self.store(record, local).await?;
        let revision = {
            let mut state = self.lock();
            state.take(draft, by);
            state.revision
        };
        self.inner
            .revision
            .send_if_modified(|told| std::mem::replace(told, revision) != revision);
        self.inner.changes.send_modify(|changes| *changes += 1);
        Ok(())
    }

    /// Stores what is given, in one step.
    async fn store(
        &self,
        record: Option<Record>,
        local: Option<Option<LocalChange>>,
    ) -> Result<(), DatabaseError> {
        let _hold = wasm_edge_clock::hold();
        let inner = Arc::clone(&self.inner);
        let stored = tokio::task::spawn_blocking(move || inner.write(record, local));
        stored
            .await
            .expect("the store does not panic, and the runtime outlives the device")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(
        &self,
        record: Option<Record>,
        local: Option<Option<LocalChange>>,
    ) -> Result<(), DatabaseError> {
        let id = self.module.as_str().as_bytes();
        let sealed = record
            .map(|record| match &self.key {
                None => Ok(record.write()),
                Some(key) => {
                    let sealed = key.seal(&Zeroizing::new(record.write()));
                    sealed.map_err(|err| DatabaseError::Io {
                        file: FILE.to_owned(),
                        action: "write",
                        source: std::io::Error::other(err),
                    })
                }
            })
            .transpose()?;
        self.database.transact(|transaction| {
            if let Some(bytes) = &sealed {
                transaction.put(TWINS, id, bytes)?;
            }
            match &local {
                None => {}
                Some(Some(local)) => transaction.put(local::TABLE, id, &local.write())?,
                Some(None) => drop(transaction.remove(local::TABLE, id)?),
            }
            Ok(())
        })
    }
}

/// What became of a change of the desired properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is part of them now.
    Merged,
    /// It was known.
    Old,
    /// Others before it were missed.
    Gap,
}

fn with_version(properties: &Map<String, Value>, version: u64) -> String {
    let mut section = properties.clone();
    section.insert("$version".to_owned(), Value::from(version));
    Value::Object(section).to_string()
}

#[cfg(test)]
mod tests;

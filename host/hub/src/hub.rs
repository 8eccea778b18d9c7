//! The handle to the hub, and what its parts share.
//!
//! Owns opening and closing, and reading and changing documents by
//! compare-and-set. Leaves each group of operations to a file of its own:
//! identities, twins, deployments, methods. Held by the embedding process and
//! by the faces of the hub.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use cap_std::fs::Dir;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasm_edge_model::identity::{DeviceId, TwinOwner};
use wasm_edge_model::time::Timestamp;
use wasm_edge_store::file::open_folder;
use wasm_edge_store::volume::{FolderVolume, Volume};

use crate::access::certificate::Authorities;
use crate::access::refusal::RefusalLog;
use crate::access::throttle::{Operation, Throttled, Throttles, Tier};
use crate::command::CommandLimits;
use crate::error::HubError;
use crate::hub::statistics::Census;
use crate::identity::{ConnectionView, Identity, IdentityStatus};
use crate::metrics::Metrics;
use crate::record::Record;
use crate::session::connections::Connections;
use crate::store::embedded::{EmbeddedStore, OnDamage};
use crate::store::{
    ChangeFeed, Collection, Document, DocumentKey, Expected, HubStore, Revision, Swap,
};
use crate::telemetry::{Retention, TELEMETRY_FOLDER, TelemetryLog};

mod commands;
pub mod configuration;
pub mod configurations;
mod methods;
pub mod queries;
pub mod registry;
pub mod statistics;
pub mod twins;

/// How often a change is tried again because another came first. Each round one of those who try
/// succeeds, so that this many at once on one document are served.
const SWAP_TRIES_MAX: usize = 256;

/// How many may follow the changes of twins at once; each holds a feed of changed keys.
pub(crate) const TWIN_READERS_MAX: usize = 64;

/// Reads the wall clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a hub is opened.
#[derive(Clone)]
pub struct HubOptions {
    /// The name by which devices know the hub.
    pub host_name: String,
    /// Where the hub reads the time.
    pub clock: Clock,
    /// How much telemetry is kept.
    pub retention: Retention,
    /// Other names of the hub's host, which tokens may name.
    pub other_names: Vec<String>,
    /// How much may be asked of it.
    pub tier: Tier,
    /// How long messages to devices wait, and how often each is tried.
    pub commands: CommandLimits,
    /// What becomes of a damaged database.
    pub on_damage: OnDamage,
}

impl HubOptions {
    /// A hub of this name with the system's clock.
    pub fn new(host_name: impl Into<String>) -> Self {
        let clock = Arc::new(|| Timestamp::from(jiff::Timestamp::now()));
        Self {
            host_name: host_name.into(),
            clock,
            retention: Retention::default(),
            other_names: Vec::new(),
            tier: Tier::default(),
            commands: CommandLimits::default(),
            on_damage: OnDamage::default(),
        }
    }
}

impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("host_name", &self.host_name)
            .finish_non_exhaustive()
    }
}

/// A handle to the hub; clones share it.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    store: Arc<dyn HubStore>,
    options: HubOptions,
    connections: Connections,
    telemetry: TelemetryLog,
    twin_readers: Arc<Semaphore>,
    queries: Arc<Semaphore>,
    work: configurations::work::Work,
    closing: CancellationToken,
    metrics: Metrics,
    authorities: Authorities,
    refusals: RefusalLog,
    throttles: Throttles,
    census: Census,
}

impl Hub {
    /// Opens the embedded hub whose database and telemetry lie in `folder`, the `hub/` of a data folder.
    ///
    /// # Errors
    /// [`HubError::Store`], [`HubError::Telemetry`], [`HubError::Folder`], [`HubError::Thread`].
    pub async fn open(folder: &Dir, options: HubOptions) -> Result<Self, HubError> {
        let store = Arc::new(EmbeddedStore::open(folder, options.on_damage).await?);
        let telemetry =
            open_folder(folder, TELEMETRY_FOLDER).map_err(|source| HubError::Folder {
                folder: TELEMETRY_FOLDER,
                source,
            })?;
        let volume = Arc::new(FolderVolume::new(telemetry));
        let opened = spawn_blocking(move || Self::with_store(store, volume, options));
        opened.await.map_err(|_| HubError::Closed)?
    }

    /// A hub that keeps its documents in `store` and its telemetry in `telemetry`. Blocks.
    ///
    /// # Errors
    /// [`HubError::Telemetry`], [`HubError::Thread`].
    pub fn with_store(
        store: Arc<dyn HubStore>,
        telemetry: Arc<dyn Volume>,
        options: HubOptions,
    ) -> Result<Self, HubError> {
        let telemetry = TelemetryLog::open(telemetry, options.retention)?;
        let metrics = Metrics::new(&options.host_name);
        let now = Instant::now();
        let throttles = Throttles::new(options.tier, now);
        Ok(Self(Arc::new(Shared {
            store,
            options,
            connections: Connections::default(),
            telemetry,
            twin_readers: Arc::new(Semaphore::new(TWIN_READERS_MAX)),
            queries: Arc::new(Semaphore::new(queries::QUERIES_MAX)),
            work: configurations::work::Work::default(),
            closing: CancellationToken::new(),
            metrics,
            authorities: Authorities::none(),
            refusals: RefusalLog::new(now),
            throttles,
            census: Census::default(),
        })))
    }

    /// The name by which devices know the hub.
    pub fn host_name(&self) -> &str {
        &self.0.options.host_name
    }

    /// What the hub counts about itself.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// All names of the hub's host, the one by which devices know it first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let options = &self.0.options;
        let others = options.other_names.iter().map(String::as_str);
        std::iter::once(&*options.host_name).chain(others)
    }

    /// Takes room for an operation over a network, or says when there will be some, and counts it.
    ///
    /// # Errors
    /// [`Throttled`], by a tier other than [`Tier::Unlimited`].
    pub fn throttle(&self, operation: Operation) -> Result<(), Throttled> {
        let taken = self.0.throttles.take(operation, Instant::now());
        if taken.is_err() {
            self.metrics().throttled(operation.name());
        }
        taken
    }

    pub(crate) fn refusals(&self) -> &RefusalLog {
        &self.0.refusals
    }

    pub(crate) fn authorities(&self) -> &Authorities {
        &self.0.authorities
    }

    /// Ends every session and stream, and lets no new one begin.
    ///
    /// What was answered is on disk already.
    pub fn close(&self) {
        self.0.closing.cancel();
        self.0.connections.close_all();
        self.0.telemetry.close();
    }

    /// Waits until the hub writes nothing any more, which it does once it is closed.
    pub async fn ended(&self) {
        let hub = self.clone();
        if spawn_blocking(move || hub.0.telemetry.ended())
            .await
            .is_err()
        {
            tracing::error!("nobody waited for the end of the hub");
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0.options.clock)()
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.0.connections
    }

    pub(crate) fn telemetry_log(&self) -> &TelemetryLog {
        &self.0.telemetry
    }

    pub(crate) fn twin_readers(&self) -> &Arc<Semaphore> {
        &self.0.twin_readers
    }

    pub(crate) fn command_limits(&self) -> CommandLimits {
        self.0.options.commands
    }

    /// What configurations have to do.
    pub(crate) fn work(&self) -> &configurations::work::Work {
        &self.0.work
    }

    pub(crate) fn query_places(&self) -> &Arc<Semaphore> {
        &self.0.queries
    }

    fn census(&self) -> &Census {
        &self.0.census
    }

    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }

    pub(crate) fn changes(&self, device: &DeviceId) -> ChangeFeed {
        self.0.store.changes(device)
    }

    pub(crate) fn store(&self) -> &dyn HubStore {
        &*self.0.store
    }

    /// What is known of an identity beside its document.
    pub(crate) async fn view(&self, identity: &Identity) -> Result<ConnectionView, HubError> {
        let commands = self.command_count(identity).await?;
        Ok(self.view_with(identity, commands))
    }

    /// As [`Hub::view`], when so many messages are known to wait for it.
    pub(crate) fn view_with(&self, identity: &Identity, commands: usize) -> ConnectionView {
        ConnectionView {
            commands,
            ..self.0.connections.view(&identity.owner)
        }
    }

    /// Reads what there is under the id of `owner`.
    pub(crate) async fn slot(&self, owner: &TwinOwner) -> Result<Slot, HubError> {
        let TwinOwner::Module(module) = owner else {
            return Ok(match self.read(owner).await? {
                Some(found) => Slot::Present(Box::new(found)),
                None => Slot::Absent {
                    leftover: None,
                    device: None,
                },
            });
        };
        let device = TwinOwner::Device(module.device.clone());
        let Some(device) = self.read(&device).await? else {
            return Err(HubError::NotFound { owner: device });
        };
        let device = device.record;
        match self.read(owner).await? {
            Some(mut found)
                if found.record.device_generation_id == device.identity.generation_id =>
            {
                found.record.identity.status = device.identity.status;
                found.device_etag_counter = device.identity.etag_counter;
                Ok(Slot::Present(Box::new(found)))
            }
            found => Ok(Slot::Absent {
                leftover: found.map(|found| found.revision),
                device: Some(Box::new(device)),
            }),
        }
    }

    /// Reads the identity and twin of `owner`; a system module that a crash left unmade is made.
    pub(crate) async fn load(&self, owner: &TwinOwner) -> Result<Found, HubError> {
        match self.slot(owner).await? {
            Slot::Present(found) => Ok(*found),
            Slot::Absent {
                device: Some(device),
                ..
            } if device.identity.edge && is_system_module(owner) => {
                self.make_module(owner).await?;
                match self.slot(owner).await? {
                    Slot::Present(found) => Ok(*found),
                    Slot::Absent { .. } => Err(HubError::NotFound {
                        owner: owner.clone(),
                    }),
                }
            }
            Slot::Absent { .. } => Err(HubError::NotFound {
                owner: owner.clone(),
            }),
        }
    }

    /// As [`Hub::load`], for somebody who wants to connect.
    pub(crate) async fn load_enabled(&self, owner: &TwinOwner) -> Result<Found, HubError> {
        let found = self.load(owner).await?;
        match found.record.identity.status {
            IdentityStatus::Enabled => Ok(found),
            IdentityStatus::Disabled => Err(HubError::Disabled {
                device: owner.device().clone(),
            }),
        }
    }

    /// Changes the record of `owner` by compare-and-set, again when another came first.
    ///
    /// `change` says what to answer and whether there is anything to write.
    pub(crate) async fn change<T>(
        &self,
        owner: &TwinOwner,
        mut change: impl FnMut(&mut Record) -> Result<(T, Write), HubError>,
    ) -> Result<T, HubError> {
        for _ in 0..SWAP_TRIES_MAX {
            let mut found = self.load(owner).await?;
            let (answer, write) = change(&mut found.record)?;
            if write == Write::Nothing {
                return Ok(answer);
            }
            let expected = Expected::Revision(found.revision);
            if self.write(owner, expected, Some(&found.record)).await? {
                return Ok(answer);
            }
        }
        Err(HubError::Contended {
            owner: owner.clone(),
        })
    }

    /// Writes or deletes a document; `false` when another came first.
    pub(crate) async fn write(
        &self,
        owner: &TwinOwner,
        expected: Expected,
        record: Option<&Record>,
    ) -> Result<bool, HubError> {
        let content = record.map(Record::encode);
        let written = self.swap(&DocumentKey::of(owner), expected, content).await;
        // Also after an error, which leaves the outcome open.
        self.work().device(owner.device());
        written
    }

    /// Writes or deletes any document; `false` when another came first.
    pub(crate) async fn swap(
        &self,
        key: &DocumentKey,
        expected: Expected,
        content: Option<Bytes>,
    ) -> Result<bool, HubError> {
        let swap = self.0.store.compare_and_set(key, expected, content).await?;
        Ok(swap != Swap::Conflict)
    }

    /// Removes the documents of `collection` that `chosen` names, reading `page` of them at a time.
    pub(crate) async fn remove_documents(
        &self,
        collection: &Collection,
        page: usize,
        mut chosen: impl FnMut(&DocumentKey, &Document) -> Result<bool, HubError>,
    ) -> Result<(), HubError> {
        let mut after = None;
        loop {
            let found = self.store().scan(collection, after.as_ref(), page).await?;
            for (key, document) in found.documents {
                if chosen(&key, &document)? {
                    // A conflict means that another removed or replaced it.
                    let expected = Expected::Revision(document.revision);
                    self.swap(&key, expected, None).await?;
                }
                after = Some(key);
            }
            if !found.more {
                return Ok(());
            }
        }
    }

    /// Removes a document, if it is there and nobody writes it at this moment.
    pub(crate) async fn remove_document(&self, key: &DocumentKey) -> Result<(), HubError> {
        if let Some(found) = self.store().read(key).await? {
            let expected = Expected::Revision(found.revision);
            self.swap(key, expected, None).await?;
        }
        Ok(())
    }

    pub(crate) async fn read(&self, owner: &TwinOwner) -> Result<Option<Found>, HubError> {
        let Some(document) = self.0.store.read(&DocumentKey::of(owner)).await? else {
            return Ok(None);
        };
        let record = decode(owner, &document.content)?;
        Ok(Some(Found {
            device_etag_counter: record.identity.etag_counter,
            record,
            revision: document.revision,
        }))
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("host_name", &self.host_name())
            .finish_non_exhaustive()
    }
}

/// A record as it was read.
pub(crate) struct Found {
    pub(crate) record: Record,
    pub(crate) revision: Revision,
    /// That of the identity of the device, also for a module.
    pub(crate) device_etag_counter: u64,
}

/// What there is under an id.
pub(crate) enum Slot {
    /// The identity.
    Present(Box<Found>),
    /// No identity.
    Absent {
        /// The document of a module whose device was deleted and made again.
        leftover: Option<Revision>,
        /// The device, when the id is a module's.
        device: Option<Box<Record>>,
    },
}

/// Whether a change has to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// It has.
    Record,
    /// The record is as it was.
    Nothing,
}

pub(crate) fn decode(owner: &TwinOwner, content: &[u8]) -> Result<Record, HubError> {
    Record::decode(owner, content).map_err(|problem| HubError::Record {
        owner: owner.clone(),
        problem,
    })
}

fn is_system_module(owner: &TwinOwner) -> bool {
    owner.module().is_some_and(|module| module.is_system())
}

/// Which state a caller wants to change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum IfMatch {
    /// Whatever it is.
    #[default]
    Any,
    /// The one with this etag.
    Etag(String),
}

impl IfMatch {
    /// Reads the value of an `If-Match` header: an etag or `*`, in quotes or not.
    pub fn parse(header: &str) -> Self {
        let text = header.trim();
        let quoted = text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        match quoted.unwrap_or(text) {
            "*" => Self::Any,
            etag => Self::Etag(etag.to_owned()),
        }
    }

    pub(crate) fn check(
        &self,
        owner: &TwinOwner,
        etag: impl FnOnce() -> String,
    ) -> Result<(), HubError> {
        let Self::Etag(expected) = self else {
            return Ok(());
        };
        let etag = etag();
        if *expected == etag {
            return Ok(());
        }
        Err(HubError::PreconditionFailed {
            owner: owner.clone(),
            etag,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;

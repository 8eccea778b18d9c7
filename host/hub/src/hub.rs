//! The handle to the hub, and what its parts share.
//!
//! Owns opening and closing. Leaves documents and each
//! group of operations to a file of its own: identities, twins,
//! deployments, methods. Held by the embedding process and
//! by the faces of the hub.

use std::fmt;
use std::sync::Arc;

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
use crate::identity::{ConnectionView, Identity};
use crate::metrics::Metrics;
use crate::session::connections::Connections;
use crate::store::embedded::{EmbeddedStore, OnDamage};
use crate::store::{ChangeFeed, HubStore};
use crate::telemetry::{Retention, TELEMETRY_FOLDER, TelemetryLog};

mod commands;
pub mod configuration;
pub mod configurations;
pub(crate) mod documents;
mod methods;
pub mod queries;
pub mod registry;
pub mod statistics;
pub mod twins;

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
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("host_name", &self.host_name())
            .finish_non_exhaustive()
    }
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

//! What the hub asks of the place where it keeps its documents.
//!
//! Owns the interface: documents, one per identity and some besides, read by
//! key, changed by compare-and-set, listed in pages that may lag, and a feed of changes per
//! device. There is no transaction over several documents, so that a
//! distributed engine can stand behind it; what touches several is a sequence
//! that is safe to repeat. Leaves the content of documents to the registry
//! and the twins. Implemented by [`embedded::EmbeddedStore`].

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use thiserror::Error;
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};
use wasm_edge_store::database::DatabaseError;

pub mod embedded;

#[cfg(test)]
pub(crate) mod contract;

/// The answer of a store, later.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The changes of one device's documents; ends when the store closes.
///
/// Items that are not read in time are dropped and told as [`Change::Missed`].
pub type ChangeFeed = Pin<Box<dyn Stream<Item = Change> + Send>>;

/// Keeps the hub's documents.
pub trait HubStore: fmt::Debug + Send + Sync + 'static {
    /// The document of `key` with its newest content.
    fn read<'a>(&'a self, key: &'a DocumentKey) -> StoreFuture<'a, Option<Document>>;

    /// Replaces the document if it is as `expected`; `None` deletes it.
    ///
    /// Durable once it answers. On an error, or when the future is dropped,
    /// it is not known whether the change was made.
    fn compare_and_set<'a>(
        &'a self,
        key: &'a DocumentKey,
        expected: Expected,
        content: Option<Bytes>,
    ) -> StoreFuture<'a, Swap>;

    /// The documents of `collection` behind `after`, in the order of their keys' bytes.
    ///
    /// At most `limit`, possibly fewer; `more` says whether to go on. What
    /// was written a moment ago may be missing.
    fn scan<'a>(
        &'a self,
        collection: &'a Collection,
        after: Option<&'a DocumentKey>,
        limit: usize,
    ) -> StoreFuture<'a, Listing>;

    /// Changes to the documents of `device` and its modules from now on.
    fn changes(&self, device: &DeviceId) -> ChangeFeed;
}

/// Names a document; the first part of its text is its kind.
///
/// | Text | What it holds |
/// | --- | --- |
/// | `devices/{device}`, `modules/{device}/{module}` | identity and twin |
/// | `sessions/{device}/`, `sessions/{device}/{module}` | what outlives a connection |
/// | `queues/{device}` | the order of the messages to a device |
/// | `commands/{device}/{number}` | a message to a device |
/// | `configurations/{id}` | a configuration of many devices |
/// | `consumers/{name}` | how far somebody has read the telemetry |
/// | `settings/{name}` | what the hub as a whole needs to know |
///
/// Ids hold no `/`, so that the parts stay apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey(String);

impl DocumentKey {
    /// The document that holds identity and twin of `owner`.
    pub fn of(owner: &TwinOwner) -> Self {
        Self(match owner {
            TwinOwner::Device(device) => format!("{DEVICES}{device}"),
            TwinOwner::Module(module) => format!("{MODULES}{}/{}", module.device, module.module),
        })
    }

    /// The document that holds what outlives a connection of `owner`: its subscriptions.
    pub fn session(owner: &TwinOwner) -> Self {
        let module = owner.module().map_or("", ModuleId::as_str);
        Self(format!("{SESSIONS}{}/{module}", owner.device()))
    }

    /// The document that says which messages wait for `device`, in which order: it changes with
    /// every new one.
    pub fn command_queue(device: &DeviceId) -> Self {
        Self(format!("{QUEUES}{device}"))
    }

    /// The document that holds a message to `device`; numbers are in the order of their texts.
    pub fn command(device: &DeviceId, number: u64) -> Self {
        Self(format!("{COMMANDS}{device}/{number:020}"))
    }

    /// The document that holds the configuration `id`, which holds no `/`.
    pub fn configuration(id: &str) -> Self {
        Self(format!("{CONFIGURATIONS}{id}"))
    }

    /// The document that holds how far the consumer `name`, which holds no `/`, has read.
    pub fn consumer(name: &str) -> Self {
        Self(format!("{CONSUMERS}{name}"))
    }

    /// The document that holds something the hub as a whole needs to know.
    pub fn setting(name: &'static str) -> Self {
        Self(format!("{SETTINGS}{name}"))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part of the text: an id, a name or a number.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The key that a store kept as text.
    pub(crate) fn from_stored(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let known = KINDS.iter().any(|kind| text.starts_with(kind));
        known.then(|| Self(text.to_owned()))
    }

    /// Whose identity and twin the document holds.
    pub fn owner(&self) -> Option<TwinOwner> {
        if let Some(device) = self.0.strip_prefix(DEVICES) {
            return Some(TwinOwner::Device(DeviceId::new(device).ok()?));
        }
        let (device, module) = self.0.strip_prefix(MODULES)?.split_once('/')?;
        let (device, module) = (DeviceId::new(device).ok()?, ModuleId::new(module).ok()?);
        Some(TwinOwner::Module(ModuleIdentity { device, module }))
    }

    /// Whether the document says which messages wait for a device: then there may be a new one.
    pub fn is_command_queue(&self) -> bool {
        self.0.starts_with(QUEUES)
    }

    /// The id of the device that the document belongs to, if it belongs to one.
    pub fn device(&self) -> Option<&str> {
        let of_device = [DEVICES, QUEUES]
            .iter()
            .find_map(|kind| self.0.strip_prefix(kind));
        if of_device.is_some() {
            return of_device;
        }
        let rest = [MODULES, SESSIONS, COMMANDS]
            .iter()
            .find_map(|kind| self.0.strip_prefix(kind))?;
        rest.split_once('/').map(|(device, _)| device)
    }
}

const DEVICES: &str = "devices/";
const MODULES: &str = "modules/";
const SESSIONS: &str = "sessions/";
const QUEUES: &str = "queues/";
const COMMANDS: &str = "commands/";
const CONFIGURATIONS: &str = "configurations/";
const CONSUMERS: &str = "consumers/";
const SETTINGS: &str = "settings/";
const KINDS: [&str; 8] = [
    DEVICES,
    MODULES,
    SESSIONS,
    QUEUES,
    COMMANDS,
    CONFIGURATIONS,
    CONSUMERS,
    SETTINGS,
];

/// Documents that are listed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collection {
    /// All devices.
    Devices,
    /// The modules of all devices.
    Modules,
    /// The modules of one device.
    ModulesOf(DeviceId),
    /// What outlives the connections of one device and its modules.
    SessionsOf(DeviceId),
    /// The queues of all devices that were sent messages.
    CommandQueues,
    /// The messages to one device.
    CommandsOf(DeviceId),
    /// All configurations.
    Configurations,
    /// All that read the telemetry under a name.
    Consumers,
}

impl Collection {
    /// What the keys of the collection begin with.
    pub fn prefix(&self) -> String {
        match self {
            Self::Devices => DEVICES.to_owned(),
            Self::Modules => MODULES.to_owned(),
            Self::ModulesOf(device) => format!("{MODULES}{device}/"),
            Self::SessionsOf(device) => format!("{SESSIONS}{device}/"),
            Self::CommandQueues => QUEUES.to_owned(),
            Self::CommandsOf(device) => format!("{COMMANDS}{device}/"),
            Self::Configurations => CONFIGURATIONS.to_owned(),
            Self::Consumers => CONSUMERS.to_owned(),
        }
    }
}

/// Tells two writes of a document apart; never used twice for one key, also not after a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision(pub u64);

/// A document as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Which write it is from.
    pub revision: Revision,
    /// Its content, at most [`DOCUMENT_MAX_BYTES`].
    pub content: Bytes,
}

/// Longest content of a document: a twin with all its metadata is far below.
pub const DOCUMENT_MAX_BYTES: usize = 2 * 1024 * 1024;

/// What a document has to be for a change to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// There is none.
    Absent,
    /// It is of this revision.
    Revision(Revision),
}

/// How a compare-and-set ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// The change is made; the revision is that of the new document.
    Done(Revision),
    /// The document was not as expected.
    Conflict,
}

/// A page of a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The documents, in the order of their keys.
    pub documents: Vec<(DocumentKey, Document)>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

/// Something about a device's documents changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This document was written or deleted.
    Document(DocumentKey),
    /// Changes were dropped; any document of the device may have changed.
    Missed,
}

/// Why the store gave no answer.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// The embedded database failed, perhaps for several changes at once.
    #[error("the hub's database failed")]
    Database(#[source] Arc<DatabaseError>),
    /// The document would be too long.
    #[error("the document `{key}` would have {size_bytes} bytes, more than {DOCUMENT_MAX_BYTES}")]
    TooLarge {
        /// Which document.
        key: String,
        /// The length it would have.
        size_bytes: usize,
    },
    /// What is stored under the key is not a document.
    #[error("the stored document `{key}` is damaged")]
    Damaged {
        /// Which document.
        key: String,
    },
    /// The work was given up: the process is ending, or a bug.
    #[error("the hub's database gave no answer")]
    Interrupted,
}

impl From<DatabaseError> for StoreError {
    fn from(err: DatabaseError) -> Self {
        Self::Database(Arc::new(err))
    }
}

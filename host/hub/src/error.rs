//! Why the hub did not do what it was asked.
//!
//! Owns the variants that callers branch on. Leaves to the REST face how they
//! look on the wire, and to the session what ends it.

use std::io;
use std::time::Duration;

use thiserror::Error;
use wasm_edge_model::identity::{DeviceId, TwinOwner};
use wasm_edge_model::twin::TwinError;
use wasm_edge_store::database::DatabaseError;
use wasm_edge_store::log::LogError;

use crate::command::COMMAND_SIZE_MAX_BYTES;
use crate::hub::configurations::ConfigurationError;
use crate::hub::queries::QueryFailure;
use crate::identity::IdentityError;
use crate::store::StoreError;

/// Why the hub did not do what it was asked.
#[derive(Debug, Error)]
pub enum HubError {
    /// There is no such device, or no such module on it.
    #[error("there is no `{owner}`")]
    NotFound {
        /// The device or module that is missing: the device, when a module was asked for and
        /// already its device is missing.
        owner: TwinOwner,
    },
    /// The identity to be made is there already.
    #[error("`{owner}` exists already")]
    AlreadyExists {
        /// The device or module.
        owner: TwinOwner,
    },
    /// The etag that the caller expects is not the present one.
    #[error("`{owner}` was changed meanwhile: its etag is `{etag}`")]
    PreconditionFailed {
        /// The device or module.
        owner: TwinOwner,
        /// The present etag.
        etag: String,
    },
    /// The device has as many modules as a device may have.
    #[error("the device `{device}` has {limit} modules already, as many as it may have")]
    TooManyModules {
        /// The device.
        device: DeviceId,
        /// How many it may have.
        limit: usize,
    },
    /// `$edgeAgent` and `$edgeHub` come and go with their device.
    #[error("the module `{owner}` belongs to its device and cannot be deleted")]
    SystemModule {
        /// The module.
        owner: TwinOwner,
    },
    /// The device is disabled.
    #[error("the device `{device}` is disabled")]
    Disabled {
        /// The device.
        device: DeviceId,
    },
    /// An identity cannot be as asked for.
    #[error("`{owner}` cannot be so")]
    Identity {
        /// The device or module.
        owner: TwinOwner,
        /// What is wrong.
        #[source]
        source: IdentityError,
    },
    /// A twin cannot be as asked for.
    #[error("the twin of `{owner}` cannot be so")]
    Twin {
        /// Whose twin.
        owner: TwinOwner,
        /// What is wrong.
        #[source]
        source: TwinError,
    },
    /// A request does not have the right form.
    #[error("{problem}")]
    Invalid {
        /// What is wrong, and what is right.
        problem: String,
    },
    /// A query has no answer.
    #[error(transparent)]
    Query(#[from] QueryFailure),
    /// A configuration is not made, changed or found.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The content of a deployment does not have the right form.
    #[error("{problem}")]
    InvalidConfiguration {
        /// What is wrong, and what is right.
        problem: String,
    },
    /// The target of a method is not connected or takes no methods.
    #[error("`{owner}` is not online or takes no direct methods")]
    NotOnline {
        /// The device or module.
        owner: TwinOwner,
        /// How long the call waited for it.
        waited: Duration,
    },
    /// The target of a method went, or threw the request away: no answer will come.
    #[error(
        "`{owner}` ended, or threw the call away, before it answered the direct method; the method may have run"
    )]
    Unanswered {
        /// The device or module.
        owner: TwinOwner,
    },
    /// The target of a method did not answer in time.
    #[error("`{owner}` did not answer the direct method within {} s", timeout.as_secs())]
    NoAnswer {
        /// The device or module.
        owner: TwinOwner,
        /// How long an answer may take.
        timeout: Duration,
    },
    /// The target of a method has as many calls at once as it may have.
    #[error("`{owner}` has {limit} direct methods under way already")]
    TooManyCalls {
        /// The device or module.
        owner: TwinOwner,
        /// How many there may be at once.
        limit: usize,
    },
    /// As many messages wait for the device as may.
    #[error("{limit} messages wait for the device `{device}` already, as many as may")]
    TooManyCommands {
        /// The device.
        device: DeviceId,
        /// How many there may be.
        limit: usize,
    },
    /// A message to a device is too large.
    #[error("the message has {size_bytes} bytes, more than {COMMAND_SIZE_MAX_BYTES}")]
    CommandTooLarge {
        /// Body, and names and values of application properties.
        size_bytes: usize,
    },
    /// As many follow what the hub tells as may do so at once.
    #[error("{limit} readers follow {what} already, as many as may")]
    TooManyReaders {
        /// What they follow.
        what: &'static str,
        /// How many there may be at once.
        limit: usize,
    },
    /// There is no such consumer of telemetry.
    #[error("there is no consumer `{name}`")]
    NoSuchConsumer {
        /// His name.
        name: String,
    },
    /// There are as many consumers of telemetry as there may be.
    #[error("there are {limit} consumers already, as many as there may be")]
    TooManyConsumers {
        /// How many there may be.
        limit: usize,
    },
    /// What is stored of a consumer cannot be understood.
    #[error("what is stored of the consumer `{name}` cannot be read: {problem}")]
    Consumer {
        /// His name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Too many others changed the same document at the same time.
    #[error("`{owner}` is being changed by too many at once")]
    Contended {
        /// The device or module.
        owner: TwinOwner,
    },
    /// A stored document cannot be understood.
    #[error("the stored document of `{owner}` cannot be read: {problem}")]
    Record {
        /// The device or module.
        owner: TwinOwner,
        /// What is wrong with it.
        problem: String,
    },
    /// The stored shared access policies cannot be understood, or none can be made.
    #[error("the stored shared access policies cannot be read: {problem}")]
    Policies {
        /// What is wrong with them.
        problem: String,
    },
    /// The store failed.
    #[error("the hub's store failed")]
    Store(#[from] StoreError),
    /// The telemetry that is kept cannot be opened.
    #[error("the hub's telemetry cannot be opened")]
    Telemetry(#[from] LogError),
    /// The folder of telemetry cannot be made.
    #[error("the hub's folder `{folder}` cannot be used")]
    Folder {
        /// Its name.
        folder: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// More telemetry waits to be written than may.
    #[error("the hub has more telemetry to write than it can keep waiting")]
    Busy,
    /// A thread of the hub cannot be started.
    #[error("a thread of the hub cannot be started")]
    Thread {
        /// What the system says.
        source: io::Error,
    },
    /// The hub is closed.
    #[error("the hub is closed")]
    Closed,
}

impl HubError {
    /// Whether it says that the hub's database is damaged, and was left alone.
    pub fn is_damage(&self) -> bool {
        let Self::Store(StoreError::Database(cause)) = self else {
            return false;
        };
        matches!(**cause, DatabaseError::Damaged { .. })
    }
}

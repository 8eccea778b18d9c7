//! Sending: checks a message, finds its endpoints, and takes its places before it is committed.
//!
//! Owns the handle that a module's instance sends with, and with it the sender's identity: what the host says
//! of a message is written here, whatever the guest put there. The runtime's host calls come here.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::{
    Message, MessageError, MessageSource, OutputName, SystemProperty,
};
use wasm_edge_model::time::Timestamp;

use crate::endpoint::Endpoint;
use crate::ledger::SenderId;
use crate::limits::{PROPERTY_OVERHEAD_BYTES, charge_bytes};
use crate::router::Shared;
use crate::state::{Held, State};
use crate::table::Path;

/// Longest wait for room. An expired message makes room without anybody noticing before the next attempt.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(1);

/// Sends as one module. Clones send as the same.
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
    id: SenderId,
    /// Tells the state that this handle is alive.
    _mark: Arc<()>,
    module: ModuleId,
}

/// A message with a place in every queue on its way, not sent yet.
///
/// [`crate::router::Router::commit`] sends it; dropping it gives the places back.
#[must_use = "a staged message is sent by `commit` and given up by dropping it"]
pub struct Staged {
    shared: Arc<Shared>,
    /// Taken out by the commit.
    held: Option<Held>,
}

/// Why a message was not taken. Nothing of it is left behind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// A queue on its way is full, or its sender holds as much as it may.
    #[error("no room at `{endpoint}`")]
    WouldBlock {
        /// The first endpoint without room; the first of all when the router itself is full.
        endpoint: Endpoint,
    },
    /// It is larger than a message may be, or than these queues could ever take.
    #[error("message of {size_bytes} bytes, at most {limit_bytes} are possible")]
    TooLarge {
        /// What it has.
        size_bytes: usize,
        /// What is possible.
        limit_bytes: usize,
    },
    /// A property is not as it must be.
    #[error(transparent)]
    Invalid(MessageError),
}

impl Sender {
    pub(crate) fn new(shared: Arc<Shared>, id: SenderId, mark: Arc<()>, module: ModuleId) -> Self {
        Sender { shared, id, _mark: mark, module }
    }

    /// The module that this handle sends as.
    pub fn module(&self) -> &ModuleId {
        &self.module
    }

    /// Takes a place for a message at every endpoint that the routes give for this module and output.
    ///
    /// Where it goes, at which priority and for how long is settled here; `now` is when its time to live
    /// starts. The system properties `connectionDeviceId`, `connectionModuleId`, `outputName` and
    /// `enqueuedTime` are set, and `inputName` is taken away, whatever the message had. A message that no
    /// route takes is staged too; its commit counts it.
    ///
    /// # Errors
    /// [`StageError`]; only `WouldBlock` may end differently another time, see [`Sender::room`].
    pub fn stage(
        &self,
        output: Option<OutputName>,
        message: Message,
        now: Instant,
    ) -> Result<Staged, StageError> {
        let path = self.path(output);
        self.stage_on(path, message, now)
    }

    /// Takes a place for a message at one endpoint, past the routes: at the lowest priority, with the default
    /// time to live. For messages that do not come from a module, such as those of an operator.
    ///
    /// # Errors
    /// As [`Sender::stage`].
    pub fn stage_to(
        &self,
        endpoint: &Endpoint,
        message: Message,
        now: Instant,
    ) -> Result<Staged, StageError> {
        let source = self.source(None);
        let path = self.shared.with(|state| state.direct(source, endpoint));
        let full = |()| StageError::WouldBlock { endpoint: endpoint.clone() };
        self.stage_on(Arc::new(path.map_err(full)?), message, now)
    }

    /// Waits until messages have left queues since somebody was refused, at most a second.
    ///
    /// Made before the attempt, it misses nothing:
    /// `let room = sender.room(); if let Err(WouldBlock { .. }) = sender.stage(..) { room.await }`.
    ///
    /// # Cancel safety
    /// It holds nothing.
    pub fn room(&self) -> impl Future<Output = ()> + Send + '_ {
        let released = self.shared.room.notified();
        async move {
            // Elapsed is as good as released: the caller tries again.
            let _ = tokio::time::timeout(ROOM_WAIT_MAX, released).await;
        }
    }
}

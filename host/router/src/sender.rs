//! Sending: checks a message, finds its endpoints, and takes its places before it is committed.
//!
//! Owns the handle that a module's instance sends with, and with it the sender's identity: what the host says
//! of a message is written here, whatever the guest put there. The runtime's host calls come here.

mod place;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value};
use tokio::time::Instant;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::{Message, MessageError, MessageSource, OutputName, SystemProperty};

use crate::endpoint::Endpoint;
use crate::junction::Origin;
use crate::ledger::SenderId;
use crate::limits::{
    PROPERTY_OVERHEAD_BYTES, RECORD_PROPERTY_OVERHEAD_BYTES, charge_bytes, stored_bytes,
};
use crate::receipt::Receipt;
use crate::router::Shared;
use crate::state::{Held, Reserved, State};
use crate::table::Path;
use place::Place;

/// Longest wait for room. An expired message makes room without anybody noticing before the next attempt.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(1);

/// How many system properties the host adds.
const HOST_PROPERTIES: usize = 4;

/// Type and schema of a message that tells of a change of a twin (IoT Edge, twin change notifications).
const TWIN_CHANGE: &str = "twinChangeNotification";

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
    path: Arc<Path>,
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
        Sender {
            shared,
            id,
            _mark: mark,
            module,
        }
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
        let prepared = self.prepare(message, output.as_ref(), now)?;
        let place = self.place(Origin::Output(output.as_ref()), &prepared)?;
        Ok(self.fill(place, prepared))
    }

    /// Sends the notification that the module's reported properties were changed by this patch to every endpoint
    /// that the routes give for twin change notifications.
    ///
    /// The message is one of `$edgeHub` and holds the patch; who reported is in `rpSenderDeviceId` and
    /// `rpSenderModuleId` (IoT Edge, twin change notifications). It counts as held by the reporting module.
    /// Where there is no room it is dropped, and counted: the change itself was made.
    pub fn notify_twin_change(&self, patch: &Map<String, Value>, now: Instant) {
        let origin = Origin::TwinChange;
        if self.junction(origin).is_dead_end() {
            return;
        }
        let prepared = self.prepare_twin_change(patch, now);
        // Refused, it was counted.
        if let Ok(place) = self.place(origin, &prepared) {
            let staged = vec![self.fill(place, prepared)];
            let committed = self.shared.commit(None, staged, false);
            debug_assert!(committed.is_ok(), "it was staged here");
        }
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
        let prepared = self.prepare(message, None, now)?;
        let place = self.shared.with(|state| {
            let path = state.direct(self.source(Origin::Output(None)), endpoint);
            let full = |()| StageError::WouldBlock {
                endpoint: endpoint.clone(),
            };
            self.reserve(state, Arc::new(path.map_err(full)?), &prepared)
        })?;
        Ok(self.fill(place, prepared))
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
            let _ = wasm_edge_clock::timeout(ROOM_WAIT_MAX, released).await;
        }
    }
}

impl Staged {
    /// At how many endpoints it has a place; 0 when no route takes it.
    pub fn endpoints(&self) -> usize {
        self.path.targets.len() - self.held.as_ref().map_or(0, |held| held.dropped.len())
    }

    /// Tells what becomes of the message, once it is committed; of one with several endpoints, at the first.
    /// Given up or without a route, it counts as removed.
    pub fn receipt(&mut self) -> Receipt {
        let (tell, receipt) = Receipt::new();
        if let Some(held) = &mut self.held {
            held.receipt = Some(tell);
        }
        receipt
    }

    pub(crate) fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.shared, shared)
    }

    pub(crate) fn enter(&mut self, state: &mut State) {
        if let Some(held) = self.held.take() {
            state.enter(&self.path, held);
        }
    }

    /// Wakes those who take from its endpoints.
    pub(crate) fn wake(&self) {
        for target in &self.path.targets {
            target.notify.notify_one();
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.shared.with(|state| state.cancel(&self.path, &held));
        }
    }
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged")
            .field("endpoints", &self.endpoints())
            .finish_non_exhaustive()
    }
}

/// A message without what is only known once it has its places, checked.
struct Prepared {
    message: Message,
    kind: Kind,
    /// What it is charged in memory.
    charge_bytes: usize,
    /// What it is charged in the store.
    stored_bytes: usize,
    now: Instant,
    unix_millis: i64,
}

/// What a message is, for what the host says of it and for the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The module sent it.
    Sent,
    /// It tells of a change of the module's reported properties.
    TwinChange,
}

impl Sender {
    /// Takes away what only the host may say, checks the rest, and finds what it is charged.
    fn prepare(
        &self,
        mut message: Message,
        output: Option<&OutputName>,
        now: Instant,
    ) -> Result<Prepared, StageError> {
        message.system.remove_set_by_host();
        let checked = message.check().map_err(|err| match err {
            MessageError::TooLarge {
                size_bytes,
                limit_bytes,
            } => StageError::TooLarge {
                size_bytes,
                limit_bytes,
            },
            other => StageError::Invalid(other),
        });
        if let Err(err) = checked {
            self.shared
                .with(|state| state.ledger.senders[self.id].counters.invalid += 1);
            return Err(err);
        }
        let output_bytes = output.map_or(0, |output| output.as_str().len());
        Ok(self.charged(message, Kind::Sent, output_bytes, now))
    }

    fn prepare_twin_change(&self, patch: &Map<String, Value>, now: Instant) -> Prepared {
        let mut message = Message {
            // A map of JSON values becomes text whatever it holds.
            body: serde_json::to_vec(patch).unwrap_or_default().into(),
            ..Message::default()
        };
        let device = self.shared.device.as_str();
        for (property, value) in [
            (SystemProperty::ContentType, "application/json"),
            (SystemProperty::ContentEncoding, "utf-8"),
            (SystemProperty::MessageType, TWIN_CHANGE),
            (SystemProperty::MessageSchema, TWIN_CHANGE),
            (SystemProperty::RpSenderDeviceId, device),
            (SystemProperty::RpSenderModuleId, self.module.as_str()),
            (SystemProperty::ConnectionDeviceId, device),
            (
                SystemProperty::ConnectionModuleId,
                ModuleId::edge_hub().as_str(),
            ),
        ] {
            message.system.set(property, value);
        }
        self.charged(message, Kind::TwinChange, 0, now)
    }

    fn charged(&self, message: Message, kind: Kind, output_bytes: usize, now: Instant) -> Prepared {
        let host_bytes =
            self.shared.device.as_str().len() + self.module.as_str().len() + output_bytes;
        Prepared {
            charge_bytes: charge_bytes(&message)
                + HOST_PROPERTIES * PROPERTY_OVERHEAD_BYTES
                + host_bytes,
            stored_bytes: stored_bytes(&message)
                + HOST_PROPERTIES * RECORD_PROPERTY_OVERHEAD_BYTES
                + host_bytes,
            message,
            kind,
            now,
            unix_millis: unix_millis(),
        }
    }

    /// Writes what the host says of the message and puts it where its places are.
    fn fill(&self, place: Place, prepared: Prepared) -> Staged {
        let Prepared {
            mut message,
            kind,
            now,
            ..
        } = prepared;
        let Place {
            path,
            reserved: Reserved { holding, dropped },
            enqueued_time,
        } = place;
        let routed = dropped.len() < path.targets.len();
        let message = routed.then(|| {
            let system = &mut message.system;
            if kind == Kind::Sent {
                let device = self.shared.device.as_str();
                system.set(SystemProperty::ConnectionDeviceId, device);
                system.set(SystemProperty::ConnectionModuleId, self.module.as_str());
            }
            if let MessageSource::Module {
                output: Some(output),
                ..
            } = &*path.source
            {
                system.set(SystemProperty::OutputName, output.as_str());
            }
            system.set(SystemProperty::EnqueuedTime, enqueued_time);
            Arc::new(message)
        });
        let held = Some(Held {
            holding,
            dropped,
            message,
            taken_at: now,
            receipt: None,
        });
        Staged {
            shared: Arc::clone(&self.shared),
            path,
            held,
        }
    }
}

/// The wall clock; before 1970 it is not set and counts as 1970.
fn unix_millis() -> i64 {
    let since = wasm_edge_clock::wall_now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

//! A session: a connected device or module at the hub.
//!
//! Owns what a connected identity may do (read its twin, report, send) and
//! what it hears (desired changes, methods, the end). Leaves waiting for a
//! network to the faces; the embedding process uses it as it is. The way of
//! a module of the device to its hub.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::sync::mpsc;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::message::{Message, MessageError, SystemProperty};
use wasm_edge_model::twin::{TwinError, diff};

use crate::error::HubError;
use crate::hub::Hub;
use crate::method::MethodRequest;
use crate::record::Record;
use crate::store::{Change, ChangeFeed, DocumentKey};

pub(crate) mod connections;

use connections::Connection;

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CloseReason {
    /// Another session of the same identity began: the newer wins.
    #[error("another session of the same identity began")]
    Replaced,
    /// The identity was deleted.
    #[error("the identity was deleted")]
    IdentityDeleted,
    /// The device was disabled.
    #[error("the device was disabled")]
    IdentityDisabled,
    /// The session's events are not read any more.
    #[error("the session was given up")]
    Abandoned,
    /// The hub could not read what changed; connecting again starts afresh.
    #[error("the hub failed")]
    HubFailed,
    /// The hub is closed.
    #[error("the hub is closed")]
    HubClosed,
}

/// Why a session did not do what it was asked.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The session is over.
    #[error("the session is over")]
    Closed(#[source] CloseReason),
    /// The reported properties cannot be so; nothing changed.
    #[error("the reported properties cannot be so")]
    Twin(#[source] TwinError),
    /// The message cannot be so; it was not sent.
    #[error("the message cannot be sent")]
    Message(#[source] MessageError),
    /// The hub failed; trying again may help.
    #[error("the hub failed")]
    Hub(#[source] HubError),
}

/// The twin as its device or module sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionTwin {
    /// What the service wants.
    pub desired: Map<String, Value>,
    /// The version of `desired`.
    pub desired_version: u64,
    /// What was reported.
    pub reported: Map<String, Value>,
    /// The version of `reported`.
    pub reported_version: u64,
}

/// What happens to a session.
#[derive(Debug)]
pub enum SessionEvent {
    /// The desired properties changed.
    Desired(DesiredChange),
    /// A direct method is called.
    Method(MethodRequest),
    /// The session is over; the same comes again if asked again.
    Closed(CloseReason),
}

/// A change of the desired properties.
///
/// Several changes may come as one, and nothing is ever left out: the patch
/// leads from `previous_version` to `version`. Who has another version than
/// `previous_version` reads the twin; who has `version` or a newer one passes
/// the change over.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredChange {
    /// A merge patch; null deletes a key. Empty when properties were set to what they were.
    pub patch: Map<String, Value>,
    /// The version that the patch starts from.
    pub previous_version: u64,
    /// The version that it leads to.
    pub version: u64,
}

/// What a connected device or module does; clones share the session.
#[derive(Clone)]
pub struct Session(Arc<Shared>);

struct Shared {
    hub: Hub,
    generation_id: String,
    connection: Arc<Connection>,
    /// The desired properties that the session was told last. Written by whoever reads the twin
    /// and by the events; short sections only.
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    desired: Map<String, Value>,
    version: u64,
}

/// What a connected device or module hears. The session lasts as long as this value.
pub struct SessionEvents {
    session: Session,
    feed: ChangeFeed,
    methods: mpsc::Receiver<MethodRequest>,
    /// Whether the documents may have changed since they were compared.
    stale: bool,
}

impl Hub {
    /// Connects a device or module; an older session of the same identity ends.
    ///
    /// The desired properties of this moment are not told as a change: read
    /// the twin first.
    ///
    /// # Errors
    /// [`HubError::NotFound`], [`HubError::Disabled`], [`HubError::Closed`],
    /// [`HubError::Store`] and its kin.
    pub async fn connect(&self, owner: &TwinOwner) -> Result<(Session, SessionEvents), HubError> {
        // Listening before reading, so that no change falls in between.
        let feed = self.changes(owner.device());
        let found = self.load_enabled(owner).await?;
        let (connection, methods) = self.connections().open(owner, self.now());
        // After opening: a hub that closes meanwhile either shows here or finds the connection.
        if self.closing().is_cancelled() {
            self.connections()
                .end(&connection, CloseReason::HubClosed, self.now());
            return Err(HubError::Closed);
        }
        let shared = Shared {
            hub: self.clone(),
            generation_id: found.record.identity.generation_id.clone(),
            connection,
            told: Mutex::new(Told::of(&found.record)),
        };
        let session = Session(Arc::new(shared));
        let events = SessionEvents {
            session: session.clone(),
            feed,
            methods,
            stale: true,
        };
        Ok((session, events))
    }
}

impl Session {
    /// Whose session it is.
    pub fn owner(&self) -> &TwinOwner {
        self.0.connection.owner()
    }

    /// Differs from that of any earlier identity of the same id.
    pub fn generation_id(&self) -> &str {
        &self.0.generation_id
    }

    /// Why the session is over, if it is.
    pub fn closed(&self) -> Option<CloseReason> {
        self.0.connection.closed()
    }

    /// Reads the twin; later changes of desired properties are told from this version on.
    ///
    /// # Errors
    /// [`SessionError::Closed`], [`SessionError::Hub`].
    pub async fn twin(&self) -> Result<SessionTwin, SessionError> {
        self.begin()?;
        let record = self.record().await?;
        *self.told() = Told::of(&record);
        Ok(SessionTwin {
            desired: record.twin.desired.properties().clone(),
            desired_version: record.twin.desired.version(),
            reported: record.twin.reported.properties().clone(),
            reported_version: record.twin.reported.version(),
        })
    }

    /// Merges a patch into the reported properties; answers their new version once it is on disk.
    ///
    /// # Errors
    /// [`SessionError::Closed`], [`SessionError::Twin`], [`SessionError::Hub`].
    pub async fn report(&self, patch: &Map<String, Value>) -> Result<u64, SessionError> {
        self.begin()?;
        let reported = self
            .0
            .hub
            .report(self.owner(), &self.0.generation_id, patch)
            .await;
        reported.map_err(|err| self.failed(err))
    }

    /// Sends telemetry; done when the hub has it on disk, and as long as it cannot be written, not done.
    ///
    /// Several may be under way at once: the hub takes them in the order in which they were first
    /// polled. One that is dropped may be taken or not.
    ///
    /// The output that a module sent it to is its system property
    /// `outputName`. Who sent it and when is set by the hub, whatever the
    /// message says.
    ///
    /// # Errors
    /// [`SessionError::Closed`], [`SessionError::Message`], [`SessionError::Hub`].
    pub async fn send(&self, mut message: Message) -> Result<(), SessionError> {
        self.begin()?;
        let hub = &self.0.hub;
        let enqueued = hub.now();
        stamp(&mut message, self.owner(), &enqueued.to_string());
        message.check().map_err(SessionError::Message)?;
        let source = self.owner().clone();
        let taken = hub.telemetry_log().append(source, enqueued, message);
        let written = taken.map_err(|err| self.failed(err))?;
        written.await.map_err(|_| self.failed(HubError::Closed))
    }

    /// Says whether direct methods may be called; at first they may not.
    pub fn accept_methods(&self, accepted: bool) {
        self.0
            .hub
            .connections()
            .accept_methods(&self.0.connection, accepted);
    }

    fn begin(&self) -> Result<(), SessionError> {
        match self.closed() {
            Some(reason) => Err(SessionError::Closed(reason)),
            None => {
                self.0.connection.seen(self.0.hub.now());
                Ok(())
            }
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record, as long as it is the one that the session began with.
    async fn record(&self) -> Result<Record, SessionError> {
        let found = self
            .0
            .hub
            .load_enabled(self.owner())
            .await
            .map_err(|err| self.failed(err))?;
        if found.record.identity.generation_id != self.0.generation_id {
            return Err(self.close(CloseReason::IdentityDeleted));
        }
        Ok(found.record)
    }

    /// Sorts a failure; some of them say that the session is over.
    fn failed(&self, err: HubError) -> SessionError {
        match err {
            HubError::NotFound { .. } => self.close(CloseReason::IdentityDeleted),
            HubError::Disabled { .. } => self.close(CloseReason::IdentityDisabled),
            HubError::Twin { source, .. } => SessionError::Twin(source),
            err => SessionError::Hub(err),
        }
    }

    fn close(&self, reason: CloseReason) -> SessionError {
        self.0
            .hub
            .connections()
            .end(&self.0.connection, reason, self.0.hub.now());
        SessionError::Closed(self.closed().unwrap_or(reason))
    }
}

impl SessionEvents {
    /// The next event.
    ///
    /// # Cancel safety
    /// No event is lost when the future is dropped.
    pub async fn next(&mut self) -> SessionEvent {
        let connection = Arc::clone(&self.session.0.connection);
        loop {
            if let Some(reason) = connection.closed() {
                return SessionEvent::Closed(reason);
            }
            if self.stale {
                if let Some(change) = self.compare().await {
                    return SessionEvent::Desired(change);
                }
                continue;
            }
            tokio::select! {
                biased;
                () = connection.ended() => {}
                // One whose caller has given up is too late to be begun.
                Some(request) = self.methods.recv() => if !request.is_given_up() {
                    return SessionEvent::Method(request);
                },
                change = self.feed.next() => self.note(change),
            }
        }
    }

    fn note(&mut self, change: Option<Change>) {
        let owner = self.session.owner();
        let device = TwinOwner::Device(owner.device().clone());
        match change {
            // The device's document tells whether it is enabled, or there at all.
            Some(Change::Document(key)) => {
                self.stale |= key == DocumentKey::of(owner) || key == DocumentKey::of(&device);
            }
            Some(Change::Missed) => self.stale = true,
            None => {
                self.session.close(CloseReason::HubClosed);
            }
        }
    }

    /// Compares the desired properties with those that the session was told.
    async fn compare(&mut self) -> Option<DesiredChange> {
        let session = self.session.clone();
        // Only then: a dropped future must leave the mark.
        let compared = session.record().await;
        self.stale = false;
        let record = match compared {
            Ok(record) => record,
            Err(SessionError::Closed(_)) => return None,
            Err(err) => {
                tracing::warn!(owner = %session.owner(), ?err, "a session ended: its twin cannot be read");
                session.close(CloseReason::HubFailed);
                return None;
            }
        };
        let mut told = session.told();
        let desired = &record.twin.desired;
        // An older one was read before the session itself read a newer.
        if desired.version() <= told.version {
            return None;
        }
        let change = DesiredChange {
            patch: diff(&told.desired, desired.properties()),
            previous_version: told.version,
            version: desired.version(),
        };
        *told = Told::of(&record);
        Some(change)
    }
}

impl Drop for SessionEvents {
    fn drop(&mut self) {
        self.session.close(CloseReason::Abandoned);
    }
}

impl Told {
    fn of(record: &Record) -> Self {
        let desired = &record.twin.desired;
        Self {
            desired: desired.properties().clone(),
            version: desired.version(),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("owner", self.owner())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionEvents")
            .field("owner", self.session.owner())
            .finish_non_exhaustive()
    }
}

/// Notes who sent the message and when; what it says of that itself is dropped.
fn stamp(message: &mut Message, owner: &TwinOwner, enqueued: &str) {
    let output = message
        .system
        .get(SystemProperty::OutputName)
        .map(str::to_owned);
    message.system.remove_set_by_host();
    message
        .system
        .set(SystemProperty::ConnectionDeviceId, owner.device().as_str());
    if let Some(module) = owner.module() {
        message
            .system
            .set(SystemProperty::ConnectionModuleId, module.as_str());
        if let Some(output) = output {
            message.system.set(SystemProperty::OutputName, output);
        }
    }
    message.system.set(SystemProperty::EnqueuedTime, enqueued);
}

#[cfg(test)]
mod tests;

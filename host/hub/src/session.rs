//! A session: a connected device or module at the hub.
//!
//! Owns what a connected identity may do (read its twin, report, send) and
//! what it hears (desired changes, methods, the end). Leaves waiting for a
//! network to the faces; the embedding process uses it as it is. The way of
//! a module of the device to its hub.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::message::{Message, MessageError, SystemProperty};
use wasm_edge_model::twin::TwinError;

use crate::error::HubError;
use crate::hub::Hub;
use crate::method::MethodRequest;
use crate::record::Record;
use crate::store::{Change, ChangeFeed, DocumentKey};

pub(crate) mod connections;
pub(crate) mod desired;

use connections::Connection;
pub use desired::DesiredChange;
use desired::Told;

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
    /// There may be messages to the device: whoever delivers them looks.
    Commands,
    /// The session is over; the same comes again if asked again.
    Closed(CloseReason),
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

/// Says when a message is on disk.
pub(crate) struct Receipt(oneshot::Receiver<()>);

/// The hub closed before the message was on disk.
#[derive(Debug)]
pub(crate) struct Lost;

/// A message that was not taken.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: SessionError,
    #[expect(dead_code, reason = "for faces that send it again")]
    pub(crate) message: Message,
}

impl Future for Receipt {
    type Output = Result<(), Lost>;

    fn poll(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(ctx).map_err(|_| Lost)
    }
}

/// What a connected device or module hears. The session lasts as long as this value.
pub struct SessionEvents {
    session: Session,
    feed: ChangeFeed,
    methods: mpsc::Receiver<MethodRequest>,
    /// Whether the documents may have changed since they were read.
    stale: bool,
    /// Reads them. Kept here, so that who drops a wait and begins another does not begin to read again.
    reading: Option<BoxFuture<'static, Result<Record, SessionError>>>,
    /// Whether there may be messages to the device that nobody was told of.
    commands: bool,
    /// What is to be told next.
    changes: VecDeque<DesiredChange>,
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
            reading: None,
            commands: owner.module().is_none(),
            changes: VecDeque::new(),
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
    pub async fn send(&self, message: Message) -> Result<(), SessionError> {
        let receipt = self.begin_send(message).map_err(|refused| refused.error)?;
        receipt.await.map_err(|Lost| self.failed(HubError::Closed))
    }

    /// As [`Session::send`], in two steps: the hub takes messages in the order of these calls, and
    /// the receipt says when one is on disk. A message that the hub has no room for comes back.
    pub(crate) fn begin_send(&self, mut message: Message) -> Result<Receipt, Box<Refused>> {
        let refused = |error, message| Box::new(Refused { error, message });
        if let Err(error) = self.begin() {
            return Err(refused(error, message));
        }
        let hub = &self.0.hub;
        let enqueued = hub.now();
        stamp(&mut message, self.owner(), &enqueued.to_string());
        if let Err(error) = message.check() {
            return Err(refused(SessionError::Message(error), message));
        }
        let source = self.owner().clone();
        let taken = hub.telemetry_log().append(source, enqueued, message);
        match taken {
            Ok(written) => Ok(Receipt(written)),
            Err(refusal) => Err(refused(self.failed(refusal.error), refusal.message)),
        }
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
            if let Some(change) = self.changes.pop_front() {
                return SessionEvent::Desired(change);
            }
            if self.stale && self.reading.is_none() {
                self.stale = false;
                let session = self.session.clone();
                self.reading = Some(Box::pin(async move { session.record().await }));
            }
            if let Some(reading) = &mut self.reading {
                tokio::select! {
                    biased;
                    () = connection.ended() => {}
                    read = reading => {
                        self.reading = None;
                        self.compare(read);
                    }
                }
                continue;
            }
            if std::mem::take(&mut self.commands) {
                return SessionEvent::Commands;
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
        let is_device = owner.module().is_none();
        match change {
            // The device's document tells whether it is enabled, or there at all.
            Some(Change::Document(key)) => {
                self.stale |= key == DocumentKey::of(owner) || key == DocumentKey::of(&device);
                self.commands |= is_device && key.is_command_queue();
            }
            Some(Change::Missed) => {
                self.stale = true;
                self.commands = is_device;
            }
            None => {
                self.session.close(CloseReason::HubClosed);
            }
        }
    }

    /// Compares the desired properties with those that the session was told.
    fn compare(&mut self, read: Result<Record, SessionError>) {
        let session = &self.session;
        match read {
            Ok(record) => {
                let recent = session.0.connection.recent();
                self.changes.extend(session.told().tell(&record, recent));
            }
            Err(SessionError::Closed(_)) => {}
            Err(err) => {
                tracing::warn!(owner = %session.owner(), ?err, "a session ended: its twin cannot be read");
                session.close(CloseReason::HubFailed);
            }
        }
    }
}

impl Drop for SessionEvents {
    fn drop(&mut self) {
        self.session.close(CloseReason::Abandoned);
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

//! A session: a connected device or module at the hub.
//!
//! Owns what a connected identity may do (read its twin, report, send) and
//! what it hears (desired changes, methods, the end). Leaves waiting for a
//! network to the faces; the embedding process uses it as it is. The way of
//! a module of the device to its hub.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::sync::mpsc;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::message::MessageError;
use wasm_edge_model::twin::TwinError;

use crate::access::Pass;
use crate::error::HubError;
use crate::hub::Hub;
use crate::hub::documents::Found;
use crate::method::MethodRequest;
use crate::record::Record;
use crate::store::{Change, ChangeFeed, DocumentKey};

pub(crate) mod connections;
pub(crate) mod desired;
pub(crate) mod sending;

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
    /// What let it in is good no more: another key, another certificate.
    #[error("its credentials were revoked")]
    AccessRevoked,
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

impl SessionTwin {
    fn of(record: &Record) -> Self {
        let (desired, reported) = (&record.twin.desired, &record.twin.reported);
        Self {
            desired: desired.properties().clone(),
            desired_version: desired.version(),
            reported: reported.properties().clone(),
            reported_version: reported.version(),
        }
    }
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
    admission: Option<Admission>,
}

/// What let in a session that came over a network.
struct Admission {
    pass: Pass,
    /// The identities for which the pass was found good last. Written and read by the events only.
    checked: Mutex<Option<Etags>>,
}

/// Tells changes of an identity, and of its device, apart from those of their twins.
type Etags = (u64, u64);

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
        self.open_session(owner, None).await
    }

    /// As [`Hub::connect`], for somebody who came over a network: the session ends when what let him
    /// in is good no more, apart from its expiry.
    pub(crate) async fn connect_admitted(
        &self,
        pass: Pass,
    ) -> Result<(Session, SessionEvents), HubError> {
        let owner = pass.owner.clone();
        self.open_session(&owner, Some(pass)).await
    }

    async fn open_session(
        &self,
        owner: &TwinOwner,
        pass: Option<Pass>,
    ) -> Result<(Session, SessionEvents), HubError> {
        // Listening before reading, so that no change falls in between.
        let feed = self.changes(owner.device());
        let found = self.load_enabled(owner).await?;
        let generation_id = &found.record.identity.generation_id;
        if pass
            .as_ref()
            .is_some_and(|pass| pass.generation_id != *generation_id)
        {
            return Err(HubError::NotFound {
                owner: owner.clone(),
            });
        }
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
            // Checked once more when the events begin: something may have changed since.
            admission: pass.map(|pass| Admission {
                pass,
                checked: Mutex::new(None),
            }),
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

    /// Waits until the session is over.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn ended(&self) {
        self.0.connection.ended().await;
    }

    /// Reads the twin; later changes of desired properties are told from this version on.
    ///
    /// # Errors
    /// [`SessionError::Closed`], [`SessionError::Hub`].
    pub async fn twin(&self) -> Result<SessionTwin, SessionError> {
        self.begin()?;
        let record = self.record().await?;
        *self.told() = Told::of(&record);
        Ok(SessionTwin::of(&record))
    }

    /// Reads the twin for somebody who is told of every change of desired properties all the same.
    pub(crate) async fn look(&self) -> Result<SessionTwin, SessionError> {
        self.begin()?;
        let record = self.record().await?;
        Ok(SessionTwin::of(&record))
    }

    /// Merges a patch into the reported properties; answers their new version once it is on disk.
    ///
    /// # Errors
    /// [`SessionError::Closed`], [`SessionError::Twin`], [`SessionError::Hub`].
    pub async fn report(&self, patch: &Map<String, Value>) -> Result<u64, SessionError> {
        self.report_on(patch, None).await
    }

    /// As [`Session::report`], if the reported properties have the expected version.
    pub(crate) async fn report_on(
        &self,
        patch: &Map<String, Value>,
        expected: Option<u64>,
    ) -> Result<u64, SessionError> {
        self.begin()?;
        let reporter = (self.owner(), &*self.0.generation_id);
        let reported = self.0.hub.report(reporter, patch, expected).await;
        reported.map_err(|err| self.failed(err))
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
        lock(&self.0.told)
    }

    /// The record, as long as it is the one that the session began with.
    async fn record(&self) -> Result<Record, SessionError> {
        self.found().await.map(|found| found.record)
    }

    async fn found(&self) -> Result<Found, SessionError> {
        let found = self.0.hub.load_enabled(self.owner()).await;
        let found = found.map_err(|err| self.failed(err))?;
        if found.record.identity.generation_id != self.0.generation_id {
            return Err(self.close(CloseReason::IdentityDeleted));
        }
        Ok(found)
    }

    /// The record after a change, as long as what let the session in is still good.
    async fn changed_record(&self) -> Result<Record, SessionError> {
        let found = self.found().await?;
        let Some(Admission { pass, checked }) = &self.0.admission else {
            return Ok(found.record);
        };
        let etags = (
            found.record.identity.etag_counter,
            found.device_etag_counter,
        );
        if *lock(checked) == Some(etags) {
            return Ok(found.record);
        }
        let admitted = self.0.hub.still_admitted(pass).await;
        if !admitted.map_err(|err| self.failed(err))? {
            // That it is gone or disabled is the better reason.
            self.found().await?;
            return Err(self.close(CloseReason::AccessRevoked));
        }
        *lock(checked) = Some(etags);
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
                self.reading = Some(Box::pin(async move { session.changed_record().await }));
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests;

//! Who is connected to this process.
//!
//! Owns the one session per identity, its end, and what was heard of
//! identities that are gone. Leaves what a session does to the session.
//! Other processes may hold other connections: nothing here is taken for all
//! there is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use wasm_edge_model::identity::{DeviceId, TwinOwner};
use wasm_edge_model::time::Timestamp;
use wasm_edge_model::twin::Applied;

use super::CloseReason;
use super::desired::{Announcement, ChangeKind, Recent};
use crate::identity::ConnectionView;
use crate::method::{CALLS_PER_TARGET_MAX, MethodRequest};

/// Of how many identities without a session the last activity is remembered.
const REMEMBERED_MAX: usize = 10_000;

/// All sessions of this process.
#[derive(Debug)]
pub(crate) struct Connections {
    /// Written when sessions begin and end, read for views and methods; short sections only.
    known: Mutex<HashMap<TwinOwner, Known>>,
    /// Says that something changed in `known`.
    changed: watch::Sender<()>,
}

#[derive(Debug)]
enum Known {
    Connected(Arc<Connection>),
    Gone {
        updated: Timestamp,
        last_activity: Timestamp,
    },
}

/// One session's place among the connections.
#[derive(Debug)]
pub(crate) struct Connection {
    owner: TwinOwner,
    since: Timestamp,
    /// Written by the session at each operation, read by views.
    last_activity_millis: AtomicI64,
    /// Written by the session, read by callers of methods.
    accepts_methods: AtomicBool,
    requests: mpsc::Sender<MethodRequest>,
    calls: Arc<Semaphore>,
    /// Changes of desired properties that this process made and the session was not told yet.
    recent: Recent,
    reason: OnceLock<CloseReason>,
    ended: CancellationToken,
}

/// Where to send a method.
pub(crate) struct MethodTarget {
    pub(crate) requests: mpsc::Sender<MethodRequest>,
    pub(crate) calls: Arc<Semaphore>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl Connection {
    pub(crate) fn owner(&self) -> &TwinOwner {
        &self.owner
    }

    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.reason.get().copied()
    }

    pub(crate) fn ended(&self) -> WaitForCancellationFuture<'_> {
        self.ended.cancelled()
    }

    pub(super) fn recent(&self) -> &Recent {
        &self.recent
    }

    pub(crate) fn seen(&self, now: Timestamp) {
        self.last_activity_millis
            .store(now.unix_millis(), Ordering::Relaxed);
    }

    fn last_activity(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.last_activity_millis.load(Ordering::Relaxed))
    }

    fn end(&self, reason: CloseReason) {
        // The first reason is the true one.
        let _ = self.reason.set(reason);
        self.ended.cancel();
    }
}

impl Connections {
    /// Begins a session; an older one of the same identity ends.
    pub(crate) fn open(
        &self,
        owner: &TwinOwner,
        now: Timestamp,
    ) -> (Arc<Connection>, mpsc::Receiver<MethodRequest>) {
        // As long as the calls that may be under way, so that it is never full.
        let (requests, received) = mpsc::channel(CALLS_PER_TARGET_MAX);
        let connection = Arc::new(Connection {
            owner: owner.clone(),
            since: now,
            last_activity_millis: AtomicI64::new(now.unix_millis()),
            accepts_methods: AtomicBool::new(false),
            requests,
            calls: Arc::new(Semaphore::new(CALLS_PER_TARGET_MAX)),
            recent: Recent::default(),
            reason: OnceLock::new(),
            ended: CancellationToken::new(),
        });
        let new = Known::Connected(Arc::clone(&connection));
        if let Some(Known::Connected(older)) = self.known().insert(owner.clone(), new) {
            older.end(CloseReason::Replaced);
        }
        self.changed.send_replace(());
        (connection, received)
    }

    /// Ends this very session, if it is not over.
    pub(crate) fn end(&self, connection: &Arc<Connection>, reason: CloseReason, now: Timestamp) {
        connection.end(reason);
        let mut known = self.known();
        let present = known.get(connection.owner());
        if !matches!(present, Some(Known::Connected(other)) if Arc::ptr_eq(other, connection)) {
            return;
        }
        known.remove(connection.owner());
        if known.len() < REMEMBERED_MAX && reason != CloseReason::IdentityDeleted {
            let gone = Known::Gone {
                updated: now,
                last_activity: connection.last_activity(),
            };
            known.insert(connection.owner().clone(), gone);
        }
        drop(known);
        self.changed.send_replace(());
    }

    /// Ends the session of an identity, if it has one; it leaves when it notices.
    pub(crate) fn close(&self, owner: &TwinOwner, reason: CloseReason) {
        self.close_where(reason, |other| other == owner);
    }

    /// Ends the sessions of a device and its modules.
    pub(crate) fn close_device(&self, device: &DeviceId, reason: CloseReason) {
        self.close_where(reason, |other| other.device() == device);
    }

    /// Ends all sessions.
    pub(crate) fn close_all(&self) {
        self.close_where(CloseReason::HubClosed, |_| true);
    }

    pub(crate) fn accept_methods(&self, connection: &Connection, accepted: bool) {
        connection
            .accepts_methods
            .store(accepted, Ordering::Relaxed);
        self.changed.send_replace(());
    }

    /// Where the methods of an identity go, if it takes any now.
    pub(crate) fn method_target(&self, owner: &TwinOwner) -> Option<MethodTarget> {
        match self.known().get(owner) {
            Some(Known::Connected(connection))
                if connection.accepts_methods.load(Ordering::Relaxed)
                    && connection.closed().is_none() =>
            {
                let (requests, calls) =
                    (connection.requests.clone(), Arc::clone(&connection.calls));
                Some(MethodTarget { requests, calls })
            }
            _ => None,
        }
    }

    /// Tells the session of an identity, if it has one, how its desired properties are about to be
    /// changed.
    pub(crate) fn announce(
        &self,
        owner: &TwinOwner,
        applied: Applied,
        kind: ChangeKind,
    ) -> Option<Announcement> {
        let connection = match self.known().get(owner) {
            Some(Known::Connected(connection)) => Arc::clone(connection),
            _ => return None,
        };
        Announcement::new(connection, applied, kind)
    }

    /// Tells of every change of what the other functions answer.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// How many devices have a session.
    pub(crate) fn connected_devices(&self) -> usize {
        let known = self.known();
        let connected = known.iter().filter(|(owner, known)| {
            owner.module().is_none()
                && matches!(known, Known::Connected(connection) if connection.closed().is_none())
        });
        connected.count()
    }

    pub(crate) fn view(&self, owner: &TwinOwner) -> ConnectionView {
        match self.known().get(owner) {
            Some(Known::Connected(connection)) => ConnectionView {
                connected: connection.closed().is_none(),
                updated: connection.since,
                last_activity: connection.last_activity(),
                commands: 0,
            },
            Some(Known::Gone {
                updated,
                last_activity,
            }) => ConnectionView {
                connected: false,
                updated: *updated,
                last_activity: *last_activity,
                commands: 0,
            },
            None => ConnectionView::NEVER,
        }
    }

    fn close_where(&self, reason: CloseReason, chosen: impl Fn(&TwinOwner) -> bool) {
        let mut known = self.known();
        known.retain(|owner, known| {
            if !chosen(owner) {
                return true;
            }
            if let Known::Connected(connection) = known {
                connection.end(reason);
            }
            // A deleted identity leaves nothing behind; others leave when they notice the end.
            reason != CloseReason::IdentityDeleted
        });
        drop(known);
        self.changed.send_replace(());
    }

    fn known(&self) -> MutexGuard<'_, HashMap<TwinOwner, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

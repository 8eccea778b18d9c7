//! The open sessions of a device's modules: who may send over which.
//!
//! Written by each module's twin task as its session opens and ends, read by the pump.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::time::Timestamp;

use crate::clock;
use crate::upstream::SessionCalls;

/// The open sessions; clones share them.
#[derive(Clone)]
pub struct Sessions {
    inner: Arc<Inner>,
}

struct Inner {
    /// How each identity has fared; there are as many as there were modules since the start.
    fared: Mutex<BTreeMap<ModuleId, SessionView>>,
    open: Mutex<HashMap<ModuleId, OpenSession>>,
    /// How many were opened; each is known by this number.
    opened: watch::Sender<u64>,
    /// Modules whose identity was found to be another one than they run under. Written by their twin tasks, taken by
    /// the agent.
    replaced: watch::Sender<BTreeSet<ModuleId>>,
}

/// A session that is open, as far as is known.
#[derive(Clone)]
pub(super) struct OpenSession {
    pub(super) calls: Arc<dyn SessionCalls>,
    /// Another one for each session.
    pub(super) number: u64,
}

/// How the sessions of an identity have fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionView {
    /// How many were opened.
    pub opened: u64,
    /// Since when the present one is open.
    open_since: Option<(Instant, Timestamp)>,
}

impl SessionView {
    /// How long the session has been open, if there is one.
    pub(crate) fn connected_for(&self, now: Instant) -> Option<Duration> {
        let (since, _) = self.open_since?;
        Some(now.saturating_duration_since(since))
    }

    /// The form of the management API.
    pub(crate) fn to_json(self) -> Value {
        json!({
            "connected": self.open_since.is_some(),
            "connectedTime": self.open_since.map(|(_, time)| time),
            "opened": self.opened,
            "reconnects": self.opened.saturating_sub(1),
        })
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                fared: Mutex::default(),
                open: Mutex::default(),
                opened: watch::Sender::new(0),
                replaced: watch::Sender::default(),
            }),
        }
    }
}

impl Sessions {
    pub(crate) fn opened(&self, module: &ModuleId, calls: Arc<dyn SessionCalls>) {
        self.inner.opened.send_modify(|opened| {
            *opened += 1;
            let number = *opened;
            let session = OpenSession { calls, number };
            self.lock().insert(module.clone(), session);
            let mut fared = self.fared();
            let fared = fared.entry(module.clone()).or_default();
            fared.opened += 1;
            fared.open_since = Some((wasm_edge_clock::now(), clock::now()));
        });
    }

    pub(crate) fn ended(&self, module: &ModuleId) {
        self.lock().remove(module);
        if let Some(fared) = self.fared().get_mut(module) {
            fared.open_since = None;
        }
    }

    /// How the sessions of all identities that had one have fared since the start.
    pub(crate) fn all(&self) -> Vec<(ModuleId, SessionView)> {
        let fared = self.fared();
        fared
            .iter()
            .map(|(module, view)| (module.clone(), *view))
            .collect()
    }

    /// How those of one identity have fared.
    pub(crate) fn of(&self, module: &ModuleId) -> SessionView {
        self.fared().get(module).copied().unwrap_or_default()
    }

    /// The identity of a module is another one than it runs under.
    pub(crate) fn identity_replaced(&self, module: &ModuleId) {
        self.inner
            .replaced
            .send_if_modified(|replaced| replaced.insert(module.clone()));
    }

    /// The modules whose identity is another one than they run under.
    pub(crate) fn replaced(&self) -> watch::Receiver<BTreeSet<ModuleId>> {
        self.inner.replaced.subscribe()
    }

    /// A module runs under its present identity again.
    pub(crate) fn identity_taken(&self, module: &ModuleId) {
        self.inner.replaced.send_if_modified(|replaced| {
            replaced.remove(module);
            false
        });
    }

    /// Whether no session is open that takes messages.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(super) fn find(&self, module: &ModuleId) -> Option<OpenSession> {
        self.lock().get(module).cloned()
    }

    /// Tells when another one was opened.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.inner.opened.subscribe()
    }

    fn fared(&self) -> MutexGuard<'_, BTreeMap<ModuleId, SessionView>> {
        self.inner
            .fared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ModuleId, OpenSession>> {
        self.inner
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

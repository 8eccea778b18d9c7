//! The open sessions of a device's modules: who may send over which.
//!
//! Written by each module's twin task as its session opens and ends, read by the pump.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use wasm_edge_model::identity::ModuleId;

use crate::upstream::SessionCalls;

/// The open sessions; clones share them.
#[derive(Clone)]
pub struct Sessions {
    inner: Arc<Inner>,
}

struct Inner {
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

impl Default for Sessions {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
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
        });
    }

    pub(crate) fn ended(&self, module: &ModuleId) {
        self.lock().remove(module);
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

    fn lock(&self) -> MutexGuard<'_, HashMap<ModuleId, OpenSession>> {
        self.inner
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

//! Moves the messages that wait for upstream, each under its sender's identity, in order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_router::inbox::{Delivery, Inbox};

use super::{SessionCalls, UpstreamError};

/// How long a message waits whose sender's session is not open.
const NO_SESSION_WAIT: Duration = Duration::from_secs(2);

/// The open sessions of this device's modules.
///
/// Written by each module's twin task as its session opens and ends, read by the pump.
#[derive(Clone, Default)]
pub struct Sessions {
    inner: Arc<SessionsInner>,
}

#[derive(Default)]
struct SessionsInner {
    known: Mutex<HashMap<ModuleId, Known>>,
    changed: Notify,
}

/// What is known of a module's session; nothing is while it is being opened.
#[derive(Clone)]
enum Known {
    Open(Arc<dyn SessionCalls>),
    /// The hub does not take the identity, for this reason.
    Refused(String),
}

impl Sessions {
    pub(crate) fn opened(&self, module: &ModuleId, calls: Arc<dyn SessionCalls>) {
        self.lock().insert(module.clone(), Known::Open(calls));
        self.inner.changed.notify_waiters();
    }

    pub(crate) fn refused(&self, module: &ModuleId, cause: String) {
        self.lock().insert(module.clone(), Known::Refused(cause));
        self.inner.changed.notify_waiters();
    }

    pub(crate) fn ended(&self, module: &ModuleId) {
        self.lock().remove(module);
    }

    fn find(&self, module: &ModuleId) -> Option<Known> {
        self.lock().get(module).cloned()
    }

    /// The session of a module, waited for a little.
    async fn wait(&self, module: &ModuleId) -> Option<Known> {
        let changed = self.inner.changed.notified();
        if let Some(known) = self.find(module) {
            return Some(known);
        }
        let _ = wasm_edge_clock::timeout(NO_SESSION_WAIT, changed).await;
        self.find(module)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ModuleId, Known>> {
        self.inner
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what waits for upstream until it is told to stop.
pub async fn run(inbox: Inbox, sessions: Sessions, stop: CancellationToken) {
    loop {
        let delivery = tokio::select! {
            delivery = inbox.next() => delivery,
            () = stop.cancelled() => return,
        };
        tokio::select! {
            () = send(delivery, &sessions) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn send(delivery: Delivery, sessions: &Sessions) {
    let module = delivery.source().sent_as();
    let calls = match sessions.wait(&module).await {
        Some(Known::Open(calls)) => calls,
        Some(Known::Refused(cause)) => {
            // Waiting would hold up the messages of all other modules behind it.
            tracing::warn!(%module, %cause, "a message for the hub was put aside");
            delivery.reject(&cause);
            return;
        }
        None => {
            delivery.retry(NO_SESSION_WAIT);
            return;
        }
    };
    match calls.send(Arc::clone(delivery.message())).await {
        Ok(()) => {
            if let Err(err) = delivery.complete(Vec::new()).await {
                tracing::error!(%err, "a message that the hub has could not be completed and goes out again");
            }
        }
        Err(err @ UpstreamError::Unreachable { .. }) => {
            tracing::debug!(%module, %err, "a message waits for the hub");
            delivery.retry(NO_SESSION_WAIT);
        }
        Err(err @ UpstreamError::Refused { .. }) => {
            tracing::warn!(%module, %err, "a message was put aside");
            delivery.reject(&err.to_string());
        }
    }
}

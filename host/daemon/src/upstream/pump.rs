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
    open: Mutex<HashMap<ModuleId, Arc<dyn SessionCalls>>>,
    opened: Notify,
}

impl Sessions {
    pub(crate) fn opened(&self, module: &ModuleId, calls: Arc<dyn SessionCalls>) {
        self.lock().insert(module.clone(), calls);
        self.inner.opened.notify_waiters();
    }

    pub(crate) fn ended(&self, module: &ModuleId) {
        self.lock().remove(module);
    }

    fn find(&self, module: &ModuleId) -> Option<Arc<dyn SessionCalls>> {
        self.lock().get(module).cloned()
    }

    /// The session of a module, waited for a little.
    async fn wait(&self, module: &ModuleId) -> Option<Arc<dyn SessionCalls>> {
        let opened = self.inner.opened.notified();
        if let Some(calls) = self.find(module) {
            return Some(calls);
        }
        let _ = tokio::time::timeout(NO_SESSION_WAIT, opened).await;
        self.find(module)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ModuleId, Arc<dyn SessionCalls>>> {
        self.inner
            .open
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
    let module = delivery.source().module().clone();
    let Some(calls) = sessions.wait(&module).await else {
        delivery.retry(NO_SESSION_WAIT);
        return;
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

//! A way to the hub that can be taken away and given back, as if a cable were pulled.
//!
//! Owns whether the device may reach its hub, and cuts the sessions that are
//! open when it may not. Leaves the way itself to what it stands before. The
//! management API closes and opens it; it is open when the device starts.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasm_edge_model::identity::ModuleIdentity;
use wasm_edge_model::message::Message;

use super::status::UpstreamStatus;
use super::{
    Credentials, Interest, Session, SessionCalls, SessionEvent, TwinDocument, Upstream,
    UpstreamError,
};

/// Events of one session that may wait behind the gate; more wait before it.
const EVENTS_MAX: usize = 1;

/// Opens and closes the way of one device to its hub; clones share it.
#[derive(Clone, Debug)]
pub struct Gate {
    /// What ends when the way is taken away, as long as there is one.
    line: Arc<watch::Sender<Option<CancellationToken>>>,
    /// Each session that is open has a task here, which ends with it.
    sessions: TaskTracker,
}

/// An upstream behind a gate.
pub(crate) struct GatedUpstream {
    upstream: Arc<dyn Upstream>,
    gate: Gate,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            line: Arc::new(watch::Sender::new(Some(CancellationToken::new()))),
            sessions: TaskTracker::new(),
        }
    }
}

impl Gate {
    /// Ends all sessions; attempts to open one fail until [`Self::connect`].
    pub fn disconnect(&self) {
        self.line.send_if_modified(|line| match line.take() {
            Some(line) => {
                line.cancel();
                true
            }
            None => false,
        });
    }

    /// Lets sessions be opened again.
    pub fn connect(&self) {
        self.line.send_if_modified(|line| {
            let closed = line.is_none();
            line.get_or_insert_with(CancellationToken::new);
            closed
        });
    }

    /// Whether the way was taken away.
    pub fn is_disconnected(&self) -> bool {
        self.line.borrow().is_none()
    }

    /// Waits until no session is open any more; nobody may open one meanwhile.
    pub(crate) async fn ended(&self) {
        self.disconnect();
        self.sessions.close();
        self.sessions.wait().await;
    }

    fn line(&self) -> Result<CancellationToken, UpstreamError> {
        self.line.borrow().clone().ok_or_else(disconnected)
    }
}

impl GatedUpstream {
    pub(crate) fn new(upstream: Arc<dyn Upstream>, gate: Gate) -> Self {
        Self { upstream, gate }
    }

    /// What `begin` gives, unless the line is cut before it is there.
    fn over<T: Send + 'static>(
        &self,
        begin: impl FnOnce(&dyn Upstream) -> BoxFuture<'static, Result<T, UpstreamError>>,
    ) -> BoxFuture<'static, Result<T, UpstreamError>> {
        match self.gate.line() {
            Ok(line) => over(line, begin(&*self.upstream)),
            Err(err) => Box::pin(std::future::ready(Err(err))),
        }
    }
}

impl Upstream for GatedUpstream {
    fn host_name(&self) -> String {
        self.upstream.host_name()
    }

    fn provision(
        &self,
        module: ModuleIdentity,
    ) -> BoxFuture<'static, Result<Credentials, UpstreamError>> {
        self.over(|upstream| upstream.provision(module))
    }

    fn deprovision(&self, module: ModuleIdentity) -> BoxFuture<'static, Result<(), UpstreamError>> {
        self.over(|upstream| upstream.deprovision(module))
    }

    fn connect(
        &self,
        module: ModuleIdentity,
        interest: Interest,
    ) -> BoxFuture<'static, Result<Session, UpstreamError>> {
        let line = match self.gate.line() {
            Ok(line) => line,
            Err(err) => return Box::pin(std::future::ready(Err(err))),
        };
        let connecting = over(line.clone(), self.upstream.connect(module, interest));
        let sessions = self.gate.sessions.clone();
        Box::pin(async move {
            let Session {
                calls,
                events,
                generation_id,
            } = connecting.await?;
            let (sender, receiver) = mpsc::channel(EVENTS_MAX);
            sessions.spawn(pass_on(events, sender, line.clone()));
            Ok(Session {
                calls: Arc::new(GatedCalls { calls, line }),
                events: receiver,
                generation_id,
            })
        })
    }

    fn opened(&self) -> BoxFuture<'static, ()> {
        let mut line = self.gate.line.subscribe();
        let upstream = self.upstream.opened();
        Box::pin(async move {
            let opened = async {
                while line.changed().await.is_ok() {
                    if line.borrow_and_update().is_some() {
                        return;
                    }
                }
                std::future::pending().await
            };
            tokio::select! {
                () = opened => {}
                () = upstream => {}
            }
        })
    }

    fn status(&self) -> Option<UpstreamStatus> {
        self.upstream.status()
    }
}

/// Calls on a session, as long as its line is there.
struct GatedCalls {
    calls: Arc<dyn SessionCalls>,
    line: CancellationToken,
}

impl SessionCalls for GatedCalls {
    fn takes_messages(&self) -> bool {
        self.calls.takes_messages()
    }

    fn twin(&self) -> BoxFuture<'static, Result<TwinDocument, UpstreamError>> {
        over(self.line.clone(), self.calls.twin())
    }

    fn report(
        &self,
        patch: Map<String, Value>,
    ) -> BoxFuture<'static, Result<Option<u64>, UpstreamError>> {
        over(self.line.clone(), self.calls.report(patch))
    }

    fn accept_methods(&self, accepts: bool) -> BoxFuture<'static, Result<(), UpstreamError>> {
        if self.line.is_cancelled() {
            return Box::pin(std::future::ready(Err(disconnected())));
        }
        over(self.line.clone(), self.calls.accept_methods(accepts))
    }

    fn send(&self, message: Arc<Message>) -> BoxFuture<'static, Result<(), UpstreamError>> {
        over(self.line.clone(), self.calls.send(message))
    }
}

/// What `call` gives, unless the line is cut before. What was asked for may have happened then.
fn over<T: Send + 'static>(
    line: CancellationToken,
    call: BoxFuture<'static, Result<T, UpstreamError>>,
) -> BoxFuture<'static, Result<T, UpstreamError>> {
    Box::pin(async move {
        tokio::select! {
            biased;
            () = line.cancelled() => Err(disconnected()),
            done = call => done,
        }
    })
}

/// Passes on what the hub says until the line is cut; then the session is over for the hub, too.
async fn pass_on(
    mut events: mpsc::Receiver<SessionEvent>,
    device: mpsc::Sender<SessionEvent>,
    line: CancellationToken,
) {
    loop {
        let event = tokio::select! {
            biased;
            () = line.cancelled() => return,
            () = device.closed() => return,
            event = events.recv() => event,
        };
        let Some(event) = event else { return };
        tokio::select! {
            biased;
            () = line.cancelled() => return,
            sent = device.send(event) => if sent.is_err() { return },
        }
    }
}

fn disconnected() -> UpstreamError {
    UpstreamError::Unreachable {
        cause: "it was taken away by `upstream disconnect`".to_owned(),
    }
}

#[cfg(test)]
mod tests;

//! The device's way to a hub in the same process: the daemon's `Upstream` over the hub's sessions.
//!
//! It offers no more than a hub on the wire would, so that a device cannot tell the difference.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use wasm_edge_daemon::upstream::{
    Credentials, Interest, MethodAnswer, Session, SessionCalls, SessionEvent, TwinDocument,
    Upstream, UpstreamError,
};
use wasm_edge_hub::error::HubError;
use wasm_edge_hub::hub::{Hub, IfMatch};
use wasm_edge_hub::method::MethodRequest;
use wasm_edge_hub::session::{self, SessionError, SessionEvents};
use wasm_edge_model::error::chain;
use wasm_edge_model::identity::{ModuleIdentity, TwinOwner};
use wasm_edge_model::message::Message;

/// Events of one session that may wait for its device; the hub tells more only then.
const EVENTS_MAX: usize = 16;

/// The hub in this process, as devices reach it.
#[derive(Clone)]
pub(crate) struct HubUpstream {
    hub: Hub,
    /// Each open session has a task here, which ends with the session.
    sessions: TaskTracker,
}

impl HubUpstream {
    /// The way to `hub`.
    pub(crate) fn new(hub: Hub) -> Self {
        Self {
            hub,
            sessions: TaskTracker::new(),
        }
    }

    /// Waits until all sessions have ended; they do when the hub is closed.
    pub(crate) async fn ended(&self) {
        self.sessions.close();
        self.sessions.wait().await;
    }
}

impl Upstream for HubUpstream {
    fn host_name(&self) -> String {
        self.hub.host_name().to_owned()
    }

    fn provision(
        &self,
        module: ModuleIdentity,
    ) -> BoxFuture<'static, Result<Credentials, UpstreamError>> {
        let hub = self.hub.clone();
        Box::pin(async move {
            let identity = hub.ensure_module(&module).await.map_err(failed)?;
            let keys =
                identity
                    .authentication
                    .symmetric_key
                    .ok_or_else(|| UpstreamError::Refused {
                        cause: "the module's identity has no symmetric key".to_owned(),
                    })?;
            Ok(Credentials {
                generation_id: identity.generation_id,
                primary_key: keys.primary.decode().into(),
            })
        })
    }

    fn deprovision(&self, module: ModuleIdentity) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let hub = self.hub.clone();
        Box::pin(async move {
            match hub.delete_module(&module, IfMatch::Any).await {
                Ok(()) | Err(HubError::NotFound { .. }) => Ok(()),
                Err(err) => Err(failed(err)),
            }
        })
    }

    fn connect(
        &self,
        module: ModuleIdentity,
        interest: Interest,
    ) -> BoxFuture<'static, Result<Session, UpstreamError>> {
        let (hub, sessions) = (self.hub.clone(), self.sessions.clone());
        Box::pin(async move {
            let (session, events) = hub
                .connect(&TwinOwner::Module(module))
                .await
                .map_err(failed)?;
            session.accept_methods(interest.methods);
            let (sender, receiver) = mpsc::channel(EVENTS_MAX);
            sessions.spawn(pass_on(events, sender));
            Ok(Session {
                calls: Arc::new(Calls(session)),
                events: receiver,
                generation_id: None,
            })
        })
    }
}

/// Calls on a session of the hub.
struct Calls(session::Session);

impl SessionCalls for Calls {
    fn twin(&self) -> BoxFuture<'static, Result<TwinDocument, UpstreamError>> {
        let session = self.0.clone();
        Box::pin(async move {
            let twin = session.twin().await.map_err(session_failed)?;
            Ok(TwinDocument {
                desired: twin.desired,
                desired_version: twin.desired_version,
                reported: twin.reported,
                reported_version: twin.reported_version,
            })
        })
    }

    fn report(
        &self,
        patch: Map<String, Value>,
    ) -> BoxFuture<'static, Result<Option<u64>, UpstreamError>> {
        let session = self.0.clone();
        Box::pin(async move {
            session
                .report(&patch)
                .await
                .map(Some)
                .map_err(session_failed)
        })
    }

    fn accept_methods(&self, accepts: bool) -> BoxFuture<'static, Result<(), UpstreamError>> {
        self.0.accept_methods(accepts);
        Box::pin(std::future::ready(Ok(())))
    }

    fn send(&self, message: Arc<Message>) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let session = self.0.clone();
        Box::pin(async move {
            session
                .send((*message).clone())
                .await
                .map_err(session_failed)
        })
    }
}

/// Passes on what the hub says until the session ends or its device lets go of it.
async fn pass_on(mut events: SessionEvents, device: mpsc::Sender<SessionEvent>) {
    let mut answers = FuturesUnordered::new();
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            Some(()) = answers.next(), if !answers.is_empty() => continue,
            () = device.closed() => return,
        };
        let event = match event {
            session::SessionEvent::Closed(_) => return,
            session::SessionEvent::Desired(change)
                if change.version == change.previous_version + 1 =>
            {
                SessionEvent::Desired {
                    patch: change.patch,
                    version: change.version,
                }
            }
            session::SessionEvent::Desired(_) => SessionEvent::Gap,
            // Messages to a device are none of its modules'.
            session::SessionEvent::Commands => continue,
            session::SessionEvent::Method(request) => {
                let (respond, answer) = oneshot::channel();
                let (name, payload) = (request.name.clone(), request.payload.to_string());
                answers.push(pass_back(request, answer));
                SessionEvent::Method {
                    name,
                    payload,
                    respond,
                }
            }
        };
        if device.send(event).await.is_err() {
            return;
        }
    }
}

/// Answers the caller; without an answer the request is dropped, which tells it so. One that comes too late goes
/// nowhere.
async fn pass_back(mut request: MethodRequest, answer: oneshot::Receiver<MethodAnswer>) {
    let answer = tokio::select! {
        answer = answer => answer,
        () = request.given_up() => return,
    };
    let Ok(answer) = answer else { return };
    let status = i32::try_from(answer.status).unwrap_or(i32::MAX);
    let payload = serde_json::from_str(&answer.payload).unwrap_or(Value::Null);
    if let Err(err) = request.respond(status, payload) {
        tracing::debug!(%err, "the answer to a direct method was not taken");
    }
}

fn failed(err: HubError) -> UpstreamError {
    let cause = chain(&err);
    match err {
        HubError::Store(_) | HubError::Contended { .. } | HubError::Closed => {
            UpstreamError::Unreachable { cause }
        }
        _ => UpstreamError::Refused { cause },
    }
}

fn session_failed(err: SessionError) -> UpstreamError {
    let cause = chain(&err);
    match err {
        SessionError::Closed(_) | SessionError::Hub(_) => UpstreamError::Unreachable { cause },
        SessionError::Twin(_) | SessionError::Message(_) => UpstreamError::Refused { cause },
    }
}

#[cfg(test)]
mod contract;

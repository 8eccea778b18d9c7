//! The far side of a module under test: a hub that records what reaches it and says what a test tells it to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, ready};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use wasm_edge_model::identity::ModuleIdentity;
use wasm_edge_model::message::Message;
use wasm_edge_model::twin::merge_patch;
use zeroize::Zeroizing;

use super::faults::Faults;
use super::outcome::{Outcome, Record};
use crate::upstream::{
    Credentials, Interest, MethodAnswer, Session, SessionCalls, SessionEvent, TwinDocument,
    Upstream, UpstreamError,
};

/// Its name, as modules see it.
const HOST_NAME: &str = "testbed.local";

/// Events that may wait for the device; a test tells one at a time.
const EVENTS_MAX: usize = 16;

/// A hub with one module; clones are the same one.
#[derive(Clone)]
pub(super) struct TestHub {
    record: Record,
    faults: Faults,
    state: Arc<Mutex<State>>,
}

struct State {
    twin: TwinDocument,
    session: Option<mpsc::Sender<SessionEvent>>,
    takes_methods: bool,
}

impl TestHub {
    pub(super) fn new(desired: Map<String, Value>, record: Record, faults: Faults) -> Self {
        let twin = TwinDocument {
            desired,
            desired_version: 1,
            reported: Map::new(),
            reported_version: 1,
        };
        Self {
            record,
            faults,
            state: Arc::new(Mutex::new(State {
                twin,
                session: None,
                takes_methods: false,
            })),
        }
    }

    /// The module's credentials: the same in every run, so that what it signs is.
    pub(super) fn credentials() -> Credentials {
        Credentials {
            generation_id: "testbed".to_owned(),
            primary_key: Zeroizing::new(b"wasm-edge test bed: not a secret".to_vec()),
        }
    }

    /// The desired properties after a patch, without setting them.
    pub(super) fn patched(&self, patch: &Map<String, Value>) -> Map<String, Value> {
        let mut desired = self.lock().twin.desired.clone();
        merge_patch(&mut desired, patch);
        desired
    }

    /// Changes the desired properties; a device that is away hears of it when it is back.
    pub(super) fn patch_desired(&self, patch: Map<String, Value>) {
        let mut state = self.lock();
        merge_patch(&mut state.twin.desired, &patch);
        state.twin.desired_version += 1;
        let version = state.twin.desired_version;
        if let Some(session) = &state.session {
            // Where it is full the device finds a gap with the next one, and reads all.
            let _ = session.try_send(SessionEvent::Desired { patch, version });
        }
    }

    /// Calls a method; `None` if the module is not there.
    pub(super) fn call(
        &self,
        name: String,
        payload: String,
    ) -> Option<oneshot::Receiver<MethodAnswer>> {
        let state = self.lock();
        let session = state.session.as_ref().filter(|_| state.takes_methods)?;
        let (respond, answer) = oneshot::channel();
        let called = session.try_send(SessionEvent::Method {
            name,
            payload,
            respond,
        });
        called.ok().map(|()| answer)
    }

    /// Ends the session, as a lost connection does.
    pub(super) fn disconnect(&self) {
        self.lock().session = None;
    }

    pub(super) fn is_connected(&self) -> bool {
        self.lock().session.is_some()
    }

    fn reachable(&self) -> Result<(), UpstreamError> {
        if self.faults.is_offline() {
            return Err(UpstreamError::Unreachable {
                cause: "the test has taken it offline".to_owned(),
            });
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream for TestHub {
    fn host_name(&self) -> String {
        HOST_NAME.to_owned()
    }

    fn provision(
        &self,
        _: ModuleIdentity,
    ) -> BoxFuture<'static, Result<Credentials, UpstreamError>> {
        Box::pin(ready(self.reachable().map(|()| Self::credentials())))
    }

    fn deprovision(&self, _: ModuleIdentity) -> BoxFuture<'static, Result<(), UpstreamError>> {
        // The module under test never leaves.
        Box::pin(ready(self.reachable()))
    }

    fn connect(
        &self,
        _: ModuleIdentity,
        interest: Interest,
    ) -> BoxFuture<'static, Result<Session, UpstreamError>> {
        let opened = self.reachable().map(|()| {
            let (sender, events) = mpsc::channel(EVENTS_MAX);
            let mut state = self.lock();
            state.session = Some(sender);
            state.takes_methods = interest.methods;
            Session {
                calls: Arc::new(self.clone()),
                events,
                generation_id: None,
            }
        });
        Box::pin(ready(opened))
    }
}

impl SessionCalls for TestHub {
    fn twin(&self) -> BoxFuture<'static, Result<TwinDocument, UpstreamError>> {
        let twin = self.reachable().map(|()| self.lock().twin.clone());
        Box::pin(ready(twin))
    }

    fn report(
        &self,
        patch: Map<String, Value>,
    ) -> BoxFuture<'static, Result<Option<u64>, UpstreamError>> {
        let reported = self.reachable().map(|()| {
            let twin = &mut self.lock().twin;
            merge_patch(&mut twin.reported, &patch);
            twin.reported_version += 1;
            Some(twin.reported_version)
        });
        Box::pin(ready(reported))
    }

    fn accept_methods(&self, accepts: bool) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let accepted = self
            .reachable()
            .map(|()| self.lock().takes_methods = accepts);
        Box::pin(ready(accepted))
    }

    fn send(&self, message: Arc<Message>) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let sent = self
            .reachable()
            .map(|()| self.record.push(Outcome::Message(message)));
        Box::pin(ready(sent))
    }
}

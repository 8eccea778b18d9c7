//! Keeps one module's twin in step with the hub: a session, opened again whenever it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wasm_edge_model::identity::ModuleIdentity;
use wasm_edge_runtime::events::MethodCall;

use super::{Taken, Twin};
use crate::methods::Methods;
use crate::upstream::pump::sessions::Sessions;
use crate::upstream::{Interest, Session, SessionEvent, Upstream, UpstreamError};

/// First wait before a session is tried again; it doubles up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// Longest wait before a session is tried again.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What the task of one module works on.
pub(crate) struct Sync {
    pub(crate) identity: ModuleIdentity,
    pub(crate) twin: Twin,
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) sessions: Sessions,
    pub(crate) methods: Methods,
    pub(crate) interest: Interest,
}

/// Why a session ended.
enum End {
    Closed,
    Failed(UpstreamError),
    Store(wasm_edge_store::database::DatabaseError),
}

impl From<UpstreamError> for End {
    fn from(err: UpstreamError) -> Self {
        Self::Failed(err)
    }
}

impl From<wasm_edge_store::database::DatabaseError> for End {
    fn from(err: wasm_edge_store::database::DatabaseError) -> Self {
        Self::Store(err)
    }
}

impl Sync {
    /// Runs until it is told to stop. `synced` is told once the twin is the hub's.
    pub(crate) async fn run(
        self,
        synced: tokio::sync::watch::Sender<bool>,
        stop: CancellationToken,
    ) {
        let mut wait = RETRY_FIRST;
        loop {
            let opened = self.upstream.opened();
            let end = tokio::select! {
                end = self.session(&synced, &mut wait) => end,
                () = stop.cancelled() => break,
            };
            self.sessions.ended(&self.identity.module);
            let module = &self.identity.module;
            match end {
                End::Closed => tracing::debug!(%module, "the session with the hub ended"),
                End::Failed(UpstreamError::Refused { cause }) => {
                    tracing::warn!(%module, %cause, "the hub refuses the module");
                }
                End::Failed(err) => tracing::warn!(%module, %err, "no session with the hub"),
                End::Store(err) => tracing::error!(%module, %err, "the twin cannot be stored"),
            }
            tokio::select! {
                () = wasm_edge_clock::sleep(wait) => wait = (wait * 2).min(RETRY_MAX),
                () = opened => wait = RETRY_FIRST,
                () = stop.cancelled() => break,
            }
        }
        self.sessions.ended(&self.identity.module);
    }

    async fn session(&self, synced: &tokio::sync::watch::Sender<bool>, wait: &mut Duration) -> End {
        match self.follow(synced, wait).await {
            Ok(()) => End::Closed,
            Err(end) => end,
        }
    }

    async fn follow(
        &self,
        synced: &tokio::sync::watch::Sender<bool>,
        wait: &mut Duration,
    ) -> Result<(), End> {
        let mut listeners = self.methods.watch();
        let mut told = self.takes_methods();
        let interest = Interest { methods: told };
        let mut session = self
            .upstream
            .connect(self.identity.clone(), interest)
            .await?;
        self.read_whole(&session).await?;
        self.sessions
            .opened(&self.identity.module, Arc::clone(&session.calls));
        synced.send_replace(true);
        *wait = RETRY_FIRST;
        loop {
            listeners.mark_unchanged();
            // To a caller, a module that does not run now is not there.
            let takes = self.takes_methods();
            if told != takes {
                session.calls.accept_methods(takes).await?;
                told = takes;
            }
            if let Some(unsent) = self.twin.unsent() {
                let version = session.calls.report(unsent.patch.clone()).await?;
                self.twin.sent(unsent, version).await?;
            }
            tokio::select! {
                event = session.events.recv() => match event {
                    Some(event) => self.event(event, &session).await?,
                    None => return Ok(()),
                },
                () = self.twin.reported() => {}
                Ok(()) = listeners.changed() => {}
            }
        }
    }

    fn takes_methods(&self) -> bool {
        self.interest.methods && self.methods.listens(&self.identity.module)
    }

    async fn event(&self, event: SessionEvent, session: &Session) -> Result<(), End> {
        match event {
            SessionEvent::Desired { patch, version } => {
                if self.twin.take_desired(patch, version).await? == Taken::Gap {
                    self.read_whole(session).await?;
                }
            }
            SessionEvent::Gap => self.read_whole(session).await?,
            SessionEvent::Method {
                name,
                payload,
                respond,
            } => {
                self.methods.forward(
                    &self.identity.module,
                    MethodCall {
                        name,
                        payload,
                        respond,
                    },
                );
            }
        }
        Ok(())
    }

    async fn read_whole(&self, session: &Session) -> Result<(), End> {
        let document = session.calls.twin().await?;
        self.twin.take_document(document).await?;
        Ok(())
    }
}

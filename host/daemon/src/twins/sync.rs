//! Keeps one module's twin in step with the hub: a session, opened again whenever it ends.
//!
//! What the hub says is acted on while a request of this side is under way, so that a slow answer about the twin
//! keeps no direct method waiting; of requests there is one at a time. The whole twin is read once a session is
//! open, after a gap, and now and then where that is asked for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasm_edge_model::identity::ModuleIdentity;
use wasm_edge_runtime::events::MethodCall;
use wasm_edge_store::database::DatabaseError;

use super::offers::Offers;
use super::{Taken, Twin};
use crate::methods::Methods;
use crate::upstream::backoff::{Backoff, Jitter, STEADY, Trouble};
use crate::upstream::pump::sessions::Sessions;
use crate::upstream::{Interest, Session, SessionEvent, TwinDocument, Upstream, UpstreamError};

/// Within this time after the hub is back the twins of all modules are read, each at a moment of its own.
const READ_SPREAD: Duration = Duration::from_secs(1);

/// What the task of one module works on.
pub(crate) struct Sync {
    pub(crate) identity: ModuleIdentity,
    pub(crate) twin: Twin,
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) sessions: Sessions,
    pub(crate) methods: Methods,
    pub(crate) interest: Interest,
    /// How often the whole twin is read without a cause; never where there is none.
    pub(crate) refresh: Option<Duration>,
    /// The generation of the identity that the module runs under, if it matters to it.
    pub(crate) generation_id: Option<String>,
    /// The longest wait before a hub out of reach is tried again.
    pub(crate) retry_max: Duration,
}

/// Why a session ended.
enum End {
    Closed,
    Failed(UpstreamError),
    Store(DatabaseError),
}

impl From<UpstreamError> for End {
    fn from(err: UpstreamError) -> Self {
        Self::Failed(err)
    }
}

impl From<DatabaseError> for End {
    fn from(err: DatabaseError) -> Self {
        Self::Store(err)
    }
}

impl Sync {
    /// Runs until it is told to stop. `synced` is told once the twin is the hub's.
    pub(crate) async fn run(self, synced: watch::Sender<bool>, stop: CancellationToken) {
        let mut backoff = Backoff::at_most(self.retry_max);
        loop {
            let opened = self.upstream.opened();
            let round = self.round(&synced);
            let (end, lasted) = tokio::select! {
                ended = round => ended,
                () = stop.cancelled() => break,
            };
            self.twin.away();
            self.sessions.ended(&self.identity.module);
            self.log(&end);
            if lasted.is_some_and(|lasted| lasted >= STEADY) {
                backoff.reset();
            }
            // A session that was open has used up what opened the way before: a hub that lets everybody in and
            // throws them out again is not to be asked all the time.
            let opened = match lasted {
                Some(_) => self.upstream.opened(),
                None => opened,
            };
            let wait = backoff.next(end.trouble(), Jitter::random());
            tokio::select! {
                () = wasm_edge_clock::sleep(wait) => {}
                () = opened => backoff.reset(),
                () = stop.cancelled() => break,
            }
        }
        self.twin.away();
        self.sessions.ended(&self.identity.module);
    }

    /// One session, and how long it was open, if it was.
    async fn round(&self, synced: &watch::Sender<bool>) -> (End, Option<Duration>) {
        let told = self.takes_methods();
        let interest = Interest { methods: told };
        let connecting = self.upstream.connect(self.identity.clone(), interest);
        let session = match connecting.await {
            Ok(session) => session,
            Err(err) => return (End::Failed(err), None),
        };
        let since = wasm_edge_clock::now();
        if session.calls.takes_messages() {
            let calls = Arc::clone(&session.calls);
            self.sessions.opened(&self.identity.module, calls);
        }
        self.look_at_identity(&session);
        let follower = Follower::new(self, synced, session, told);
        let end = follower.run().await;
        let lasted = wasm_edge_clock::now().saturating_duration_since(since);
        (end.err().unwrap_or(End::Closed), Some(lasted))
    }

    /// Tells the agent if the hub has another identity of the module's name than it runs under.
    fn look_at_identity(&self, session: &Session) {
        let (ours, theirs) = (&self.generation_id, &session.generation_id);
        if ours.is_some() && theirs.is_some() && ours != theirs {
            let module = &self.identity.module;
            tracing::warn!(%module, "the identity was made anew at the hub, and the module starts again under it");
            self.sessions.identity_replaced(module);
        }
    }

    /// Whether an instance takes methods now: to a caller, a module that does not run is not there.
    fn takes_methods(&self) -> bool {
        self.interest.methods && self.methods.listens(&self.identity.module)
    }

    fn log(&self, end: &End) {
        let module = &self.identity.module;
        match end {
            End::Closed => tracing::debug!(%module, "the session with the hub ended"),
            End::Failed(UpstreamError::Refused { cause }) => {
                tracing::warn!(%module, %cause, "the hub refuses the module");
            }
            // The device says once that its hub is away; each module at each try would fill its log.
            End::Failed(err) => tracing::debug!(%module, %err, "no session with the hub"),
            End::Store(err) => tracing::error!(%module, %err, "the twin cannot be stored"),
        }
    }
}

impl End {
    fn trouble(&self) -> Trouble {
        match self {
            Self::Failed(err) => Trouble::of(err),
            Self::Closed | Self::Store(_) => Trouble::Unreachable,
        }
    }
}

/// What was asked of the hub.
enum Asked {
    Read(BoxFuture<'static, Result<TwinDocument, UpstreamError>>),
    Report(
        Map<String, Value>,
        BoxFuture<'static, Result<Option<u64>, UpstreamError>>,
    ),
    Methods(bool, BoxFuture<'static, Result<(), UpstreamError>>),
}

/// What it answered.
enum Answered {
    Read(Result<TwinDocument, UpstreamError>),
    Report(Result<Option<u64>, UpstreamError>),
    Methods(Result<(), UpstreamError>),
}

impl Asked {
    /// The answer to what is asked; never where nothing is.
    ///
    /// # Cancel safety
    /// What is asked stays asked.
    async fn answered(asked: &mut Option<Self>) -> Answered {
        match asked {
            None => std::future::pending().await,
            Some(Self::Read(answer)) => Answered::Read(answer.await),
            Some(Self::Report(_, answer)) => Answered::Report(answer.await),
            Some(Self::Methods(_, answer)) => Answered::Methods(answer.await),
        }
    }
}

/// One open session at work.
struct Follower<'a> {
    sync: &'a Sync,
    synced: &'a watch::Sender<bool>,
    session: Session,
    asked: Option<Asked>,
    /// What the hub was told of whether methods are taken.
    told: bool,
    /// When the whole twin is to be read because it may be another one. Until then nothing is reported: what the hub
    /// lacks is not known.
    read_at: Option<Instant>,
    /// When it is read without a cause.
    refresh_at: Option<Instant>,
    /// Desired properties have changed since reading them began.
    changed_meanwhile: bool,
    /// What it is offered of what was reported.
    offers: Offers,
}

impl<'a> Follower<'a> {
    fn new(sync: &'a Sync, synced: &'a watch::Sender<bool>, session: Session, told: bool) -> Self {
        let now = wasm_edge_clock::now();
        // Those of a device that is back are many, the first ones are waited for.
        let spread = match *synced.borrow() {
            true => Jitter::random().between(Duration::ZERO, READ_SPREAD),
            false => Duration::ZERO,
        };
        Self {
            sync,
            synced,
            session,
            asked: None,
            told,
            read_at: Some(now + spread),
            refresh_at: None,
            changed_meanwhile: false,
            offers: Offers::default(),
        }
    }

    async fn run(mut self) -> Result<(), End> {
        let mut listeners = self.sync.methods.watch();
        loop {
            listeners.mark_unchanged();
            if self.asked.is_none() {
                self.asked = self.next();
            }
            let due = match self.asked {
                None => self.read_at.or(self.refresh_at),
                Some(_) => None,
            };
            tokio::select! {
                event = self.session.events.recv() => match event {
                    Some(event) => self.event(event).await?,
                    None => return Ok(()),
                },
                answered = Asked::answered(&mut self.asked) => self.answered(answered).await?,
                () = until(due) => {}
                () = self.sync.twin.reported() => {}
                Ok(()) = listeners.changed() => {}
            }
        }
    }

    /// What is to be asked of the hub now.
    fn next(&mut self) -> Option<Asked> {
        let calls = &self.session.calls;
        let takes = self.sync.takes_methods();
        if self.told != takes {
            return Some(Asked::Methods(takes, calls.accept_methods(takes)));
        }
        let now = wasm_edge_clock::now();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.read_at) || (self.read_at.is_none() && is_due(self.refresh_at)) {
            (self.read_at, self.refresh_at) = (None, None);
            self.changed_meanwhile = false;
            return Some(Asked::Read(calls.twin()));
        }
        if self.read_at.is_some() {
            return None;
        }
        let offer = self.offers.next(&self.sync.twin.unsent()?)?;
        let answer = calls.report(offer.clone());
        Some(Asked::Report(offer, answer))
    }

    async fn answered(&mut self, answered: Answered) -> Result<(), End> {
        match (self.asked.take(), answered) {
            (_, Answered::Read(document)) => self.take(document?).await?,
            (Some(Asked::Report(offer, _)), Answered::Report(answer)) => match answer {
                Ok(version) => {
                    self.offers.taken();
                    self.sync.twin.sent(&offer, version).await?;
                }
                Err(UpstreamError::Refused { cause }) => self.refused(offer, &cause),
                Err(err) => return Err(err.into()),
            },
            (Some(Asked::Methods(takes, _)), Answered::Methods(done)) => {
                done?;
                self.told = takes;
            }
            _ => unreachable!("an answer is one to what was asked"),
        }
        Ok(())
    }

    /// The hub has refused to take what was reported.
    fn refused(&mut self, offer: Map<String, Value>, cause: &str) {
        let module = &self.sync.identity.module;
        match self.offers.refused(offer) {
            Some(property) => tracing::warn!(
                %module, property, cause,
                "the hub does not take a reported property; it is sent again once it has changed"
            ),
            None => tracing::debug!(%module, cause, "what was reported is sent in parts"),
        }
    }

    /// Takes the hub's whole twin.
    async fn take(&mut self, document: TwinDocument) -> Result<(), End> {
        let twin = &self.sync.twin;
        let is_older = document.desired_version < twin.desired_version();
        if is_older && self.changed_meanwhile {
            // The answer was on its way when the change came. Without one, an older version is another twin.
            self.read_at = Some(wasm_edge_clock::now());
            return Ok(());
        }
        twin.take_document(document).await?;
        self.synced.send_replace(true);
        let refresh = self.sync.refresh;
        self.refresh_at = refresh.map(|refresh| {
            let least = refresh - refresh / 10;
            wasm_edge_clock::now() + Jitter::random().between(least, refresh)
        });
        Ok(())
    }

    async fn event(&mut self, event: SessionEvent) -> Result<(), End> {
        match event {
            SessionEvent::Desired { patch, version } => {
                match self.sync.twin.take_desired(patch, version).await? {
                    Taken::Merged => self.changed_meanwhile = true,
                    Taken::Old => {}
                    Taken::Gap => self.read_at = Some(wasm_edge_clock::now()),
                }
            }
            SessionEvent::Gap => self.read_at = Some(wasm_edge_clock::now()),
            SessionEvent::Method {
                name,
                payload,
                respond,
            } => {
                let call = MethodCall {
                    name,
                    payload,
                    respond,
                };
                self.sync.methods.forward(&self.sync.identity.module, call);
            }
        }
        Ok(())
    }
}

/// Waits until then; for ever where there is no such time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => wasm_edge_clock::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

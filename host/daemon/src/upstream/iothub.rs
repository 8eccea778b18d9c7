//! A hub that is reached over the network, by the protocol of IoT Hub: MQTT over TLS or WebSocket.
//!
//! Each module has a connection of its own, as its own identity. A message counts as arrived when the hub has
//! acknowledged it on the connection that it was sent on; nothing is remembered beyond a connection but which
//! subscriptions the hub keeps. A session renews itself before its token expires, without losing what is on its way.
//! Nothing here knows one hub from another. Identities come from [`crate::provisioning`], streams from the net crate;
//! when a session is opened again its twin task decides.
//!
//! Source: Azure IoT Hub, "Communicate with your IoT hub using the MQTT protocol".

pub mod line;

mod board;
mod calls;
mod complaints;
mod enter;
mod session;
mod subscriptions;
mod talk;
mod topic;
mod twin;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasm_edge_model::identity::{ModuleId, ModuleIdentity};
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::dial::Dialer;
use wasm_edge_net::traffic::Ledger;

use self::board::{Board, Moment};
use self::calls::{ASKS_MAX, Calls, Ending, SENDS_MAX};
use self::complaints::{Complaints, Lie};
use self::enter::Admission;
use self::line::{LineSettings, Preference};
use self::session::{EVENTS_MAX, Ends, SessionTask};
use self::subscriptions::Known;
use self::talk::{Stop, Talk};
use super::status::{Standing, UpstreamStatus};
use super::{Credentials, Interest, Session, Upstream, UpstreamError};
use crate::provisioning::Assignment;
use crate::provisioning::identities::Identities;

/// How long the hub is not asked again what time it is: a clock that is right now is right for a while.
const CLOCK_ASK_PAUSE: Duration = Duration::from_secs(10 * 60);

/// What the way to a hub is made of.
pub struct IotHubOptions {
    /// The hub, and which of its devices this is.
    pub assignment: Assignment,
    /// What connects.
    pub dialer: Dialer,
    /// The time that tokens are made by.
    pub clock: HubClock,
    /// What counts the bytes of each module, under its id.
    pub ledger: Ledger,
    /// How connections are made.
    pub settings: LineSettings,
    /// The credentials of the modules.
    pub identities: Identities,
}

/// A hub on the network; clones are the same one.
#[derive(Clone)]
pub struct IotHub {
    line: Arc<Line>,
    /// Each open session has a task here, which ends with it.
    sessions: TaskTracker,
    /// Ends all of them.
    closed: CancellationToken,
}

/// What all sessions with the hub share.
struct Line {
    options: IotHubOptions,
    board: Board,
    admission: Admission,
    /// Written by whoever has reached the hub, each for one short step.
    preference: Mutex<Preference>,
    /// The subscriptions that the hub keeps of each module; written by its session, each for one short step.
    known: Mutex<BTreeMap<ModuleId, Known>>,
    /// What the log was told of a hub that makes no sense; written by sessions, each for one short step.
    complaints: Mutex<Complaints>,
    /// When the hub was last asked what time it is; written by whoever asks.
    time_asked_at: Mutex<Option<Instant>>,
}

impl IotHub {
    /// A way to the hub; nothing is sent before a module is to have a session.
    pub fn new(options: IotHubOptions) -> Self {
        let preference = Preference::new(options.settings.transport);
        Self {
            line: Arc::new(Line {
                board: Board::trying_again_within(options.settings.retry_max),
                admission: Admission::default(),
                preference: Mutex::new(preference),
                known: Mutex::default(),
                complaints: Mutex::default(),
                time_asked_at: Mutex::default(),
                options,
            }),
            sessions: TaskTracker::new(),
            closed: CancellationToken::new(),
        }
    }

    /// Tells of each change of whether the hub lets the device in.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.line.board.standing()
    }

    /// Ends all sessions, says so to the hub, and waits until they have ended.
    pub async fn close(&self) {
        self.closed.cancel();
        self.sessions.close();
        self.sessions.wait().await;
    }

    async fn open(
        self,
        module: ModuleIdentity,
        interest: Interest,
    ) -> Result<Session, UpstreamError> {
        let (line, closed) = (&self.line, &self.closed);
        if closed.is_cancelled() {
            return Err(UpstreamError::Unreachable {
                cause: "the way to it was closed".to_owned(),
            });
        }
        let entered = line.enter(&module, None).await?;
        let generation_id = entered.generation_id.clone();
        let token_expires_at = entered.token_expires_at;
        let (sends, to_send) = mpsc::channel(SENDS_MAX);
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let (tell, events) = mpsc::channel(EVENTS_MAX);
        let ending = Ending::default();
        let mut ends = Ends {
            sends: to_send,
            asks: asked,
            events: tell,
            ending: ending.clone(),
            methods: BTreeSet::new(),
            answers: FuturesUnordered::new(),
            takes_methods: interest.methods,
            gap: false,
        };
        let established = async {
            let mut talk = Talk::begin(line, module.clone(), entered, interest.methods)?;
            talk.establish(line, &mut ends, closed).await?;
            Ok(talk)
        };
        let talk = established
            .await
            .map_err(|stop| self.not_established(&module.module, stop))?;
        let number = line
            .board
            .opened(&module.module, token_expires_at, line.moment());
        let task = SessionTask {
            line: Arc::clone(line),
            number,
            ends,
            talk,
        };
        self.sessions.spawn(task.run(self.closed.clone()));
        let calls = Calls {
            module,
            sends,
            asks,
            ending,
        };
        Ok(Session {
            calls: Arc::new(calls),
            events,
            generation_id: Some(generation_id),
        })
    }

    fn not_established(&self, module: &ModuleId, stop: Stop) -> UpstreamError {
        let err = match stop {
            Stop::Failed(err) => err,
            Stop::Violated(cause) => {
                self.line.complain(module, Lie::Packet, &cause);
                UpstreamError::Unreachable { cause }
            }
            Stop::LetGo | Stop::Renew => UpstreamError::Unreachable {
                cause: "the way to it was closed".to_owned(),
            },
        };
        self.line.board.failed(&err, self.line.moment());
        err
    }
}

impl Upstream for IotHub {
    fn host_name(&self) -> String {
        self.line.options.assignment.hub.name().to_owned()
    }

    fn provision(
        &self,
        module: ModuleIdentity,
    ) -> BoxFuture<'static, Result<Credentials, UpstreamError>> {
        let line = Arc::clone(&self.line);
        Box::pin(async move {
            let credential = line.options.identities.ensure(&module).await?;
            Ok(Credentials {
                primary_key: credential.key.decode().into(),
                generation_id: credential.generation_id,
            })
        })
    }

    fn deprovision(&self, module: ModuleIdentity) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let line = Arc::clone(&self.line);
        Box::pin(async move {
            line.options.identities.delete(&module).await?;
            line.forget(&module.module);
            Ok(())
        })
    }

    fn connect(
        &self,
        module: ModuleIdentity,
        interest: Interest,
    ) -> BoxFuture<'static, Result<Session, UpstreamError>> {
        Box::pin(self.clone().open(module, interest))
    }

    fn opened(&self) -> BoxFuture<'static, ()> {
        let mut openings = self.line.board.openings();
        let line = Arc::clone(&self.line);
        Box::pin(async move {
            // The line keeps the sender.
            let _ = openings.changed().await;
            drop(line);
        })
    }

    fn status(&self) -> Option<UpstreamStatus> {
        Some(self.line.board.status())
    }
}

impl Line {
    fn moment(&self) -> Moment {
        Moment {
            wall: self.options.clock.now(),
            at: Instant::now(),
        }
    }

    fn preference(&self) -> MutexGuard<'_, Preference> {
        let preference = self.preference.lock();
        preference.unwrap_or_else(PoisonError::into_inner)
    }

    /// What the hub keeps of a module, for one short step.
    fn known<T>(&self, module: &ModuleId, step: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        step(known.entry(module.clone()).or_default())
    }

    /// A module is gone for good.
    fn forget(&self, module: &ModuleId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(module);
        drop(known);
        self.complaints().forget(module);
        self.board.forget(module);
    }

    /// What the hub said to a module makes no sense.
    fn complain(&self, module: &ModuleId, lie: Lie, what: &str) {
        let told = self.complaints().happened(module, lie, Instant::now());
        let Some(untold) = told else {
            tracing::debug!(%module, what, "the hub makes no sense");
            return;
        };
        match untold {
            0 => tracing::warn!(%module, what, "the hub makes no sense"),
            _ => tracing::warn!(%module, what, untold, "the hub still makes no sense"),
        }
    }

    fn complaints(&self) -> MutexGuard<'_, Complaints> {
        let complaints = self.complaints.lock();
        complaints.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the hub may be asked now what time it is; then it counts as asked.
    fn may_ask_for_time(&self) -> bool {
        let now = Instant::now();
        let asked = self.time_asked_at.lock();
        let mut asked = asked.unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: Instant| now.saturating_duration_since(at) < CLOCK_ASK_PAUSE;
        if asked.is_some_and(is_recent) {
            return false;
        }
        *asked = Some(now);
        true
    }
}

/// Without credentials.
impl fmt::Debug for IotHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IotHub")
            .field("assignment", &self.line.options.assignment)
            .finish_non_exhaustive()
    }
}

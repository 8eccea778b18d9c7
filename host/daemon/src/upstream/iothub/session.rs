//! The task of one session: it talks over one connection after the other, until the device lets go or it fails.
//!
//! All that is known of packets belongs to one connection, a [`Talk`]; what outlives it when the session renews itself
//! are the ends that others hold, and the direct methods that are being answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use wasm_edge_runtime::guest::MethodResponse;

use super::Line;
use super::board::SessionNumber;
use super::calls::{Ask, Ending, Sending};
use super::complaints::Lie;
use super::talk::{Stop, Talk};
use crate::upstream::{MethodAnswer, SessionEvent};

/// Events that may wait for the module's twin task, which acts on each within moments.
pub(super) const EVENTS_MAX: usize = 32;

/// Direct methods of one module that may be under way; IoT Hub lets fewer be.
const METHODS_MAX: usize = 32;

/// The status that this side answers methods with when too many are under way.
const TOO_MANY_CALLS: u32 = 429;

/// The ends of a session that outlive its connections.
pub(super) struct Ends {
    pub(super) sends: mpsc::Receiver<Sending>,
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) events: mpsc::Sender<SessionEvent>,
    pub(super) ending: Ending,
    /// Direct methods that are being answered, by the ids of their requests.
    pub(super) methods: BTreeSet<String>,
    pub(super) answers: FuturesUnordered<BoxFuture<'static, MethodAnswered>>,
    /// Whether direct methods are to come.
    pub(super) takes_methods: bool,
    /// Whether changes may have been missed that the module was not told of yet.
    pub(super) gap: bool,
}

/// What became of a direct method: its request id, and the answer if there is one.
pub(super) type MethodAnswered = (String, Option<MethodAnswer>);

/// A session at work.
pub(super) struct SessionTask {
    pub(super) line: Arc<Line>,
    pub(super) number: SessionNumber,
    pub(super) ends: Ends,
    pub(super) talk: Talk,
}

impl SessionTask {
    /// Runs until the device lets go of the session, it does not work any more, or the way is closed.
    pub(super) async fn run(self, closed: CancellationToken) {
        let Self {
            line,
            number,
            mut ends,
            mut talk,
        } = self;
        let module = talk.module().clone();
        let stop = loop {
            match talk.work(&line, &mut ends, &closed).await {
                Stop::Renew => match renew(&line, number, &mut ends, talk, &closed).await {
                    Ok(renewed) => talk = renewed,
                    Err(stop) => break stop,
                },
                stop => {
                    if matches!(stop, Stop::LetGo) {
                        talk.close().await;
                    }
                    break stop;
                }
            }
        };
        let cause = match &stop {
            Stop::Failed(err) => Some(err.to_string()),
            Stop::Violated(what) => {
                line.complain(&module.module, Lie::Packet, what);
                Some(what.clone())
            }
            Stop::Renew | Stop::LetGo => None,
        };
        if let Some(cause) = &cause {
            let module = &module.module;
            tracing::debug!(%module, cause, "the session with the hub ended");
            // Before those who wait are let go of, who look at it.
            ends.ending.set(cause);
        }
        line.board.closed(number, cause.as_deref(), line.moment());
    }
}

/// Connects anew with another token, in the place of a connection on which nothing is on its way.
async fn renew(
    line: &Line,
    number: SessionNumber,
    ends: &mut Ends,
    talk: Talk,
    closed: &CancellationToken,
) -> Result<Talk, Stop> {
    let (module, connection) = talk.into_parts();
    let entering = line.enter(&module, Some(connection));
    let entered = tokio::select! {
        entered = entering => entered.map_err(Stop::Failed)?,
        () = ends.events.closed() => return Err(Stop::LetGo),
        () = closed.cancelled() => return Err(Stop::LetGo),
    };
    line.board.renewed(number, entered.token_expires_at);
    let mut talk = Talk::begin(line, module, entered, ends.takes_methods)?;
    talk.establish(line, ends, closed).await?;
    // Nobody listened for a moment.
    ends.gap = true;
    Ok(talk)
}

impl Ends {
    /// Tells the module of an event. Where it does not keep up, it is told that it may have missed something.
    pub(super) fn tell(&mut self, event: SessionEvent) {
        let is_gap = matches!(event, SessionEvent::Gap);
        // What comes behind a gap is part of what is read after it.
        if self.gap || is_gap || self.events.try_send(event).is_err() {
            self.gap = true;
        }
    }

    /// Calls a method of the module, with JSON; an answer of this side's if it cannot be called.
    pub(super) fn call(
        &mut self,
        name: String,
        request_id: &str,
        payload: String,
    ) -> Option<MethodAnswer> {
        if self.methods.contains(request_id) {
            // The same request again.
            return None;
        }
        let too_many = || Some(own_answer(TOO_MANY_CALLS, "too many calls are under way"));
        if self.methods.len() >= METHODS_MAX {
            return too_many();
        }
        let (respond, answer) = oneshot::channel();
        let event = SessionEvent::Method {
            name,
            payload,
            respond,
        };
        if self.events.try_send(event).is_err() {
            return too_many();
        }
        self.methods.insert(request_id.to_owned());
        let request_id = request_id.to_owned();
        self.answers
            .push(Box::pin(async move { (request_id, answer.await.ok()) }));
        None
    }
}

/// An answer of this side's.
pub(super) fn own_answer(status: u32, error: &str) -> MethodAnswer {
    MethodResponse {
        status,
        payload: json!({ "error": error }).to_string(),
    }
}

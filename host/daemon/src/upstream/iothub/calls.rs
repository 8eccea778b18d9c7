//! What a session can be asked, by those who hold it: each call goes to the session's task and waits for its answer.

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use wasm_edge_model::identity::ModuleIdentity;
use wasm_edge_model::message::Message;

use super::topic;
use super::twin::Answer;
use crate::upstream::backoff::{Backoff, Jitter, Trouble};
use crate::upstream::{SessionCalls, TwinDocument, UpstreamError};

/// Messages that wait for the task; more wait before it, in the order in which they came.
pub(super) const SENDS_MAX: usize = 1;

/// Requests that wait for the task. A module's twin task has one at a time.
pub(super) const ASKS_MAX: usize = 4;

/// A message on its way to the task.
pub(super) struct Sending {
    pub(super) topic: String,
    pub(super) message: Arc<Message>,
    pub(super) done: oneshot::Sender<Result<(), UpstreamError>>,
}

/// A request on its way to the task.
pub(super) enum Ask {
    /// For the twin.
    Twin(oneshot::Sender<Answer>),
    /// That this JSON be merged into the reported properties.
    Report(Vec<u8>, oneshot::Sender<Answer>),
    /// That direct methods come, or do not come any more.
    Methods(bool, oneshot::Sender<()>),
}

/// Why a session has ended, once it has; clones share it. Written by its task before it lets go of those who wait.
#[derive(Clone, Default)]
pub(super) struct Ending(Arc<OnceLock<String>>);

/// The calls of one session.
pub(super) struct Calls {
    pub(super) module: ModuleIdentity,
    pub(super) sends: mpsc::Sender<Sending>,
    pub(super) asks: mpsc::Sender<Ask>,
    pub(super) ending: Ending,
}

impl Ending {
    /// Notes why; the first cause counts.
    pub(super) fn set(&self, cause: &str) {
        self.0.get_or_init(|| cause.to_owned());
    }

    /// What a call comes to that the session did not answer.
    fn error(&self) -> UpstreamError {
        let cause = self.0.get().map_or("it was closed", String::as_str);
        UpstreamError::Unreachable {
            cause: format!("the session has ended: {cause}"),
        }
    }
}

impl SessionCalls for Calls {
    fn twin(&self) -> BoxFuture<'static, Result<TwinDocument, UpstreamError>> {
        let asking = ask(self.asks.clone(), self.ending.clone(), Ask::Twin);
        Box::pin(async move {
            match asking.await? {
                Answer::Twin(twin) => Ok(twin),
                other => Err(other.into()),
            }
        })
    }

    fn report(
        &self,
        patch: Map<String, Value>,
    ) -> BoxFuture<'static, Result<Option<u64>, UpstreamError>> {
        let body = Value::Object(patch).to_string().into_bytes();
        let report = move |respond| Ask::Report(body.clone(), respond);
        let asking = ask(self.asks.clone(), self.ending.clone(), report);
        Box::pin(async move {
            match asking.await? {
                Answer::Reported(version) => Ok(version),
                other => Err(other.into()),
            }
        })
    }

    fn accept_methods(&self, accepts: bool) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let (asks, ending) = (self.asks.clone(), self.ending.clone());
        Box::pin(async move {
            let (done, is_done) = oneshot::channel();
            let asked = asks.send(Ask::Methods(accepts, done)).await;
            asked.map_err(|_| ending.error())?;
            is_done.await.map_err(|_| ending.error())
        })
    }

    fn send(&self, message: Arc<Message>) -> BoxFuture<'static, Result<(), UpstreamError>> {
        let (module, sends, ending) =
            (self.module.clone(), self.sends.clone(), self.ending.clone());
        Box::pin(async move {
            let refused = |cause: &str| UpstreamError::Refused {
                cause: cause.to_owned(),
            };
            // A hub ends the connection over one, and with it all that is on its way.
            let checked = message.check();
            checked.map_err(|err| refused(&err.to_string()))?;
            let too_long = "the message's properties are too long for a topic of MQTT";
            let topic = topic::telemetry(&module, &message).ok_or_else(|| refused(too_long))?;
            let (done, sent) = oneshot::channel();
            let sending = Sending {
                topic,
                message,
                done,
            };
            sends.send(sending).await.map_err(|_| ending.error())?;
            sent.await.unwrap_or_else(|_| Err(ending.error()))
        })
    }
}

/// Asks until the hub does not ask for patience any more; as long as the session is open.
async fn ask(
    asks: mpsc::Sender<Ask>,
    ending: Ending,
    form: impl Fn(oneshot::Sender<Answer>) -> Ask,
) -> Result<Answer, UpstreamError> {
    let mut backoff = Backoff::default();
    loop {
        let (respond, answer) = oneshot::channel();
        let asked = asks.send(form(respond)).await;
        asked.map_err(|_| ending.error())?;
        match answer.await.map_err(|_| ending.error())? {
            Answer::Later(cause) => {
                tracing::debug!(cause, "the hub asks for patience");
                let wait = backoff.next(Trouble::Unreachable, Jitter::random());
                wasm_edge_clock::sleep(wait).await;
            }
            answer => return Ok(answer),
        }
    }
}

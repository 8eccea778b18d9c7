//! What a client asked for and the hub's store has to be asked about: one thing after the other.
//!
//! Owns doing it and how it is answered. Leaves how much may wait to the
//! protocol, and the order to the connection, which has one worker.
//!
//! Source: Azure IoT Hub, "Communicate with your IoT hub using the MQTT protocol".

use bytes::Bytes;
use serde_json::{Map, Value, json};
use wasm_edge_model::error::chain;
use wasm_edge_model::twin::parse_patch;

use super::memory::Memory;
use super::protocol::{SubscriptionChange, Ticket, TwinAnswer, TwinRequest};
use crate::access::throttle::Operation;
use crate::command::{Command, Delivery};
use crate::error::HubError;
use crate::hub::Hub;
use crate::session::{Session, SessionError, SessionTwin};

/// The status of a failure, and its number in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Code(u16, u32);

const INVALID: Code = Code(400, 400_004);
const PRECONDITION: Code = Code(412, 412_001);
const THROTTLED: Code = Code(429, 429_001);
const SERVER: Code = Code(500, 500_001);
const UNAVAILABLE: Code = Code(503, 503_001);

/// Something to be done.
#[derive(Debug)]
pub(super) enum Work {
    /// A request about the twin.
    Twin {
        ticket: Ticket,
        request_id: String,
        request: TwinRequest,
    },
    /// Other subscriptions, to be remembered.
    Subscribe(SubscriptionChange),
    /// The device has a message.
    Complete {
        number: u64,
        /// Whether the client told so; else it was sent to one that tells nothing.
        told: bool,
    },
    /// Messages behind this one are wanted, at most so many.
    Fetch { after: Option<u64>, limit: usize },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Done {
    Twin(Ticket, TwinAnswer),
    Subscribed(SubscriptionChange),
    Completed {
        told: bool,
    },
    /// To be sent now.
    Fetched {
        commands: Vec<Command>,
        /// Whether there may be more.
        more: bool,
    },
    /// The session is over, or the hub failed.
    Failed(SessionError),
}

/// Does one thing at a time for one client.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) hub: Hub,
    pub(super) session: Session,
    pub(super) memory: Memory,
}

impl Worker {
    pub(super) async fn perform(&mut self, work: Work) -> Done {
        match work {
            Work::Twin {
                ticket,
                request_id,
                request,
            } => match self.twin(request_id, request).await {
                Ok(answer) => Done::Twin(ticket, answer),
                Err(err) => Done::Failed(err),
            },
            Work::Subscribe(change) => match self.memory.store(change.subscriptions).await {
                Ok(()) => Done::Subscribed(change),
                Err(err) => Done::Failed(SessionError::Hub(err)),
            },
            Work::Complete { number, told } => match self.complete(number).await {
                Ok(()) => Done::Completed { told },
                Err(err) => Done::Failed(SessionError::Hub(err)),
            },
            Work::Fetch { after, limit } => match self.fetch(after, limit).await {
                Ok(done) => done,
                Err(err) => Done::Failed(SessionError::Hub(err)),
            },
        }
    }

    /// Answers a request about the twin; only the end of the session is an error.
    async fn twin(
        &self,
        request_id: String,
        request: TwinRequest,
    ) -> Result<TwinAnswer, SessionError> {
        let (name, operation) = match &request {
            TwinRequest::Get => ("get", Operation::TwinRead),
            TwinRequest::Report { .. } => ("report", Operation::TwinUpdate),
        };
        let metrics = self.hub.metrics();
        if let Err(throttled) = self.hub.throttle(operation) {
            return Ok(failure(request_id, THROTTLED, &throttled.to_string()));
        }
        let answered = match request {
            TwinRequest::Get => self.session.look().await.map(Answered::twin),
            TwinRequest::Report { patch, version } => self.report(&patch, version).await,
        };
        metrics.twin_operation(name);
        match answered {
            Ok(Answered {
                version,
                body,
                status,
            }) => Ok(TwinAnswer {
                request_id,
                status,
                version,
                body,
            }),
            Err(err @ SessionError::Closed(_)) => Err(err),
            Err(err) => {
                let code = code(&err);
                let message = match code {
                    SERVER => {
                        let owner = self.session.owner();
                        tracing::error!(%owner, error = chain(&err), "a request about a twin failed");
                        "the hub failed; its log says why".to_owned()
                    }
                    _ => chain(&err),
                };
                Ok(failure(request_id, code, &message))
            }
        }
    }

    async fn report(&self, patch: &Bytes, version: Option<u64>) -> Result<Answered, SessionError> {
        let invalid = |problem: &str| {
            let problem = problem.to_owned();
            SessionError::Hub(HubError::Invalid { problem })
        };
        let text = std::str::from_utf8(patch).map_err(|_| invalid("the patch is not UTF-8"))?;
        let patch = parse_patch(text).map_err(SessionError::Twin)?;
        let version = self.session.report_on(&patch, version).await?;
        Ok(Answered {
            status: 204,
            version: Some(version),
            body: Bytes::new(),
        })
    }

    async fn complete(&self, number: u64) -> Result<(), HubError> {
        let device = self.session.owner().device();
        let generation_id = self.session.generation_id();
        let completed = self.hub.command_completed(device, number, generation_id);
        if completed.await? {
            self.hub.metrics().commands("completed", 1);
        }
        Ok(())
    }

    /// Reads what is to be sent next, and counts that it is.
    async fn fetch(&self, after: Option<u64>, limit: usize) -> Result<Done, HubError> {
        let device = self.session.owner().device();
        let generation_id = self.session.generation_id();
        let pending = self.hub.pending_commands(device, after, limit).await?;
        let more = pending.len() == limit;
        let mut commands = Vec::with_capacity(pending.len());
        for command in pending {
            let counted = self
                .hub
                .command_delivered(device, command.number, generation_id);
            if counted.await? == Delivery::Send {
                self.hub.metrics().commands("delivered", 1);
                commands.push(command);
            }
        }
        Ok(Done::Fetched { commands, more })
    }
}

/// A request about the twin that went well.
struct Answered {
    status: u16,
    version: Option<u64>,
    body: Bytes,
}

impl Answered {
    /// The twin as its device or module sees it.
    fn twin(twin: SessionTwin) -> Self {
        let section = |mut properties: Map<String, Value>, version: u64| {
            properties.insert("$version".to_owned(), Value::from(version));
            Value::Object(properties)
        };
        let body = json!({
            "desired": section(twin.desired, twin.desired_version),
            "reported": section(twin.reported, twin.reported_version),
        });
        Self {
            status: 200,
            version: None,
            body: Bytes::from(body.to_string()),
        }
    }
}

/// The answer to a request that was refused. Some clients look at nothing but the number in its body.
fn failure(request_id: String, Code(status, number): Code, message: &str) -> TwinAnswer {
    let body = json!({ "errorCode": number, "message": message });
    TwinAnswer {
        request_id,
        status,
        version: None,
        body: Bytes::from(body.to_string()),
    }
}

fn code(err: &SessionError) -> Code {
    match err {
        SessionError::Twin(_) | SessionError::Message(_) => INVALID,
        SessionError::Closed(_) => UNAVAILABLE,
        SessionError::Hub(err) => match err {
            HubError::Invalid { .. } => INVALID,
            HubError::PreconditionFailed { .. } => PRECONDITION,
            HubError::Contended { .. } | HubError::Busy => THROTTLED,
            HubError::Closed => UNAVAILABLE,
            _ => SERVER,
        },
    }
}

#[cfg(test)]
mod tests {
    use wasm_edge_model::twin::TwinError;

    use super::*;

    #[test]
    fn a_failure_has_a_status_and_a_body_with_its_number() {
        let check = |err: SessionError, expected| assert_eq!(code(&err), expected, "{err}");
        check(
            SessionError::Twin(TwinError::NotAnObject { what: "a number" }),
            INVALID,
        );
        let problem = "x".to_owned();
        check(SessionError::Hub(HubError::Invalid { problem }), INVALID);
        check(SessionError::Hub(HubError::Busy), THROTTLED);
        check(SessionError::Hub(HubError::Closed), UNAVAILABLE);
        let owner = crate::hub::tests::device("d");
        let etag = "2".to_owned();
        let precondition = HubError::PreconditionFailed { owner, etag };
        check(SessionError::Hub(precondition), PRECONDITION);
        let answer = failure("7".into(), INVALID, "no \"good\"");
        assert_eq!(answer.status, 400);
        assert_eq!(
            answer.body,
            r#"{"errorCode":400004,"message":"no \"good\""}"#
        );
    }

    #[test]
    fn a_twin_has_both_sections_with_their_versions_and_nothing_else() {
        let map = |value: Value| value.as_object().unwrap().clone();
        let twin = SessionTwin {
            desired: map(json!({ "a": 1 })),
            desired_version: 4,
            reported: Map::new(),
            reported_version: 1,
        };
        let expected = r#"{"desired":{"$version":4,"a":1},"reported":{"$version":1}}"#;
        assert_eq!(Answered::twin(twin).body, expected);
    }
}

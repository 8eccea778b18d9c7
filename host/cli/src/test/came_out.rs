//! What came out as lines of JSON: the form that is printed, expected, and written by `--bless`.

use std::fmt;

use serde_json::{Map, Value, json};
use wasm_edge_daemon::logs::entry::{level_name, stream_name};
use wasm_edge_daemon::testbed::outcome::{Answer, LogLine, LogStream, Outcome};
use wasm_edge_model::message::{Message, SystemProperty};

/// What is compared in order with its like: each output is a group of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// Messages at an output; `None` for those without one.
    Output(Option<String>),
    /// Reported properties.
    Reported,
    /// Answers to direct methods.
    Answer,
    /// Direct methods that the module called.
    Invoked,
    /// Messages put aside.
    Aside,
    /// Messages that the module asked for again.
    Retry,
    /// Messages that still wait at the end.
    Waiting,
    /// Messages that waited too long.
    Expired,
    /// Ends of instances.
    Ended,
    /// Log lines.
    Log,
}

/// Something that came out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CameOut {
    /// With whom it is compared.
    pub(super) group: Group,
    /// Its line.
    pub(super) json: Value,
    /// A message's body.
    pub(super) body: Vec<u8>,
}

impl Group {
    /// The group of a line, by its keys; `None` if they say none.
    pub(super) fn of(line: &Map<String, Value>) -> Option<Self> {
        let named = [
            ("reported", Self::Reported),
            ("answer", Self::Answer),
            ("invoked", Self::Invoked),
            ("aside", Self::Aside),
            ("retry", Self::Retry),
            ("waiting", Self::Waiting),
            ("expired", Self::Expired),
            ("ended", Self::Ended),
            ("log", Self::Log),
        ];
        if let Some((_, group)) = named.into_iter().find(|(key, _)| line.contains_key(*key)) {
            return (line.len() == 1).then_some(group);
        }
        let known = [
            "output",
            "body",
            "bodyText",
            "bodyBase64",
            "properties",
            "systemProperties",
        ];
        let is_message = !line.is_empty() && line.keys().all(|key| known.contains(&key.as_str()));
        let output = line.get("output").map(|output| output.as_str());
        match output {
            _ if !is_message => None,
            Some(Some(output)) => Some(Self::Output(Some(output.to_owned()))),
            Some(None) => None,
            None => Some(Self::Output(None)),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(Some(output)) => write!(f, "output `{output}`"),
            Self::Output(None) => f.write_str("messages without an output"),
            Self::Reported => f.write_str("reported properties"),
            Self::Answer => f.write_str("answers"),
            Self::Invoked => f.write_str("calls of methods"),
            Self::Aside => f.write_str("messages put aside"),
            Self::Retry => f.write_str("messages asked for again"),
            Self::Waiting => f.write_str("messages that wait"),
            Self::Expired => f.write_str("expired messages"),
            Self::Ended => f.write_str("ends of instances"),
            Self::Log => f.write_str("log lines"),
        }
    }
}

impl CameOut {
    /// Its form as JSON.
    pub(super) fn of(outcome: Outcome) -> Self {
        let (group, json) = match outcome {
            Outcome::Message(message) => return Self::message(&message),
            Outcome::Reported(patch) => (Group::Reported, json!({ "reported": patch })),
            Outcome::Answer { name, result } => {
                let mut answer = json!({ "name": name });
                match result {
                    Ok(given) => put_answer(&mut answer, &given),
                    Err(none) => answer["error"] = none.as_str().into(),
                }
                (Group::Answer, json!({ "answer": answer }))
            }
            Outcome::Invoked {
                target,
                name,
                payload,
                result,
            } => {
                let invoked = invoked(target, &name, &payload, result);
                (Group::Invoked, json!({ "invoked": invoked }))
            }
            Outcome::Log(line) => (Group::Log, json!({ "log": logged(line) })),
            Outcome::Aside {
                message,
                reason,
                detail,
            } => {
                let aside = json!({ "message": message, "reason": reason, "detail": detail });
                (Group::Aside, json!({ "aside": aside }))
            }
            Outcome::Retry { message, after } => {
                let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                let retry = json!({ "message": message, "afterMs": after_ms });
                (Group::Retry, json!({ "retry": retry }))
            }
            Outcome::Waiting { messages } => (
                Group::Waiting,
                json!({ "waiting": { "messages": messages } }),
            ),
            Outcome::Expired { message } => {
                (Group::Expired, json!({ "expired": { "message": message } }))
            }
            Outcome::Ended {
                reason, exit_code, ..
            } => {
                let ended = json!({ "reason": reason, "exitCode": exit_code });
                (Group::Ended, json!({ "ended": ended }))
            }
        };
        Self {
            group,
            json,
            body: Vec::new(),
        }
    }

    /// A message without what the host says of it: that is the same each time, or of no matter to its module.
    fn message(message: &Message) -> Self {
        let mut own = message.clone();
        own.system.remove_set_by_host();
        let mut json = own.to_json();
        let output = message.system.get(SystemProperty::OutputName);
        if let Value::Object(json) = &mut json {
            json.retain(|_, value| value.as_object().is_none_or(|object| !object.is_empty()));
            if let Some(output) = output {
                json.insert("output".to_owned(), output.into());
            }
        }
        Self {
            group: Group::Output(output.map(str::to_owned)),
            json,
            body: message.body.to_vec(),
        }
    }
}

/// A call of a method, with what it was answered.
fn invoked(
    target: Option<String>,
    name: &str,
    payload: &str,
    result: Result<Answer, String>,
) -> Value {
    let mut invoked = json!({ "name": name, "payload": parsed(payload) });
    if let Some(module) = target {
        invoked["module"] = module.into();
    }
    invoked["answer"] = match result {
        Ok(given) => {
            let mut answer = json!({});
            put_answer(&mut answer, &given);
            answer
        }
        Err(error) => json!({ "error": error }),
    };
    invoked
}

/// A log line, without what is as usual.
fn logged(line: LogLine) -> Value {
    let mut log = json!({ "level": level_name(line.level), "text": line.text });
    if line.stream != LogStream::Log {
        log["stream"] = stream_name(line.stream).into();
    }
    if !line.fields.is_empty() {
        let fields = line.fields.into_iter();
        log["fields"] = fields
            .map(|(name, value)| (name, Value::from(value)))
            .collect::<Map<_, _>>()
            .into();
    }
    log
}

fn put_answer(json: &mut Value, answer: &Answer) {
    json["status"] = answer.status.into();
    json["payload"] = parsed(&answer.payload);
}

fn parsed(payload: &str) -> Value {
    serde_json::from_str(payload).unwrap_or_else(|_| payload.into())
}

//! What can be asked of `$edgeAgent` by direct method: from a name and a payload to a checked request.
//!
//! Owns the names, the forms of the payloads and their limits, and what is said of a request that is none. Leaves
//! doing what was asked to the agent. As IoT Edge does, it reads names of methods and of members in any letter case and
//! passes over members that it does not know.
//!
//! Source: IoT Edge, "Communicate with edgeAgent using built-in direct methods" and "Retrieve logs from IoT Edge
//! deployments".

use serde_json::{Map, Value};

use crate::blob::{BlobContainer, BlobUrlError};
use crate::identity::ModuleId;
use crate::moment::{self, MomentError};
use crate::time::Timestamp;

/// The names of all methods, in the order in which they are told.
pub const NAMES: [&str; 6] = [
    "ping",
    "RestartModule",
    "GetModuleLogs",
    "UploadModuleLogs",
    "UploadSupportBundle",
    "GetTaskStatus",
];

/// The `id` of an item that means all modules.
pub const ALL_MODULES: &str = "all";

/// The most items of one request for logs: more than a device has modules.
const ITEMS_MAX: usize = 256;

/// The most lines that can be asked for by `tail`.
const TAIL_MAX: u64 = 1_000_000;

/// Longest correlation id of a task that is asked for.
const CORRELATION_ID_MAX_BYTES: usize = 128;

/// The last of syslog's severities, 7 for debug.
const SEVERITY_MAX: u64 = 7;

/// How much of a name is repeated in an error.
const SHOWN_MAX_CHARS: usize = 100;

/// What is asked of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentMethod {
    /// Is it there?
    Ping,
    /// Restart a module.
    RestartModule {
        /// Which; it may not be there.
        module: ModuleId,
    },
    /// Answer with logs.
    GetModuleLogs(LogRequest),
    /// Put logs into a container, as a task.
    UploadModuleLogs {
        /// Which.
        logs: LogRequest,
        /// Where to.
        container: BlobContainer,
    },
    /// Put a support bundle into a container, as a task.
    UploadSupportBundle {
        /// What is in it.
        bundle: BundleRequest,
        /// Where to.
        container: BlobContainer,
    },
    /// How is a task?
    GetTaskStatus {
        /// Which, as it was named when it was begun.
        correlation_id: String,
    },
}

/// Which logs are wanted, and in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRequest {
    /// Of which modules; the first that fits a module counts for it.
    pub items: Vec<LogItem>,
    /// How they are packed.
    pub encoding: LogEncoding,
    /// How a line is written.
    pub content: LogContent,
}

/// The logs of some modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogItem {
    /// A regular expression that is looked for in the names of modules in any letter case, or [`ALL_MODULES`].
    pub id: String,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// So many of the last lines, after all else.
    pub tail: Option<usize>,
    /// Of this severity of syslog alone, 0 to 7.
    pub severity: Option<u8>,
    /// A regular expression that is looked for in the text.
    pub pattern: Option<String>,
}

/// How logs are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEncoding {
    /// Not at all.
    None,
    /// By gzip.
    Gzip,
}

/// How a line of a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogContent {
    /// As a line of text.
    Text,
    /// As an object in a list.
    Json,
}

/// What is in a support bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BundleRequest {
    /// Lines of logs from this time on.
    pub since: Option<Timestamp>,
    /// Lines of logs before this time.
    pub until: Option<Timestamp>,
    /// Nothing that modules wrote.
    pub runtime_only: bool,
}

/// Why a request is none. Its text is what the caller is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentMethodError {
    /// There is no such method.
    #[error("Command '{name}' not found. The supported commands are - {}", NAMES.join(","))]
    NotFound {
        /// Its name, cut to a readable length.
        name: String,
    },
    /// The payload is not an object.
    #[error("the payload is not a JSON object")]
    NotAnObject,
    /// A member is missing.
    #[error("`{member}` is missing in the payload")]
    Missing {
        /// Which.
        member: &'static str,
    },
    /// A member is not what it should be.
    #[error("`{member}` in the payload is not {expected}")]
    Invalid {
        /// Which.
        member: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The payload is of a form that is not known.
    #[error("the schema version `{version}` is not supported; expected 1.0")]
    SchemaVersion {
        /// What it says, cut to a readable length.
        version: String,
    },
    /// A time is none.
    #[error("`{member}`: {source}")]
    Moment {
        /// Which member.
        member: &'static str,
        /// Why not. It is part of the text, which is all that a remote caller gets.
        source: MomentError,
    },
    /// The address of a container is none.
    #[error("`sasUrl`: {0}")]
    Blob(BlobUrlError),
}

impl AgentMethod {
    /// Reads a request; `payload` is JSON text, and durations in it are before `now`.
    ///
    /// # Errors
    /// [`AgentMethodError`]; the answer to it has status 400.
    pub fn parse(name: &str, payload: &str, now: Timestamp) -> Result<Self, AgentMethodError> {
        let known = NAMES.iter().find(|known| known.eq_ignore_ascii_case(name));
        let Some(known) = known else {
            let name = name.chars().take(SHOWN_MAX_CHARS).collect();
            return Err(AgentMethodError::NotFound { name });
        };
        if *known == "ping" {
            return Ok(Self::Ping);
        }
        let payload: Value = serde_json::from_str(payload).unwrap_or(Value::Null);
        let object = payload.as_object().ok_or(AgentMethodError::NotAnObject)?;
        let request = Members(object);
        // A bundle has no form that could change, and not all who ask for one say which they mean.
        if *known != "UploadSupportBundle" || request.get("schemaVersion").is_some() {
            request.check_version()?;
        }
        match *known {
            "RestartModule" => Ok(Self::RestartModule {
                module: request.module()?,
            }),
            "GetModuleLogs" => Ok(Self::GetModuleLogs(request.logs(now)?)),
            "UploadModuleLogs" => Ok(Self::UploadModuleLogs {
                logs: request.logs(now)?,
                container: request.container()?,
            }),
            "UploadSupportBundle" => Ok(Self::UploadSupportBundle {
                bundle: BundleRequest {
                    since: request.moment("since", now)?,
                    until: request.moment("until", now)?,
                    runtime_only: request.flag("edgeRuntimeOnly")?,
                },
                container: request.container()?,
            }),
            _ => Ok(Self::GetTaskStatus {
                correlation_id: request.correlation_id()?,
            }),
        }
    }

    /// Its name, one of [`NAMES`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ping => NAMES[0],
            Self::RestartModule { .. } => NAMES[1],
            Self::GetModuleLogs(_) => NAMES[2],
            Self::UploadModuleLogs { .. } => NAMES[3],
            Self::UploadSupportBundle { .. } => NAMES[4],
            Self::GetTaskStatus { .. } => NAMES[5],
        }
    }
}

/// The members of an object, by their names in any letter case. Null is as good as absent.
struct Members<'a>(&'a Map<String, Value>);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        let exact = self.0.get(name);
        let any = || {
            let mut members = self.0.iter();
            members.find(|(member, _)| member.eq_ignore_ascii_case(name))
        };
        let found = exact.or_else(|| any().map(|(_, value)| value));
        found.filter(|value| !value.is_null())
    }

    fn text(&self, member: &'static str) -> Result<Option<&'a str>, AgentMethodError> {
        let expected = "a text";
        let invalid = || AgentMethodError::Invalid { member, expected };
        self.get(member)
            .map(|value| value.as_str().ok_or_else(invalid))
            .transpose()
    }

    fn required(&self, member: &'static str) -> Result<&'a str, AgentMethodError> {
        let missing = AgentMethodError::Missing { member };
        self.text(member)?.ok_or(missing)
    }

    fn check_version(&self) -> Result<(), AgentMethodError> {
        let version = self.required("schemaVersion")?;
        match version.split_once('.').unwrap_or((version, "0")) {
            ("1", minor) if !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit()) => {
                Ok(())
            }
            _ => Err(AgentMethodError::SchemaVersion {
                version: version.chars().take(SHOWN_MAX_CHARS).collect(),
            }),
        }
    }

    fn module(&self) -> Result<ModuleId, AgentMethodError> {
        let invalid = |_| AgentMethodError::Invalid {
            member: "id",
            expected: "the name of a module",
        };
        ModuleId::new(self.required("id")?).map_err(invalid)
    }

    fn container(&self) -> Result<BlobContainer, AgentMethodError> {
        BlobContainer::parse(self.required("sasUrl")?).map_err(AgentMethodError::Blob)
    }

    fn correlation_id(&self) -> Result<String, AgentMethodError> {
        let member = "correlationId";
        let id = self.required(member)?;
        let expected = "an id of a task";
        if id.is_empty() || id.len() > CORRELATION_ID_MAX_BYTES {
            return Err(AgentMethodError::Invalid { member, expected });
        }
        Ok(id.to_owned())
    }

    fn flag(&self, member: &'static str) -> Result<bool, AgentMethodError> {
        match self.get(member) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(AgentMethodError::Invalid {
                member,
                expected: "true or false",
            }),
        }
    }

    /// A whole number, also as text.
    fn number(
        &self,
        member: &'static str,
        max: u64,
        expected: &'static str,
    ) -> Result<Option<u64>, AgentMethodError> {
        let Some(value) = self.get(member) else {
            return Ok(None);
        };
        let number = match value {
            Value::String(text) => text.parse().ok(),
            value => value.as_u64(),
        };
        let number = number.filter(|number| *number <= max);
        let invalid = AgentMethodError::Invalid { member, expected };
        number.map(Some).ok_or(invalid)
    }

    fn moment(
        &self,
        member: &'static str,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, AgentMethodError> {
        let expected = "a time or a duration";
        match self.get(member) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => moment::parse_moment(text, now)
                .map(Some)
                .map_err(|source| AgentMethodError::Moment { member, source }),
            Some(value) => {
                let seconds = value.as_i64().filter(|seconds| *seconds >= 0);
                let invalid = AgentMethodError::Invalid { member, expected };
                seconds
                    .map(|seconds| Some(moment::from_unix_seconds(seconds)))
                    .ok_or(invalid)
            }
        }
    }

    fn logs(&self, now: Timestamp) -> Result<LogRequest, AgentMethodError> {
        let member = "items";
        let items = self
            .get(member)
            .ok_or(AgentMethodError::Missing { member })?;
        let expected = "a list of 1 to 256 items";
        let items = items
            .as_array()
            .filter(|items| (1..=ITEMS_MAX).contains(&items.len()))
            .ok_or(AgentMethodError::Invalid { member, expected })?;
        let items: Result<_, _> = items.iter().map(|item| log_item(item, now)).collect();
        Ok(LogRequest {
            items: items?,
            encoding: self.word(
                "encoding",
                &[("none", LogEncoding::None), ("gzip", LogEncoding::Gzip)],
                "`none` or `gzip`",
            )?,
            content: self.word(
                "contentType",
                &[("text", LogContent::Text), ("json", LogContent::Json)],
                "`text` or `json`",
            )?,
        })
    }

    /// One of a few words in any letter case; without, the first.
    fn word<T: Copy>(
        &self,
        member: &'static str,
        words: &[(&str, T); 2],
        expected: &'static str,
    ) -> Result<T, AgentMethodError> {
        let Some(text) = self.text(member)? else {
            return Ok(words[0].1);
        };
        let found = words
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text));
        let invalid = AgentMethodError::Invalid { member, expected };
        found.map(|(_, word)| *word).ok_or(invalid)
    }
}

fn log_item(item: &Value, now: Timestamp) -> Result<LogItem, AgentMethodError> {
    let invalid = |member, expected| AgentMethodError::Invalid { member, expected };
    let item = item
        .as_object()
        .ok_or(invalid("items", "a list of objects"))?;
    let item = Members(item);
    let id = item.required("id")?;
    if id.is_empty() {
        return Err(invalid("id", "a regular expression"));
    }
    let none = Map::new();
    let filter = match item.get("filter") {
        None => &none,
        Some(filter) => filter.as_object().ok_or(invalid("filter", "an object"))?,
    };
    let filter = Members(filter);
    let tail = filter.number("tail", TAIL_MAX, "a whole number from 0 to 1000000")?;
    let severity = filter.number("loglevel", SEVERITY_MAX, "a whole number from 0 to 7")?;
    Ok(LogItem {
        id: id.to_owned(),
        since: filter.moment("since", now)?,
        until: filter.moment("until", now)?,
        tail: tail.and_then(|tail| usize::try_from(tail).ok()),
        severity: severity.and_then(|severity| u8::try_from(severity).ok()),
        pattern: filter
            .text("regex")?
            .filter(|pattern| !pattern.is_empty())
            .map(str::to_owned),
    })
}

#[cfg(test)]
mod tests;

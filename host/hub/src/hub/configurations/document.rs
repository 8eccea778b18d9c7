//! A configuration: what is asked for, stored and shown.
//!
//! Owns its JSON at the service API and in the store, and the limits of its
//! parts. Leaves what it sets to the content and whom it is for to the query
//! language.
//!
//! Source: Azure IoT Hub, REST reference, "Configuration".

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wasm_edge_model::time::Timestamp;

use super::content::Content;
use super::error::ConfigurationError;
use crate::query::{Query, Source, Target};

/// Longest id, in characters.
pub const CONFIGURATION_ID_MAX_CHARS: usize = 128;

/// Most labels, and most metrics of its own, that a configuration may have.
pub const CONFIGURATION_ENTRIES_MAX: usize = 20;

/// Longest name of a label or metric, longest text of a label, longest schema version, in bytes.
pub const CONFIGURATION_TEXT_MAX_BYTES: usize = 256;

/// The version of the stored form.
const STORED_FORMAT: u32 = 1;

/// What a configuration has for its schema version when none was given.
const SCHEMA_VERSION: &str = "1.0";

/// The id of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigurationId(String);

/// What somebody asks a configuration to be.
///
/// Read from the service API's JSON, where all else is passed over: clients
/// send back what they got.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationRequest {
    /// Its id, as the path says.
    pub id: Option<String>,
    /// The version of the content's form; free text.
    pub schema_version: Option<String>,
    /// What people note.
    pub labels: Option<BTreeMap<String, String>>,
    /// What it sets.
    pub content: Option<Map<String, Value>>,
    /// Whom it is for.
    pub target_condition: Option<String>,
    /// Who comes last has the last word: larger numbers come later.
    pub priority: Option<i64>,
    /// Queries whose results are counted.
    pub metrics: Option<MetricsRequest>,
}

/// The metrics of a request.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct MetricsRequest {
    /// The queries by their names.
    pub queries: Option<BTreeMap<String, String>>,
}

/// A configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Configuration {
    pub(crate) id: ConfigurationId,
    stored: Stored,
    pub(crate) content: Content,
    pub(crate) target: Target,
    /// Its own metrics.
    pub(crate) metrics: BTreeMap<String, Query>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    format: u32,
    schema_version: String,
    labels: BTreeMap<String, String>,
    content: Map<String, Value>,
    target_condition: String,
    priority: i64,
    metrics: BTreeMap<String, String>,
    created_time_utc: Timestamp,
    last_updated_time_utc: Timestamp,
    etag: u64,
}

impl ConfigurationId {
    /// Checks a text and makes it an id: 1 to [`CONFIGURATION_ID_MAX_CHARS`] of ASCII letters,
    /// digits and `- : . + % _ # * ? ! ( ) , = @ ; $ '`.
    ///
    /// # Errors
    /// [`ConfigurationError::Id`].
    pub fn new(text: &str) -> Result<Self, ConfigurationError> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-:.+%_#*?!(),=@;$'".contains(c);
        let problem = match text.chars().find(|c| !is_allowed(*c)) {
            Some(c) => format!("`{}` cannot be in it", c.escape_debug()),
            None if text.is_empty() => "it is empty".to_owned(),
            None if text.len() > CONFIGURATION_ID_MAX_CHARS => {
                format!("it has more than {CONFIGURATION_ID_MAX_CHARS} characters")
            }
            None => return Ok(Self(text.to_owned())),
        };
        let id = text.chars().take(CONFIGURATION_ID_MAX_CHARS).collect();
        Err(ConfigurationError::Id { id, problem })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ConfigurationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Configuration {
    /// A new configuration as asked for.
    pub(crate) fn create(
        id: &ConfigurationId,
        request: ConfigurationRequest,
        now: Timestamp,
    ) -> Result<Self, ConfigurationError> {
        let content = request.content.clone().ok_or_else(|| {
            let problem = "`content` is missing: say what the configuration sets".to_owned();
            ConfigurationError::Content { problem }
        })?;
        let stored = Stored {
            format: STORED_FORMAT,
            schema_version: SCHEMA_VERSION.to_owned(),
            labels: BTreeMap::new(),
            content,
            target_condition: String::new(),
            priority: 0,
            metrics: BTreeMap::new(),
            created_time_utc: now,
            last_updated_time_utc: now,
            etag: 1,
        };
        Self::checked(id, stored.with(id, request)?)
    }

    /// The configuration changed as asked for; what is not said stays, and the content has to stay.
    pub(crate) fn update(
        &self,
        request: ConfigurationRequest,
        now: Timestamp,
    ) -> Result<Self, ConfigurationError> {
        let without_nulls = |content: &Map<String, Value>| {
            let kept = content.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(key, value)| (key.clone(), value.clone()))
                .collect::<Map<_, _>>()
        };
        if let Some(content) = &request.content
            && without_nulls(content) != without_nulls(&self.stored.content)
        {
            let problem =
                "`content` of a configuration cannot be changed: delete it and make another";
            let problem = problem.to_owned();
            return Err(ConfigurationError::Content { problem });
        }
        let mut stored = self.stored.clone().with(&self.id, request)?;
        stored.last_updated_time_utc = now;
        stored.etag += 1;
        Self::checked(&self.id, stored)
    }

    fn checked(id: &ConfigurationId, stored: Stored) -> Result<Self, ConfigurationError> {
        let content = Content::parse(&stored.content)
            .map_err(|problem| ConfigurationError::Content { problem })?;
        let target = target(&stored.target_condition)?;
        if let Some(condition) = &target.condition {
            let wanted = match content {
                Content::Module(_) => Source::Modules,
                Content::Device(_) | Content::Edge { .. } => Source::Devices,
            };
            if target.source != wanted && !is_all(condition) {
                let problem = format!(
                    "`targetCondition` is for `{}`, `{}` for `{wanted}`",
                    target.source,
                    content.kind()
                );
                return Err(ConfigurationError::Invalid { problem });
            }
        }
        let metrics = stored
            .metrics
            .iter()
            .map(|(name, query)| metric(name, query).map(|query| (name.clone(), query)));
        Ok(Self {
            id: id.clone(),
            metrics: metrics.collect::<Result<_, _>>()?,
            content,
            target,
            stored,
        })
    }

    /// The etag: base64 of the counter's decimal digits.
    pub(crate) fn etag(&self) -> String {
        BASE64.encode(self.stored.etag.to_string())
    }

    /// Larger comes later and has the last word; of two with the same priority the newer.
    pub(crate) fn rank(&self) -> (i64, Timestamp, &ConfigurationId) {
        let stored = &self.stored;
        (stored.priority, stored.created_time_utc, &self.id)
    }

    pub(crate) fn priority(&self) -> i64 {
        self.stored.priority
    }

    /// The queries of its own metrics, as they were written.
    pub(crate) fn metric_queries(&self) -> &BTreeMap<String, String> {
        &self.stored.metrics
    }

    /// The configuration as the service API shows it, without the results of metrics.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let stored = &self.stored;
        let mut content = stored.content.clone();
        content.retain(|_, value| !value.is_null());
        let json = json!({
            "id": self.id.as_str(),
            "schemaVersion": stored.schema_version,
            "labels": stored.labels,
            "content": content,
            "targetCondition": stored.target_condition,
            "createdTimeUtc": stored.created_time_utc,
            "lastUpdatedTimeUtc": stored.last_updated_time_utc,
            "priority": stored.priority,
            "etag": self.etag(),
        });
        match json {
            Value::Object(members) => members,
            _ => unreachable!("it was written as an object"),
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let json = serde_json::to_vec(&self.stored);
        Bytes::from(json.expect("keys are texts, which JSON can hold"))
    }

    pub(crate) fn decode(id: &str, content: &[u8]) -> Result<Self, ConfigurationError> {
        let damaged = |problem: String| ConfigurationError::Damaged {
            id: id.to_owned(),
            problem,
        };
        let stored: Stored =
            serde_json::from_slice(content).map_err(|err| damaged(err.to_string()))?;
        if stored.format != STORED_FORMAT {
            let found = stored.format;
            return Err(damaged(format!(
                "it has format {found}, this version reads {STORED_FORMAT}"
            )));
        }
        let checked = ConfigurationId::new(id).and_then(|id| Self::checked(&id, stored));
        checked.map_err(|err| damaged(wasm_edge_model::error::chain(&err)))
    }
}

/// Reads a target condition.
pub(crate) fn target(text: &str) -> Result<Target, ConfigurationError> {
    Target::parse(text).map_err(ConfigurationError::Target)
}

/// Reads the query of a metric, which counts twins.
pub(crate) fn metric(name: &str, text: &str) -> Result<Query, ConfigurationError> {
    let query = Query::parse(text).map_err(|source| ConfigurationError::Metric {
        name: name.to_owned(),
        source,
    })?;
    if query.is_grouped() || query.source() == Source::Jobs {
        let problem = format!(
            "the metric `{}` has to choose twins, which are counted: `SELECT deviceId FROM devices WHERE …`",
            name.escape_debug()
        );
        return Err(ConfigurationError::Invalid { problem });
    }
    Ok(query)
}

/// Whether a target is `*`, which fits every content.
fn is_all(condition: &crate::query::syntax::Expression) -> bool {
    use crate::query::syntax::{Constant, Expression};
    *condition == Expression::Constant(Constant::Bool(true))
}

impl Stored {
    fn with(
        mut self,
        id: &ConfigurationId,
        request: ConfigurationRequest,
    ) -> Result<Self, ConfigurationError> {
        let invalid = |problem: String| ConfigurationError::Invalid { problem };
        if let Some(found) = request.id
            && found != id.as_str()
        {
            let found = found.escape_debug();
            return Err(invalid(format!("`id` is `{found}`, the path says `{id}`")));
        }
        if let Some(version) = request.schema_version {
            check_text("schemaVersion", &version)?;
            self.schema_version = version;
        }
        if let Some(labels) = request.labels {
            check_entries("labels", &labels)?;
            for (name, text) in &labels {
                check_text(&format!("labels.{}", name.escape_debug()), text)?;
            }
            self.labels = labels;
        }
        if let Some(condition) = request.target_condition {
            self.target_condition = condition;
        }
        if let Some(priority) = request.priority {
            if !(0..=i64::from(i32::MAX)).contains(&priority) {
                let expected = format!("a number from 0 to {}", i32::MAX);
                return Err(invalid(format!(
                    "`priority` is {priority}; expected {expected}"
                )));
            }
            self.priority = priority;
        }
        if let Some(queries) = request.metrics.and_then(|metrics| metrics.queries) {
            check_entries("metrics.queries", &queries)?;
            self.metrics = queries;
        }
        Ok(self)
    }
}

fn check_entries(name: &str, entries: &BTreeMap<String, String>) -> Result<(), ConfigurationError> {
    if entries.len() > CONFIGURATION_ENTRIES_MAX {
        let found = entries.len();
        let problem =
            format!("`{name}` has {found} entries, more than {CONFIGURATION_ENTRIES_MAX}");
        return Err(ConfigurationError::Invalid { problem });
    }
    entries.keys().try_for_each(|key| check_text(name, key))
}

fn check_text(name: &str, text: &str) -> Result<(), ConfigurationError> {
    if text.len() > CONFIGURATION_TEXT_MAX_BYTES {
        let problem =
            format!("`{name}` has a text of more than {CONFIGURATION_TEXT_MAX_BYTES} bytes");
        return Err(ConfigurationError::Invalid { problem });
    }
    Ok(())
}

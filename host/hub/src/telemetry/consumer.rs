//! Named consumers: how far somebody has read the telemetry, kept for him.
//!
//! Owns the position of each name, durable before it is told, and one reading
//! from there. Reading moves nothing: a consumer says itself how far it got,
//! so that what it loses in between comes again. Leaves the messages to the
//! log; where they go by age or number before a consumer came, it is told how
//! many.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use wasm_edge_model::message::MessageFilter;
use wasm_edge_model::time::Timestamp;

use super::{StartAt, Telemetry, TelemetryEvent};
use crate::error::HubError;
use crate::hub::Hub;
use crate::store::{Collection, DocumentKey, Expected, Swap};

/// How many consumers there may be: each is a document that is never dropped by itself.
pub const CONSUMERS_MAX: usize = 100;

/// Longest name of a consumer.
pub const CONSUMER_NAME_MAX_BYTES: usize = 64;

/// Most messages of one reading.
pub const EVENTS_MAX: usize = 1000;

/// A reading ends with the message by which its bodies and properties reach this size.
pub const EVENTS_MAX_BYTES: usize = 4 * 1024 * 1024;

/// How long a reading may wait for the first message.
pub const EVENTS_WAIT_MAX: Duration = Duration::from_secs(60);

/// How long a reading that finds nothing it wants goes on through what is kept.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(10);

/// How often a change is tried again because another came first.
const SWAP_TRIES_MAX: usize = 16;

/// What names of the hub's own consumers begin with; no other name can.
const OWN_PREFIX: char = '$';

/// The version of stored consumers.
const FORMAT: u32 = 1;

/// The name of a consumer: 1 to 64 letters, digits, `.`, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerName(String);

/// A text is no [`ConsumerName`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{}` is no name of a consumer: 1 to {CONSUMER_NAME_MAX_BYTES} letters, digits, `.`, `_` and `-`",
    .text.escape_debug()
)]
pub struct ConsumerNameError {
    text: String,
}

/// Somebody who reads the telemetry, and how far he got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// His name.
    pub name: ConsumerName,
    /// The position of the message that he wants next.
    pub position: u64,
    /// When he said so last.
    pub updated: Timestamp,
}

/// What a reading came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Events {
    /// The messages, in order.
    pub messages: Vec<Telemetry>,
    /// What is gone that would have come before or between them.
    pub lost: Lost,
    /// The position behind all that was looked at: where to go on.
    pub position: u64,
}

/// What is gone of the messages that a reader would have got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lost {
    /// Nothing.
    #[default]
    Nothing,
    /// So many.
    Messages(u64),
    /// Nobody knows how many: the hub's telemetry was begun anew.
    Unknown,
}

/// What is wanted of a reading.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Which messages.
    pub filter: MessageFilter,
    /// How many at most; [`EVENTS_MAX`] counts.
    pub max: usize,
    /// How long to wait for the first; [`EVENTS_WAIT_MAX`] counts.
    pub wait: Duration,
}

/// A consumer as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    format: u32,
    position: u64,
    updated: Timestamp,
}

impl ConsumerName {
    /// Checks a text and makes it a name.
    ///
    /// # Errors
    /// [`ConsumerNameError`].
    pub fn new(text: &str) -> Result<Self, ConsumerNameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        match (1..=CONSUMER_NAME_MAX_BYTES).contains(&text.len()) && text.bytes().all(allowed) {
            true => Ok(Self(text.to_owned())),
            false => Err(ConsumerNameError {
                text: text.chars().take(CONSUMER_NAME_MAX_BYTES).collect(),
            }),
        }
    }

    /// As [`ConsumerName::new`], also for the hub's own, which begin with `$`.
    ///
    /// # Errors
    /// [`ConsumerNameError`].
    pub fn any(text: &str) -> Result<Self, ConsumerNameError> {
        match text.strip_prefix(OWN_PREFIX) {
            Some(rest) => Self::new(rest).map(|name| name.own()),
            None => Self::new(text),
        }
    }

    /// The name of a consumer of the hub's own.
    pub(crate) fn own(self) -> Self {
        Self(format!("{OWN_PREFIX}{}", self.0))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Consumer {
    /// The consumer as one JSON object.
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name.as_str(),
            "position": self.position.to_string(),
            "updatedTime": self.updated,
        })
    }

    fn decode(name: ConsumerName, content: &[u8]) -> Result<Self, HubError> {
        let damaged = |problem: String| HubError::Consumer {
            name: name.to_string(),
            problem,
        };
        let stored: Stored =
            serde_json::from_slice(content).map_err(|err| damaged(err.to_string()))?;
        if stored.format != FORMAT {
            let problem = format!(
                "it has format {}, this version reads {FORMAT}",
                stored.format
            );
            return Err(damaged(problem));
        }
        Ok(Self {
            name,
            position: stored.position,
            updated: stored.updated,
        })
    }

    fn encode(&self) -> bytes::Bytes {
        let stored = Stored {
            format: FORMAT,
            position: self.position,
            updated: self.updated,
        };
        serde_json::to_vec(&stored)
            .expect("numbers and times are JSON")
            .into()
    }

    fn key(&self) -> DocumentKey {
        DocumentKey::consumer(self.name.as_str())
    }
}

impl Events {
    /// The reading as one JSON object: `events`, each as of [`Telemetry::to_json`], `position` as text, and where
    /// something is gone `lost`: how many, or `true`.
    pub fn to_json(&self) -> Value {
        let events: Value = self.messages.iter().map(Telemetry::to_json).collect();
        let mut json = json!({ "events": events, "position": self.position.to_string() });
        match self.lost {
            Lost::Nothing => {}
            Lost::Messages(count) => json["lost"] = count.into(),
            Lost::Unknown => json["lost"] = true.into(),
        }
        json
    }
}

impl Lost {
    fn add(&mut self, count: u64) {
        *self = match *self {
            Self::Unknown => Self::Unknown,
            Self::Nothing => Self::Messages(count),
            Self::Messages(before) => Self::Messages(before + count),
        };
    }
}

impl Hub {
    /// All consumers, in the order of their names.
    ///
    /// # Errors
    /// [`HubError::Consumer`], [`HubError::Store`].
    pub async fn consumers(&self) -> Result<Vec<Consumer>, HubError> {
        let mut consumers = Vec::new();
        let mut after: Option<DocumentKey> = None;
        loop {
            let listing = self
                .store()
                .scan(&Collection::Consumers, after.as_ref(), CONSUMERS_MAX)
                .await?;
            for (key, document) in &listing.documents {
                if let Ok(name) = ConsumerName::any(key.name()) {
                    consumers.push(Consumer::decode(name, &document.content)?);
                }
            }
            after = listing.documents.last().map(|(key, _)| key.clone());
            if !listing.more || after.is_none() {
                return Ok(consumers);
            }
        }
    }

    /// The consumer of this name.
    ///
    /// # Errors
    /// [`HubError::NoSuchConsumer`], [`HubError::Consumer`], [`HubError::Store`].
    pub async fn consumer(&self, name: &ConsumerName) -> Result<Consumer, HubError> {
        let key = DocumentKey::consumer(name.as_str());
        match self.store().read(&key).await? {
            Some(document) => Consumer::decode(name.clone(), &document.content),
            None => Err(HubError::NoSuchConsumer {
                name: name.to_string(),
            }),
        }
    }

    /// Notes how far a consumer got, who is made if he is not known; on disk when this answers.
    ///
    /// # Errors
    /// [`HubError::Invalid`] for a position that is not there yet, [`HubError::TooManyConsumers`],
    /// [`HubError::Busy`] when others note at the same time, [`HubError::Store`].
    pub async fn set_consumer(
        &self,
        name: &ConsumerName,
        at: StartAt,
    ) -> Result<Consumer, HubError> {
        let consumer = Consumer {
            name: name.clone(),
            position: self.position_of(at)?,
            updated: self.now(),
        };
        let key = consumer.key();
        for _ in 0..SWAP_TRIES_MAX {
            let present = self.store().read(&key).await?;
            let expected = match &present {
                Some(document) => Expected::Revision(document.revision),
                None => Expected::Absent,
            };
            let content = Some(consumer.encode());
            let swap = self
                .store()
                .compare_and_set(&key, expected, content)
                .await?;
            let Swap::Done(revision) = swap else { continue };
            // Looked at afterwards, so that two at once cannot both be the last one.
            if present.is_none() && self.consumers().await?.len() > CONSUMERS_MAX {
                let expected = Expected::Revision(revision);
                self.store().compare_and_set(&key, expected, None).await?;
                return Err(HubError::TooManyConsumers {
                    limit: CONSUMERS_MAX,
                });
            }
            return Ok(consumer);
        }
        Err(HubError::Busy)
    }

    /// Forgets a consumer.
    ///
    /// # Errors
    /// [`HubError::NoSuchConsumer`], [`HubError::Busy`], [`HubError::Store`].
    pub async fn delete_consumer(&self, name: &ConsumerName) -> Result<(), HubError> {
        let key = DocumentKey::consumer(name.as_str());
        for _ in 0..SWAP_TRIES_MAX {
            let Some(document) = self.store().read(&key).await? else {
                return Err(HubError::NoSuchConsumer {
                    name: name.to_string(),
                });
            };
            let expected = Expected::Revision(document.revision);
            if self.store().compare_and_set(&key, expected, None).await? != Swap::Conflict {
                return Ok(());
            }
        }
        Err(HubError::Busy)
    }

    /// Reads on from where a consumer stands, and moves nothing.
    ///
    /// # Errors
    /// As [`Hub::consumer`] and [`Hub::telemetry`].
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn consumer_events(
        &self,
        name: &ConsumerName,
        reading: &Reading,
    ) -> Result<Events, HubError> {
        let consumer = self.consumer(name).await?;
        if consumer.position <= self.telemetry_status().next {
            return self.events(consumer.position, reading).await;
        }
        // The telemetry that he had read is not that which is there now.
        let earliest = self.telemetry_status().earliest;
        let events = self.events(earliest, reading).await?;
        Ok(Events {
            lost: Lost::Unknown,
            ..events
        })
    }

    /// Reads from a position on: what there is, else the first that comes.
    ///
    /// # Errors
    /// As [`Hub::telemetry`].
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn events(&self, position: u64, reading: &Reading) -> Result<Events, HubError> {
        let mut reader = self.telemetry(StartAt::Position(position))?;
        let begun = Instant::now();
        let wait_until = begun + reading.wait.min(EVENTS_WAIT_MAX);
        let search_until = wait_until.max(begun + SEARCH_TIME_MAX);
        let max = reading.max.min(EVENTS_MAX);
        let mut events = Events {
            messages: Vec::new(),
            lost: Lost::Nothing,
            position,
        };
        let mut bytes = 0;
        while events.messages.len() < max && bytes < EVENTS_MAX_BYTES {
            let has_more = events.position < self.telemetry_status().next;
            if !has_more && !events.is_nothing() {
                break;
            }
            let until = if has_more { search_until } else { wait_until };
            match timeout_at(until, reader.next()).await {
                Err(_) => break,
                Ok(None) if events.messages.is_empty() => return Err(HubError::Closed),
                Ok(None) => break,
                Ok(Some(TelemetryEvent::Lost(count))) => {
                    events.lost.add(count);
                    events.position += count;
                }
                Ok(Some(TelemetryEvent::Message(telemetry))) => {
                    events.position = telemetry.position + 1;
                    if reading.filter.takes(&telemetry.source, &telemetry.message) {
                        bytes += telemetry.message.size_bytes();
                        events.messages.push(*telemetry);
                    }
                }
            }
        }
        Ok(events)
    }

    pub(crate) fn position_of(&self, at: StartAt) -> Result<u64, HubError> {
        let status = self.telemetry_status();
        match at {
            StartAt::Earliest => Ok(status.earliest),
            StartAt::Latest => Ok(status.next),
            StartAt::Position(position) if position > status.next => Err(HubError::Invalid {
                problem: format!(
                    "there is no message at position {position} yet; the next one is {}",
                    status.next
                ),
            }),
            StartAt::Position(position) => Ok(position),
        }
    }
}

impl Events {
    fn is_nothing(&self) -> bool {
        self.messages.is_empty() && self.lost == Lost::Nothing
    }
}

#[cfg(test)]
mod tests;

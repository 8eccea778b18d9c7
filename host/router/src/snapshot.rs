//! What the router shows of itself: queue lengths and counters, for the management API and the metrics.
//!
//! Plain data, serialised in camelCase. Counters only grow while the router lives; an endpoint or sender that
//! is gone takes its own along.

use std::time::Duration;

use serde::{Serialize, Serializer};
use wasm_edge_model::identity::ModuleId;

use crate::endpoint::Endpoint;
use crate::journal::Space;
use crate::journal::figures::JournalFigures;

/// The whole router at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouterSnapshot {
    /// Messages held in memory only, each counted once.
    pub messages: usize,
    /// Their bytes, content and overhead.
    pub bytes: usize,
    /// How many messages may be held in memory only.
    pub messages_max: usize,
    /// How many bytes may be held in memory only.
    pub bytes_max: usize,
    /// What is in the store; absent when everything is in memory only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreSnapshot>,
    /// Every endpoint that a route names or that holds something, by name.
    pub endpoints: Vec<EndpointSnapshot>,
    /// Every sender, by name.
    pub senders: Vec<SenderSnapshot>,
}

/// What is in the store, and what it takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreSnapshot {
    /// Messages that are staged, wait or are in hand, each counted at every endpoint.
    pub messages: usize,
    /// Their bytes, each counted at every endpoint.
    pub bytes: usize,
    /// How many messages there may be.
    pub messages_max: usize,
    /// The space of the files.
    pub space: Space,
    /// What was written and read.
    pub figures: JournalFigures,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSnapshot {
    /// Its name.
    pub endpoint: Endpoint,
    /// Whether a route leads here now.
    pub routed: bool,
    /// Messages that wait to be handed over.
    pub queued_messages: usize,
    /// Messages handed over and not ended yet.
    pub in_hand_messages: usize,
    /// Places kept for messages that are staged.
    pub staged_messages: usize,
    /// Bytes of all three.
    pub bytes: usize,
    /// The queues that are not empty, highest priority first.
    pub priorities: Vec<PrioritySnapshot>,
    /// Messages put aside.
    pub aside_messages: usize,
    /// Their bytes.
    pub aside_bytes: usize,
    /// What happened here.
    pub counters: EndpointCounters,
}

/// One priority of an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrioritySnapshot {
    /// The priority; 0 is the highest.
    pub priority: u32,
    /// Messages that wait.
    pub messages: usize,
    /// How long the oldest has been waiting, in milliseconds; absent when it is on the disk.
    #[serde(
        rename = "oldestMs",
        skip_serializing_if = "Option::is_none",
        serialize_with = "millis"
    )]
    pub oldest: Option<Duration>,
    /// How much longer the first one waits after a try, in milliseconds; absent when it is due.
    #[serde(
        rename = "waitsMs",
        skip_serializing_if = "Option::is_none",
        serialize_with = "millis"
    )]
    pub waits: Option<Duration>,
}

/// What happened at an endpoint.
///
/// `taken`, `recovered` and `retried` are together the sum of `delivered`, the losses (`expired`, `removed`,
/// `droppedOldest`, `thinnedOut`, `purged`, `damaged`), those put aside, and what waits or is in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointCounters {
    /// Messages that entered.
    pub taken: u64,
    /// Messages that were here when the device started.
    pub recovered: u64,
    /// Messages that were put aside and wait again.
    pub retried: u64,
    /// Messages completed.
    pub delivered: u64,
    /// Tries that failed.
    pub failed_tries: u64,
    /// Times that the module asked for a message later.
    pub retries: u64,
    /// Messages dropped because their time to live was over.
    pub expired: u64,
    /// Messages dropped because their module was removed.
    pub removed: u64,
    /// Messages dropped to make room for newer ones of their sender.
    pub dropped_oldest: u64,
    /// Messages dropped on arrival since there was no room; not in `taken`.
    pub dropped_newest: u64,
    /// Messages dropped when every second one was, to make room.
    pub thinned_out: u64,
    /// Messages that an operator threw away.
    pub purged: u64,
    /// Messages that could not be read from the disk any more.
    pub damaged: u64,
    /// Messages put aside because the module rejected them.
    pub rejected: u64,
    /// Messages put aside after too many failed tries.
    pub tries_exhausted: u64,
    /// Messages put aside after the module asked for them later too often.
    pub retries_exhausted: u64,
    /// Messages put aside that were dropped to make room for newer ones, or with their module.
    pub aside_dropped: u64,
}

/// One sender.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SenderSnapshot {
    /// The module.
    pub module: ModuleId,
    /// Messages of it held at any endpoint, staged ones included.
    pub messages: usize,
    /// Their bytes.
    pub bytes: usize,
    /// What happened to what it sent.
    pub counters: SenderCounters,
}

/// What happened to the messages of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SenderCounters {
    /// Messages taken, those without a route included.
    pub taken: u64,
    /// Messages that no route took.
    pub no_route: u64,
    /// Sends refused because there was no room.
    pub would_block: u64,
    /// Sends refused because the message was too large or not valid.
    pub invalid: u64,
    /// Copies of its messages dropped because their time to live was over.
    pub expired: u64,
    /// Notifications of changes of its reported properties dropped because there was no room.
    pub twin_changes_dropped: u64,
}

fn millis<S: Serializer>(waits: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    let millis = waits.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    millis.serialize(serializer)
}

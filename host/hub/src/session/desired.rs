//! Changes of desired properties as a session is told of them.
//!
//! Owns what a session was told last, the changes that were made a moment ago
//! in this process, and finding out from both what to tell. The stored
//! document decides: what was made here is told as it was made only if it
//! leads to what is stored, and else the difference is told. So a change that
//! another process made, or too many at once, are told as well.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use wasm_edge_model::twin::{Applied, diff, merge_patch, size_bytes};

use super::connections::Connection;
use crate::record::Record;

/// Changes that are remembered for a session until it is told; with more, it is told the difference.
const RECENT_MAX: usize = 8;

/// The largest change that is remembered. Larger ones are told as a difference.
const RECENT_SIZE_MAX_BYTES: usize = 64 * 1024;

/// A change of the desired properties.
///
/// Nothing is ever left out: the patch leads from `previous_version` to
/// `version`. As a rule each change is told by itself and as it was made;
/// several may come as one. Who has another version than `previous_version`
/// reads the twin; who has `version` or a newer one passes the change over.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredChange {
    /// A merge patch; null deletes a key.
    pub patch: Map<String, Value>,
    /// All properties after the change, where they were put in place of all there were.
    pub replacement: Option<Map<String, Value>>,
    /// The version that the patch starts from.
    pub previous_version: u64,
    /// The version that it leads to.
    pub version: u64,
}

impl DesiredChange {
    /// The body of the notification: the patch as it was made, or all properties where they were
    /// replaced, with `$version`.
    pub fn notification(&self) -> Map<String, Value> {
        let mut body = self.replacement.as_ref().unwrap_or(&self.patch).clone();
        body.insert("$version".to_owned(), Value::from(self.version));
        body
    }
}

/// How desired properties are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// By a merge patch.
    Patch,
    /// By others in their place.
    Replacement,
}

/// The desired properties that a session was told last.
#[derive(Debug, Default)]
pub(super) struct Told {
    desired: Map<String, Value>,
    version: u64,
}

impl Told {
    pub(super) fn of(record: &Record) -> Self {
        let desired = &record.twin.desired;
        Self {
            desired: desired.properties().clone(),
            version: desired.version(),
        }
    }

    /// What has to be told so that the session knows what `record` says; it is taken as told.
    pub(super) fn tell(&mut self, record: &Record, recent: &Recent) -> Vec<DesiredChange> {
        let desired = &record.twin.desired;
        // An older one was read before the session itself read a newer.
        if desired.version() <= self.version {
            return Vec::new();
        }
        let changes = self.as_made(record, recent).unwrap_or_else(|| {
            vec![DesiredChange {
                patch: diff(&self.desired, desired.properties()),
                replacement: None,
                previous_version: self.version,
                version: desired.version(),
            }]
        });
        *self = Self::of(record);
        recent.forget(self.version);
        changes
    }

    /// The changes as they were made, if each one since is known and they lead to what is stored.
    fn as_made(&self, record: &Record, recent: &Recent) -> Option<Vec<DesiredChange>> {
        let stored = &record.twin.desired;
        if stored.version() - self.version > RECENT_MAX as u64 {
            return None;
        }
        let recent = recent.changes();
        let mut desired = self.desired.clone();
        let mut told = Vec::new();
        for version in self.version + 1..=stored.version() {
            // Of several that were tried at once, the last one is the one that was written.
            let made = recent.iter().rfind(|made| made.version == version)?;
            let (patch, replacement) = match made.kind {
                ChangeKind::Patch => (made.changes.clone(), None),
                ChangeKind::Replacement => {
                    let patch = replacing(&desired, &made.changes);
                    (patch, Some(made.changes.clone()))
                }
            };
            merge_patch(&mut desired, &patch);
            told.push(DesiredChange {
                patch,
                replacement,
                previous_version: version - 1,
                version,
            });
        }
        (desired == *stored.properties()).then_some(told)
    }
}

/// The merge patch that names everything there is in `new`, and deletes what else there is in `old`.
fn replacing(old: &Map<String, Value>, new: &Map<String, Value>) -> Map<String, Value> {
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    let gone = gone.map(|key| (key.clone(), Value::Null));
    let named = new.iter().map(|(key, value)| {
        let value = match (old.get(key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => Value::Object(replacing(old, new)),
            (_, value) => value.clone(),
        };
        (key.clone(), value)
    });
    gone.chain(named).collect()
}

/// The changes of the last moment, oldest first. Written by those who change the twin, emptied by
/// the session's events; short sections only.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<VecDeque<Made>>);

#[derive(Debug)]
struct Made {
    version: u64,
    kind: ChangeKind,
    changes: Map<String, Value>,
    /// Tells apart those that were tried at once.
    mark: Arc<()>,
}

/// A change that is about to be written; withdrawn when it is dropped and was not kept.
#[derive(Debug)]
pub(crate) struct Announcement {
    connection: Arc<Connection>,
    mark: Arc<()>,
    kept: bool,
}

impl Recent {
    fn changes(&self) -> MutexGuard<'_, VecDeque<Made>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, version: u64) {
        self.changes().retain(|made| made.version > version);
    }
}

impl Announcement {
    /// Tells the session of `connection` how a change is made that is about to be written; nothing
    /// for one that is too large to be remembered.
    pub(super) fn new(
        connection: Arc<Connection>,
        applied: Applied,
        kind: ChangeKind,
    ) -> Option<Self> {
        if size_bytes(&applied.changes) > RECENT_SIZE_MAX_BYTES {
            return None;
        }
        let mark = Arc::new(());
        let mut changes = connection.recent().changes();
        if changes.len() == RECENT_MAX {
            changes.pop_front();
        }
        changes.push_back(Made {
            version: applied.version,
            kind,
            changes: applied.changes,
            mark: Arc::clone(&mark),
        });
        drop(changes);
        Some(Self {
            connection,
            mark,
            kept: false,
        })
    }

    /// The change was written.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        if !self.kept {
            let mut changes = self.connection.recent().changes();
            changes.retain(|made| !Arc::ptr_eq(&made.mark, &self.mark));
        }
    }
}

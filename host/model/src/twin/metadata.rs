//! When each property was last written: the `$metadata` of a section.
//!
//! Owns a tree that mirrors the objects of the properties at every level.
//! Leaves deciding what a change touches to nobody else: the section passes
//! patches on unread.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::Timestamp;

/// Reads and writes the tree of one object or value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Metadata {
    last_updated: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_updated_version: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    members: BTreeMap<String, Metadata>,
}

/// The moment and the version of a change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) now: Timestamp,
    pub(super) version: u64,
}

impl Metadata {
    /// The metadata of a section that was never written.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            last_updated: now,
            last_updated_version: None,
            members: BTreeMap::new(),
        }
    }

    /// The metadata of properties that were all written just now.
    pub(super) fn of(properties: &Map<String, Value>, stamp: Stamp) -> Self {
        let members = properties.iter().filter(|(_, value)| !value.is_null());
        let members = members.map(|(key, value)| (key.clone(), Self::of_value(value, stamp)));
        Self {
            members: members.collect(),
            ..Self::leaf(stamp)
        }
    }

    /// Follows a merge patch: what it names is stamped, with every object on
    /// the way to it, and what it deletes is forgotten.
    pub(super) fn apply(
        &mut self,
        before: &Map<String, Value>,
        patch: &Map<String, Value>,
        stamp: Stamp,
    ) {
        self.last_updated = stamp.now;
        self.last_updated_version = Some(stamp.version);
        for (key, change) in patch {
            match (change, before.get(key), self.members.get_mut(key)) {
                (Value::Null, _, _) => drop(self.members.remove(key)),
                (Value::Object(changes), Some(Value::Object(old)), Some(member)) => {
                    member.apply(old, changes, stamp);
                }
                (change, _, _) => drop(
                    self.members
                        .insert(key.clone(), Self::of_value(change, stamp)),
                ),
            }
        }
    }

    /// The `$metadata` object.
    pub(super) fn to_json(&self, versions: bool) -> Map<String, Value> {
        let members = self.members.iter();
        let mut json: Map<String, Value> = members
            .map(|(key, member)| (key.clone(), member.to_json(versions).into()))
            .collect();
        json.insert("$lastUpdated".into(), self.last_updated.to_string().into());
        if let Some(version) = self.last_updated_version.filter(|_| versions) {
            json.insert("$lastUpdatedVersion".into(), version.into());
        }
        json
    }

    fn of_value(value: &Value, stamp: Stamp) -> Self {
        match value {
            Value::Object(members) => Self::of(members, stamp),
            _ => Self::leaf(stamp),
        }
    }

    fn leaf(stamp: Stamp) -> Self {
        Self {
            last_updated_version: Some(stamp.version),
            ..Self::new(stamp.now)
        }
    }
}

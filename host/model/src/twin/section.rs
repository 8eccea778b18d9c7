//! One side of a twin: desired or reported properties.
//!
//! Owns how a change moves properties, metadata and version together.
//! Leaves to callers who may change it, and telling others of the change.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::limits::{SECTION_SIZE_MAX_BYTES, TwinError, check_section};
use super::merge::{merge_patch, without_nulls};
use super::metadata::{Metadata, Stamp};
use crate::time::Timestamp;

/// Which side of a twin a section is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SectionKind {
    /// What the service wants of the device or module.
    Desired,
    /// What the device or module says of itself.
    Reported,
}

/// Properties with their metadata and version.
///
/// Serializes for storage as `{"properties", "metadata", "version"}`; what
/// others see is [`Section::device_json`] and [`Section::service_json`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    properties: Map<String, Value>,
    metadata: Metadata,
    version: u64,
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The version of the section after it.
    pub version: u64,
    /// What to tell the other side: after a patch the patch itself, with its
    /// nulls; after a replacement all properties. Without `$version`.
    pub changes: Map<String, Value>,
}

impl SectionKind {
    /// The section's key in a twin.
    pub fn name(self) -> &'static str {
        match self {
            Self::Desired => "desired",
            Self::Reported => "reported",
        }
    }
}

impl Applied {
    /// The body of the notification of this change: the changes and
    /// `$version`.
    pub fn notification(&self) -> Value {
        with_version(self.changes.clone(), self.version).into()
    }
}

impl Section {
    /// The section of a new identity: empty, version 1.
    pub fn new(now: Timestamp) -> Self {
        Self {
            properties: Map::new(),
            metadata: Metadata::new(now),
            version: 1,
        }
    }

    /// The properties, without `$version` and `$metadata`.
    pub fn properties(&self) -> &Map<String, Value> {
        &self.properties
    }

    /// The version: 1 at first, one more for each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Applies a merge patch. `$version` and `$metadata` at its top are
    /// passed over. Every key it names counts as written, also with the
    /// value it had.
    ///
    /// # Errors
    /// [`TwinError`] when the patch, or the section after it, is against
    /// [`check_section`]; nothing changed then. Paths are relative to the
    /// section.
    pub fn apply_patch(
        &mut self,
        patch: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Applied, TwinError> {
        let patch = without_dollar_keys(patch);
        // The size of a patch is not limited by itself: it may replace much.
        check_section(&patch, usize::MAX)?;
        let mut properties = self.properties.clone();
        merge_patch(&mut properties, &patch);
        check_section(&properties, SECTION_SIZE_MAX_BYTES)?;
        let stamp = self.next_stamp(now);
        self.metadata.apply(&self.properties, &patch, stamp);
        self.properties = properties;
        self.version = stamp.version;
        Ok(Applied {
            version: self.version,
            changes: patch,
        })
    }

    /// Puts other properties in place of all there are. Nulls, and
    /// `$version` and `$metadata` at the top, are passed over.
    ///
    /// # Errors
    /// As [`Section::apply_patch`].
    pub fn replace(
        &mut self,
        properties: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Applied, TwinError> {
        let properties = without_nulls(&without_dollar_keys(properties));
        check_section(&properties, SECTION_SIZE_MAX_BYTES)?;
        let stamp = self.next_stamp(now);
        self.metadata = Metadata::of(&properties, stamp);
        self.properties = properties;
        self.version = stamp.version;
        Ok(Applied {
            version: self.version,
            changes: self.properties.clone(),
        })
    }

    /// The section as its device or module sees it: properties and
    /// `$version`.
    pub fn device_json(&self) -> Value {
        with_version(self.properties.clone(), self.version).into()
    }

    /// The section as the service sees it: properties, `$metadata` and
    /// `$version`. Only the metadata of desired properties carries
    /// `$lastUpdatedVersion`.
    pub fn service_json(&self, kind: SectionKind) -> Value {
        let mut json = with_version(self.properties.clone(), self.version);
        let metadata = self.metadata.to_json(kind == SectionKind::Desired);
        json.insert("$metadata".into(), metadata.into());
        json.into()
    }

    fn next_stamp(&self, now: Timestamp) -> Stamp {
        Stamp {
            now,
            version: self.version.saturating_add(1),
        }
    }
}

fn with_version(mut properties: Map<String, Value>, version: u64) -> Map<String, Value> {
    properties.insert("$version".into(), version.into());
    properties
}

/// A section read from a hub comes with these two; writing it back must not
/// fail, and they are never the writer's to set.
pub(super) fn without_dollar_keys(properties: &Map<String, Value>) -> Map<String, Value> {
    let is_own = |key: &str| key != "$version" && key != "$metadata";
    let kept = properties.iter().filter(|(key, _)| is_own(key));
    kept.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

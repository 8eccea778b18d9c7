//! Twins: tags, desired and reported properties, their versions and metadata.
//!
//! Owns structure, merge patch, limits and key rules as documented for IoT
//! Hub device and module twins. Leaves storage, etag comparison and delivery
//! of changes to the hub, and offline merging to the device. Both call it.

mod limits;
mod merge;
mod metadata;
mod patch;
mod section;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::time::Timestamp;
pub use limits::{
    DEPTH_MAX, INTEGER_MAX, INTEGER_MIN, KEY_MAX_BYTES, NESTING_MAX, SECTION_SIZE_MAX_BYTES,
    TAGS_SIZE_MAX_BYTES, TEXT_MAX_BYTES, TwinError, check_section, check_tags, size_bytes,
};
pub use merge::{diff, merge_patch};
pub use patch::{PATCH_TEXT_MAX_BYTES, parse_patch};
pub use section::{Applied, Section, SectionKind};

/// The version of the stored form of [`Twin`].
const STORED_FORMAT: u32 = 1;

/// A device's or module's twin.
///
/// Serializes for storage, with the version of that form; what others see is
/// [`Twin::device_view`] and [`Twin::service_view`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Twin {
    format: StoredFormat,
    /// What the service notes about the device; the device never sees it.
    pub tags: Map<String, Value>,
    /// What the service wants.
    pub desired: Section,
    /// What the device or module reports.
    pub reported: Section,
    /// Counts every change of tags, desired or reported; 1 at first.
    pub version: u64,
    /// Counts every change of tags or desired; 1 at first. Written as
    /// [`Twin::etag`].
    pub etag_counter: u64,
}

/// What the service changes about a twin, in one step.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServiceChange<'a> {
    /// For the tags, if any.
    pub tags: Option<&'a Map<String, Value>>,
    /// For the desired properties, if any.
    pub desired: Option<&'a Map<String, Value>>,
}

impl Twin {
    /// The twin of a new identity: everything empty, every version 1.
    pub fn new(now: Timestamp) -> Self {
        Self {
            format: StoredFormat,
            tags: Map::new(),
            desired: Section::new(now),
            reported: Section::new(now),
            version: 1,
            etag_counter: 1,
        }
    }

    /// The twin as its device or module sees it: both sections with
    /// `$version`, no tags, no metadata.
    pub fn device_view(&self) -> Value {
        json!({ "desired": self.desired.device_json(), "reported": self.reported.device_json() })
    }

    /// What the service sees of the twin itself: `etag`, `version`, `tags`
    /// and `properties` with metadata. Ids, status and connection belong to
    /// the identity and are added by the hub.
    pub fn service_view(&self) -> Map<String, Value> {
        let view = json!({
            "etag": self.etag(),
            "version": self.version,
            "tags": self.tags,
            "properties": {
                "desired": self.desired.service_json(SectionKind::Desired),
                "reported": self.reported.service_json(SectionKind::Reported),
            },
        });
        match view {
            Value::Object(members) => members,
            _ => unreachable!("the view was written as an object"),
        }
    }

    /// The etag: the counter's eight bytes, big-endian, in base64.
    pub fn etag(&self) -> String {
        BASE64.encode(self.etag_counter.to_be_bytes())
    }

    /// Merges a change of the service into tags and desired properties: both
    /// or, on an error, neither. The answer is the change of the desired
    /// properties, if they were named.
    ///
    /// # Errors
    /// [`TwinError`] when a patch or its result is against the limits.
    pub fn patch(
        &mut self,
        change: ServiceChange<'_>,
        now: Timestamp,
    ) -> Result<Option<Applied>, TwinError> {
        self.change(change, merge_patch, |section, patch| {
            section.apply_patch(patch, now)
        })
    }

    /// Replaces tags and desired properties, those which the change names:
    /// both or, on an error, neither. The answer is as for [`Twin::patch`].
    ///
    /// # Errors
    /// As [`Twin::patch`].
    pub fn replace(
        &mut self,
        change: ServiceChange<'_>,
        now: Timestamp,
    ) -> Result<Option<Applied>, TwinError> {
        self.change(
            change,
            |tags, new| *tags = merge::without_nulls(new),
            |section, new| section.replace(new, now),
        )
    }

    /// Merges a patch of the device or module into the reported properties.
    ///
    /// # Errors
    /// [`TwinError`] when the patch or its result is against the limits;
    /// nothing changed then.
    pub fn report(
        &mut self,
        patch: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Applied, TwinError> {
        let name = SectionKind::Reported.name();
        let applied = self
            .reported
            .apply_patch(patch, now)
            .map_err(|error| error.within(name))?;
        self.version = self.version.saturating_add(1);
        Ok(applied)
    }

    fn change(
        &mut self,
        change: ServiceChange<'_>,
        change_tags: impl FnOnce(&mut Map<String, Value>, &Map<String, Value>),
        change_desired: impl FnOnce(&mut Section, &Map<String, Value>) -> Result<Applied, TwinError>,
    ) -> Result<Option<Applied>, TwinError> {
        let mut tags = None;
        if let Some(new) = change.tags {
            let changed = tags.insert(self.tags.clone());
            // The patch is checked too: what it deletes must be a key as well.
            check_section(new, usize::MAX).map_err(|error| error.within("tags"))?;
            change_tags(changed, new);
            check_tags(changed)?;
        }
        // Last of what can fail, and whole by itself.
        let name = SectionKind::Desired.name();
        let applied = change
            .desired
            .map(|new| change_desired(&mut self.desired, new));
        let applied = applied.transpose().map_err(|error| error.within(name))?;
        if tags.is_some() || applied.is_some() {
            self.version = self.version.saturating_add(1);
            self.etag_counter = self.etag_counter.saturating_add(1);
        }
        if let Some(tags) = tags {
            self.tags = tags;
        }
        Ok(applied)
    }
}

/// Writes [`STORED_FORMAT`], and reads nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StoredFormat;

impl Serialize for StoredFormat {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(STORED_FORMAT)
    }
}

impl<'de> Deserialize<'de> for StoredFormat {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            STORED_FORMAT => Ok(Self),
            other => Err(serde::de::Error::custom(format!(
                "a twin of stored format {other} cannot be read: this version reads {STORED_FORMAT}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests;

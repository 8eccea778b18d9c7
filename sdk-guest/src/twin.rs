//! The module's own twin: what is desired of it, and what it reports.
//!
//! Sections are read into and written from the author's own types by serde.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::twin as raw;

/// Key of a section's version, which the hub sets.
const VERSION_KEY: &str = "$version";

/// The desired properties, from the device's store: also when the hub is out of reach.
///
/// # Errors
/// [`Error::Shape`] where they do not have the form of `T`.
pub fn desired<T: DeserializeOwned>() -> Result<T, Error> {
    parse_section("desired", &raw::desired())
}

/// The reported properties, those included that have not reached the hub yet.
///
/// # Errors
/// [`Error::Shape`] where they do not have the form of `T`.
pub fn reported<T: DeserializeOwned>() -> Result<T, Error> {
    parse_section("reported", &raw::reported())
}

/// The desired properties as JSON text, with their `$version`.
pub fn desired_text() -> String {
    raw::desired()
}

/// The reported properties as JSON text, with the `$version` that the hub gave them last.
pub fn reported_text() -> String {
    raw::reported()
}

/// Merges a value into the reported properties: a null (`None`) deletes a key, objects merge, all else replaces.
///
/// `Ok` means that the device has stored it and will bring it to the hub, also after a power cut.
/// It is never staged. The section is at most 32 KB, 10 levels deep.
///
/// # Errors
/// [`Error::InvalidJson`] where the value is no JSON object, [`Error::Limit`] where it breaks a rule for twins, [`Error::WouldBlock`] where no more can be stored now.
pub fn report(patch: &(impl Serialize + ?Sized)) -> Result<(), Error> {
    let text = serde_json::to_string(patch).map_err(|err| Error::InvalidJson(err.to_string()))?;
    raw::update_reported(&text).map_err(Error::from)
}

/// A change to the desired properties, as the host hands it over.
#[derive(Clone, Debug, PartialEq)]
pub enum DesiredUpdate {
    /// All of them: an object with `$version`. Comes once after `init`, and after a gap.
    Full(Value),
    /// What changed: a merge patch with `$version`. Nulls stand for deletions.
    Patch(Value),
}

impl DesiredUpdate {
    /// The version of the desired properties after this update.
    pub fn version(&self) -> Option<u64> {
        let (Self::Full(value) | Self::Patch(value)) = self;
        value[VERSION_KEY].as_u64()
    }
}

impl From<raw::DesiredUpdate> for DesiredUpdate {
    fn from(update: raw::DesiredUpdate) -> Self {
        // The host sends JSON objects only, so an update that cannot be read is one that says nothing.
        let parse = |text: String| serde_json::from_str(&text).unwrap_or_default();
        match update {
            raw::DesiredUpdate::Full(text) => Self::Full(parse(text)),
            raw::DesiredUpdate::Patch(text) => Self::Patch(parse(text)),
        }
    }
}

/// Reads a section without its version, so that `T` may refuse unknown fields.
pub(crate) fn parse_section<T: DeserializeOwned>(
    section: &'static str,
    text: &str,
) -> Result<T, Error> {
    let read = || {
        let mut value: Value = serde_json::from_str(text)?;
        if let Value::Object(properties) = &mut value {
            properties.remove(VERSION_KEY);
        }
        serde_json::from_value(value)
    };
    read().map_err(|source| Error::Shape { section, source })
}

/// Why a section was not read or not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The section does not have the form of the type it was read into.
    #[error("{section} properties are not of the form expected")]
    Shape {
        /// `desired` or `reported`.
        section: &'static str,
        /// What did not fit.
        source: serde_json::Error,
    },
    /// The patch is no JSON object; the text says where.
    #[error("patch is no JSON object: {0}")]
    InvalidJson(String),
    /// It breaks a rule for twins; the text says which and where.
    #[error("patch refused: {0}")]
    Limit(String),
    /// More than can be stored now; it may be tried again later.
    #[error("the twin takes no more patches now")]
    WouldBlock,
    /// Anything else.
    #[error("twin: {0}")]
    Other(String),
}

impl From<raw::TwinError> for Error {
    fn from(error: raw::TwinError) -> Self {
        match error {
            raw::TwinError::InvalidJson(text) => Self::InvalidJson(text),
            raw::TwinError::Limit(text) => Self::Limit(text),
            raw::TwinError::WouldBlock => Self::WouldBlock,
            raw::TwinError::Other(text) => Self::Other(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_version_is_no_property() {
        let read: BTreeMap<String, u32> =
            parse_section("desired", r#"{"a":1,"$version":7}"#).expect("all are numbers");
        assert_eq!(read, BTreeMap::from([("a".to_owned(), 1)]));
    }

    #[test]
    fn a_section_of_another_form_names_what_did_not_fit() {
        let err = parse_section::<BTreeMap<String, u32>>("desired", r#"{"a":"x"}"#)
            .expect_err("`x` is no number");
        let failure = crate::Failure::from(err).to_string();
        assert!(
            failure.starts_with("desired properties are not of the form expected: invalid type"),
            "{failure}"
        );
    }

    #[test]
    fn an_update_knows_its_version() {
        let update = DesiredUpdate::from(raw::DesiredUpdate::Patch(r#"{"$version":9}"#.into()));
        assert_eq!(update.version(), Some(9));
        let unread = DesiredUpdate::from(raw::DesiredUpdate::Full("{".into()));
        assert_eq!(unread.version(), None);
    }
}

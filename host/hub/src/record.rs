//! The stored form of one document: an identity with its twin.
//!
//! Owns the JSON that the store keeps, with the version of its form. Leaves
//! meaning to [`crate::identity`] and the model's twin. Identity and twin are
//! one document, so that they come and go together.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::time::Timestamp;
use wasm_edge_model::twin::Twin;

use crate::identity::{Authentication, Identity, IdentityStatus};

/// The version of the stored form that this build writes; it reads all from 1 on.
///
/// | Format | Since |
/// | --- | --- |
/// | 1 | identity and twin |
/// | 2 | `modelId`, `configurations`, `configured`, `deployed`, `parent` |
const RECORD_FORMAT: u32 = 2;

/// An identity with its twin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) identity: Identity,
    /// The generation of the device when a module was made: a module of an earlier generation is
    /// what a deletion that was interrupted left behind, and counts as absent.
    pub(crate) device_generation_id: String,
    pub(crate) twin: Twin,
    /// The model of digital twins that the device said it has; empty when it said nothing.
    pub(crate) model_id: String,
    /// The configurations that are for this twin, by their ids.
    pub(crate) configurations: BTreeMap<String, ConfigurationStatus>,
    /// The paths of desired properties that configurations of devices or modules set, to be removed
    /// when none sets them any more; a path without names means all properties.
    pub(crate) configured: Vec<Vec<String>>,
    /// The same for deployments.
    pub(crate) deployed: Vec<Vec<String>>,
}

/// What has become of a configuration at a twin that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ConfigurationStatus {
    /// Others, or a fault, keep it from having any effect.
    Targeted,
    /// Desired properties are as it says.
    Applied,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredRecord {
    format: u32,
    identity: StoredIdentity,
    twin: Twin,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    model_id: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    configurations: BTreeMap<String, ConfigurationStatus>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    configured: Vec<Vec<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deployed: Vec<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredIdentity {
    generation_id: String,
    device_generation_id: String,
    etag: u64,
    status: IdentityStatus,
    status_reason: Option<String>,
    status_updated_time: Timestamp,
    authentication: Authentication,
    iot_edge: bool,
    managed_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
}

/// Reads nothing but the version, which comes before all else.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

impl Record {
    /// Reads the document of `owner`; the error is for the log.
    pub(crate) fn decode(owner: &TwinOwner, content: &[u8]) -> Result<Self, String> {
        let versioned: Versioned =
            serde_json::from_slice(content).map_err(|err| err.to_string())?;
        if !(1..=RECORD_FORMAT).contains(&versioned.format) {
            let found = versioned.format;
            return Err(format!(
                "it has format {found}, this version reads 1 to {RECORD_FORMAT}"
            ));
        }
        let stored: StoredRecord =
            serde_json::from_slice(content).map_err(|err| err.to_string())?;
        let identity = stored.identity;
        Ok(Self {
            device_generation_id: identity.device_generation_id,
            identity: Identity {
                owner: owner.clone(),
                generation_id: identity.generation_id,
                etag_counter: identity.etag,
                status: identity.status,
                status_reason: identity.status_reason,
                status_updated: identity.status_updated_time,
                authentication: identity.authentication,
                edge: identity.iot_edge,
                managed_by: identity.managed_by,
                parent: identity.parent,
            },
            twin: stored.twin,
            model_id: stored.model_id,
            configurations: stored.configurations,
            configured: stored.configured,
            deployed: stored.deployed,
        })
    }

    pub(crate) fn encode(&self) -> Bytes {
        let identity = self.identity.clone();
        let stored = StoredRecord {
            format: RECORD_FORMAT,
            identity: StoredIdentity {
                generation_id: identity.generation_id,
                device_generation_id: self.device_generation_id.clone(),
                etag: identity.etag_counter,
                status: identity.status,
                status_reason: identity.status_reason,
                status_updated_time: identity.status_updated,
                authentication: identity.authentication,
                iot_edge: identity.edge,
                managed_by: identity.managed_by,
                parent: identity.parent,
            },
            twin: self.twin.clone(),
            model_id: self.model_id.clone(),
            configurations: self.configurations.clone(),
            configured: self.configured.clone(),
            deployed: self.deployed.clone(),
        };
        let json = serde_json::to_vec(&stored);
        Bytes::from(json.expect("keys are texts and numbers finite, which JSON can hold"))
    }
}

#[cfg(test)]
mod tests {
    use wasm_edge_model::identity::DeviceId;

    use super::*;

    /// As each format was written; must be readable as long as the format is.
    const FORMAT_1: &str = include_str!("record/format-1.json");
    const FORMAT_2: &str = include_str!("record/format-2.json");

    fn owner() -> TwinOwner {
        TwinOwner::Device(DeviceId::new("d1").unwrap())
    }

    #[test]
    fn the_first_format_is_read_and_written_as_the_newest() {
        let record = Record::decode(&owner(), FORMAT_1.as_bytes()).unwrap();
        assert_eq!(record.identity.generation_id, "639211680000001234");
        assert_eq!(record.twin.desired.properties()["interval"], 5);
        assert_eq!(record.model_id, "");
        assert!(record.configurations.is_empty() && record.configured.is_empty());
        let mut expected: serde_json::Value = serde_json::from_str(FORMAT_1).unwrap();
        expected["format"] = 2.into();
        let written: serde_json::Value = serde_json::from_slice(&record.encode()).unwrap();
        assert_eq!(written, expected);
    }

    #[test]
    fn the_second_format_is_read_and_written_as_it_was() {
        let record = Record::decode(&owner(), FORMAT_2.as_bytes()).unwrap();
        assert_eq!(record.model_id, "dtmi:com:example:Thermostat;1");
        assert_eq!(record.configurations["slow"], ConfigurationStatus::Targeted);
        assert_eq!(record.configured, [["limits", "high"]]);
        assert_eq!(record.deployed, [Vec::<String>::new()]);
        let written: serde_json::Value = serde_json::from_slice(&record.encode()).unwrap();
        let expected: serde_json::Value = serde_json::from_str(FORMAT_2).unwrap();
        assert_eq!(written, expected);
    }

    #[test]
    fn other_formats_are_refused_by_name() {
        for (content, expected) in [
            (
                r#"{"format":3,"shape":"new"}"#,
                "it has format 3, this version reads 1 to 2",
            ),
            (
                r#"{"format":0}"#,
                "it has format 0, this version reads 1 to 2",
            ),
            ("{}", "missing field `format`"),
        ] {
            let err = Record::decode(&owner(), content.as_bytes()).unwrap_err();
            assert!(err.starts_with(expected), "{err}");
        }
    }
}

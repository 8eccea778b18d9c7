//! The stored form of one document: an identity with its twin.
//!
//! Owns the JSON that the store keeps, with the version of its form. Leaves
//! meaning to [`crate::identity`] and the model's twin. Identity and twin are
//! one document, so that they come and go together.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::time::Timestamp;
use wasm_edge_model::twin::Twin;

use crate::identity::{Authentication, Identity, IdentityStatus};

/// The version of the stored form that this build writes and reads.
const RECORD_FORMAT: u32 = 1;

/// An identity with its twin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) identity: Identity,
    /// The generation of the device when a module was made: a module of an earlier generation is
    /// what a deletion that was interrupted left behind, and counts as absent.
    pub(crate) device_generation_id: String,
    pub(crate) twin: Twin,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredRecord {
    format: u32,
    identity: StoredIdentity,
    twin: Twin,
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
        if versioned.format != RECORD_FORMAT {
            let found = versioned.format;
            return Err(format!(
                "it has format {found}, this version reads {RECORD_FORMAT}"
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
            },
            twin: stored.twin,
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
            },
            twin: self.twin.clone(),
        };
        let json = serde_json::to_vec(&stored);
        Bytes::from(json.expect("keys are texts and numbers finite, which JSON can hold"))
    }
}

#[cfg(test)]
mod tests {
    use wasm_edge_model::identity::DeviceId;

    use super::*;

    /// As the first version wrote it; must be readable as long as format 1 is.
    const STORED: &str = include_str!("record/format-1.json");

    fn owner() -> TwinOwner {
        TwinOwner::Device(DeviceId::new("d1").unwrap())
    }

    #[test]
    fn the_first_format_is_read_and_written_as_it_was() {
        let record = Record::decode(&owner(), STORED.as_bytes()).unwrap();
        assert_eq!(record.identity.generation_id, "639211680000001234");
        assert_eq!(record.twin.desired.properties()["interval"], 5);
        let written: serde_json::Value = serde_json::from_slice(&record.encode()).unwrap();
        assert_eq!(
            written,
            serde_json::from_str::<serde_json::Value>(STORED).unwrap()
        );
    }

    #[test]
    fn other_formats_are_refused_by_name() {
        for (content, expected) in [
            (
                r#"{"format":2,"shape":"new"}"#,
                "it has format 2, this version reads 1",
            ),
            ("{}", "missing field `format`"),
        ] {
            let err = Record::decode(&owner(), content.as_bytes()).unwrap_err();
            assert!(err.starts_with(expected), "{err}");
        }
    }
}

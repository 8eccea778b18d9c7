//! The stored form of a twin on the device, versioned.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::record::RecordError;

/// The version of the form.
const VERSION: u32 = 1;

/// What the device keeps of one twin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) desired: Map<String, Value>,
    pub(super) desired_version: u64,
    pub(super) reported: Map<String, Value>,
    pub(super) reported_version: u64,
    pub(super) reported_at_hub: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    desired: Map<String, Value>,
    desired_version: u64,
    reported: Map<String, Value>,
    reported_version: u64,
    reported_at_hub: Map<String, Value>,
}

impl Record {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let stored: Stored = serde_json::from_slice(bytes)?;
        RecordError::check_version(stored.version, VERSION)?;
        let Stored {
            version: _,
            desired,
            desired_version,
            reported,
            reported_version,
            reported_at_hub,
        } = stored;
        Ok(Self {
            desired,
            desired_version,
            reported,
            reported_version,
            reported_at_hub,
        })
    }

    pub(super) fn write(self) -> Vec<u8> {
        let Self {
            desired,
            desired_version,
            reported,
            reported_version,
            reported_at_hub,
        } = self;
        let stored = Stored {
            version: VERSION,
            desired,
            desired_version,
            reported,
            reported_version,
            reported_at_hub,
        };
        serde_json::to_vec(&stored).expect("maps with text keys always become JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_read() {
        let text = br#"{"version":1,"desired":{"a":1},"desired_version":4,"reported":{"b":[2]},"reported_version":9,"reported_at_hub":{}}"#;
        let record = Record::read(text).expect("version 1");
        assert_eq!(record.desired_version, 4);
        assert_eq!(record.reported["b"], serde_json::json!([2]));
        assert_eq!(record.clone().write(), text);
    }

    #[test]
    fn another_version_and_damage_are_named() {
        let other = br#"{"version":2,"desired":{},"desired_version":0,"reported":{},"reported_version":0,"reported_at_hub":{}}"#;
        assert!(
            Record::read(other)
                .expect_err("unknown")
                .to_string()
                .contains("version 2")
        );
        assert!(Record::read(b"{").is_err());
    }
}

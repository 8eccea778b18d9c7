//! Shared access policies: the keys of services, and what each may do.
//!
//! Owns their names, rights and stored form; they are made with random keys
//! when they are first needed. Leaves which request needs which right to
//! [`crate::access`]'s table of routes.
//!
//! Source: Azure IoT Hub, "Control access to IoT Hub with shared access
//! signatures", access control and permissions.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::HubError;
use crate::hub::Hub;
use crate::identity::SymmetricKeys;
use crate::store::{DocumentKey, Expected, StoreError, Swap};

/// The policy that may do everything.
pub const OWNER_POLICY: &str = "iothubowner";

/// The version of the stored form that this build writes and reads.
const POLICIES_FORMAT: u32 = 1;

/// The name of the document that holds the policies.
const DOCUMENT: &str = "access-policies";

/// The policies of a new hub, those of IoT Hub.
const DEFAULTS: [(&str, &[Right]); 5] = [
    (
        OWNER_POLICY,
        &[
            Right::RegistryRead,
            Right::RegistryWrite,
            Right::ServiceConnect,
            Right::DeviceConnect,
        ],
    ),
    ("service", &[Right::ServiceConnect]),
    ("device", &[Right::DeviceConnect]),
    ("registryRead", &[Right::RegistryRead]),
    (
        "registryReadWrite",
        &[Right::RegistryRead, Right::RegistryWrite],
    ),
];

/// Something that a policy allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Right {
    /// To read identities.
    RegistryRead,
    /// To make, change and delete identities.
    RegistryWrite,
    /// To read and change twins, call methods, send to devices, read telemetry, query.
    ServiceConnect,
    /// To connect as any device or module.
    DeviceConnect,
}

/// A set of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights(u8);

impl Rights {
    /// These rights.
    pub const fn of(rights: &[Right]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < rights.len() {
            bits |= 1 << rights[index] as u8;
            index += 1;
        }
        Self(bits)
    }

    /// Whether this right is among them.
    pub fn has(self, right: Right) -> bool {
        self.has_all(Self::of(&[right]))
    }

    /// Whether all those rights are among them.
    pub fn has_all(self, rights: Self) -> bool {
        self.0 & rights.0 == rights.0
    }

    /// The rights one by one.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        [
            Right::RegistryRead,
            Right::RegistryWrite,
            Right::ServiceConnect,
            Right::DeviceConnect,
        ]
        .into_iter()
        .filter(move |right| self.has(*right))
    }
}

/// A shared access policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPolicy {
    /// Its name, which tokens carry in `skn`.
    pub name: String,
    /// What it allows.
    pub rights: Rights,
    /// Its keys; either is good.
    pub keys: SymmetricKeys,
}

impl AccessPolicy {
    /// The policy as the operator sees it, keys included.
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "rights": self.rights.iter().collect::<Vec<_>>(),
            "primaryKey": self.keys.primary,
            "secondaryKey": self.keys.secondary,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredPolicies {
    format: u32,
    policies: Vec<StoredPolicy>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredPolicy {
    name: String,
    rights: Vec<Right>,
    keys: SymmetricKeys,
}

/// Reads nothing but the version, which comes before all else.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

impl Hub {
    /// All shared access policies; at the first call they are made.
    ///
    /// # Errors
    /// [`HubError::Policies`], [`HubError::Store`].
    pub async fn access_policies(&self) -> Result<Vec<AccessPolicy>, HubError> {
        let key = DocumentKey::setting(DOCUMENT);
        if let Some(document) = self.store().read(&key).await? {
            return decode(&document.content);
        }
        let made = make()?;
        let content = Some(encode(&made));
        match self
            .store()
            .compare_and_set(&key, Expected::Absent, content)
            .await?
        {
            Swap::Done(_) => Ok(made),
            // Another made them first, and nobody deletes them.
            Swap::Conflict => match self.store().read(&key).await? {
                Some(document) => decode(&document.content),
                None => Err(StoreError::Interrupted.into()),
            },
        }
    }

    /// The shared access policy of this name.
    ///
    /// # Errors
    /// As [`Hub::access_policies`].
    pub async fn access_policy(&self, name: &str) -> Result<Option<AccessPolicy>, HubError> {
        let policies = self.access_policies().await?;
        Ok(policies.into_iter().find(|policy| policy.name == name))
    }
}

fn make() -> Result<Vec<AccessPolicy>, HubError> {
    DEFAULTS
        .iter()
        .map(|(name, rights)| {
            let keys = SymmetricKeys::generate().map_err(|err| HubError::Policies {
                problem: err.to_string(),
            })?;
            Ok(AccessPolicy {
                name: (*name).to_owned(),
                rights: Rights::of(rights),
                keys,
            })
        })
        .collect()
}

fn encode(policies: &[AccessPolicy]) -> Bytes {
    let policies = policies.iter().map(|policy| StoredPolicy {
        name: policy.name.clone(),
        rights: policy.rights.iter().collect(),
        keys: policy.keys.clone(),
    });
    let stored = StoredPolicies {
        format: POLICIES_FORMAT,
        policies: policies.collect(),
    };
    Bytes::from(serde_json::to_vec(&stored).expect("texts can be JSON"))
}

fn decode(content: &[u8]) -> Result<Vec<AccessPolicy>, HubError> {
    let failed = |problem: String| HubError::Policies { problem };
    let versioned: Versioned =
        serde_json::from_slice(content).map_err(|err| failed(err.to_string()))?;
    if versioned.format != POLICIES_FORMAT {
        let found = versioned.format;
        return Err(failed(format!(
            "they have format {found}, this version reads {POLICIES_FORMAT}"
        )));
    }
    let stored: StoredPolicies =
        serde_json::from_slice(content).map_err(|err| failed(err.to_string()))?;
    let policies = stored.policies.into_iter().map(|policy| AccessPolicy {
        name: policy.name,
        rights: Rights::of(&policy.rights),
        keys: policy.keys,
    });
    Ok(policies.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::tests::{after_power_cut, hub_on};
    use wasm_edge_store::disk::faults::{Fault, SimulatedDisk};

    /// As the first version wrote it; must be readable as long as format 1 is.
    const STORED: &str = include_str!("policy/format-1.json");

    #[tokio::test]
    async fn the_policies_of_iot_hub_are_made_once_and_kept() {
        let disk = SimulatedDisk::new(Vec::new(), Fault::None);
        let hub = hub_on(disk.clone());
        let (made, others) = tokio::join!(hub.access_policies(), hub.access_policies());
        let made = made.unwrap();
        assert_eq!(made, others.unwrap());
        let names: Vec<_> = made.iter().map(|policy| &*policy.name).collect();
        assert_eq!(names, DEFAULTS.map(|(name, _)| name));
        let mut keys: Vec<_> = made
            .iter()
            .flat_map(|policy| [&policy.keys.primary, &policy.keys.secondary])
            .map(|key| key.as_base64())
            .collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 10, "every key differs");
        let later = hub_on(after_power_cut(&disk));
        assert_eq!(later.access_policies().await.unwrap(), made);
    }

    #[test]
    fn the_first_format_is_read_and_written_as_it_was() {
        let policies = decode(STORED.as_bytes()).unwrap();
        assert_eq!(policies[0].name, "iothubowner");
        assert!(policies[0].rights.has(Right::DeviceConnect));
        assert!(!policies[1].rights.has(Right::RegistryRead));
        let written: Value = serde_json::from_slice(&encode(&policies)).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(STORED).unwrap());
    }

    #[test]
    fn other_formats_are_refused_by_name() {
        let err = decode(br#"{"format":2,"shape":"new"}"#).unwrap_err();
        let expected = "the stored shared access policies cannot be read: they have format 2, this version reads 1";
        assert_eq!(err.to_string(), expected);
    }

    #[test]
    fn rights_are_a_set() {
        let rights = Rights::of(&[Right::RegistryRead, Right::DeviceConnect]);
        assert!(rights.has(Right::RegistryRead) && !rights.has(Right::RegistryWrite));
        assert!(rights.has_all(Rights::of(&[Right::DeviceConnect])));
        assert!(!rights.has_all(Rights::of(&[Right::DeviceConnect, Right::ServiceConnect])));
        assert!(rights.has_all(Rights::default()));
        let listed: Vec<_> = rights.iter().collect();
        assert_eq!(listed, [Right::RegistryRead, Right::DeviceConnect]);
    }
}

//! The stored form of an identity with its twin, versioned and sealed.

use std::collections::BTreeMap;

use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::shared_access::SharedKey;
use wasm_edge_model::time::Timestamp;
use wasm_edge_model::twin::Twin;
use wasm_edge_store::database::{Database, DatabaseError, PAGE_MAX_ENTRIES, Table};
use zeroize::Zeroizing;

use crate::keys::SealingKey;
use crate::record::RecordError;

/// The version of the form.
const VERSION: u32 = 1;

/// What keys have at IoT Hub.
const KEY_BYTES: usize = 32;

/// An identity with its twin.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// Another one when the identity is deleted and made again.
    pub(super) generation_id: String,
    pub(super) primary_key: SharedKey,
    pub(super) twin: Twin,
}

#[derive(Serialize)]
struct Form<'a> {
    version: u32,
    generation_id: &'a str,
    primary_key: &'a str,
    twin: &'a Twin,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    generation_id: String,
    primary_key: SharedKey,
    twin: Twin,
}

impl Record {
    /// A new identity, with an empty twin.
    pub(super) fn new(now: Timestamp) -> Result<Self, Unspecified> {
        let random = SystemRandom::new();
        let (mut number, mut key) = ([0; 8], Zeroizing::new([0; KEY_BYTES]));
        random.fill(&mut number)?;
        random.fill(key.as_mut_slice())?;
        Ok(Self {
            generation_id: u64::from_be_bytes(number).to_string(),
            primary_key: SharedKey::from_bytes(key.as_slice())
                .expect("32 bytes are as many as a key has"),
            twin: Twin::new(now),
        })
    }

    pub(super) fn seal(&self, key: &SealingKey) -> Result<Vec<u8>, DatabaseError> {
        let form = Form {
            version: VERSION,
            generation_id: &self.generation_id,
            primary_key: self.primary_key.as_base64(),
            twin: &self.twin,
        };
        let text = serde_json::to_vec(&form).expect("maps with text keys always become JSON");
        key.seal(&Zeroizing::new(text))
            .map_err(|err| DatabaseError::Io {
                file: "device.redb".to_owned(),
                action: "seal a record of",
                source: std::io::Error::other(err),
            })
    }

    fn open(sealed: &[u8], key: &SealingKey) -> Result<Self, RecordError> {
        let text = Zeroizing::new(key.open(sealed).map_err(|_| RecordError::Sealed)?);
        Self::read(&text)
    }

    fn read(text: &[u8]) -> Result<Self, RecordError> {
        let stored: Stored = serde_json::from_slice(text)?;
        RecordError::check_version(stored.version, VERSION)?;
        Ok(Self {
            generation_id: stored.generation_id,
            primary_key: stored.primary_key,
            twin: stored.twin,
        })
    }
}

/// All records that can be read; the others are logged.
pub(super) fn read_all(
    database: &Database,
    table: Table,
    key: &SealingKey,
) -> Result<BTreeMap<ModuleId, Record>, DatabaseError> {
    let mut records = BTreeMap::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = database.scan(table, b"", after.as_deref(), PAGE_MAX_ENTRIES)?;
        for (name, sealed) in &page.entries {
            let module = std::str::from_utf8(name)
                .ok()
                .and_then(|name| ModuleId::new(name).ok());
            let Some(module) = module else { continue };
            match Record::open(sealed, key) {
                Ok(record) => drop(records.insert(module, record)),
                Err(err) => {
                    tracing::error!(%module, %err, "the stored identity cannot be read and is made anew");
                }
            }
        }
        match page.entries.last() {
            Some((name, _)) if page.more => after = Some(name.clone()),
            _ => return Ok(records),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_read_and_another_one_named() {
        let record = Record::new(Timestamp::UNSET).unwrap();
        let text = serde_json::json!({
            "version": 1, "generation_id": "7", "primary_key": record.primary_key.as_base64(), "twin": record.twin,
        });
        let read = Record::read(text.to_string().as_bytes()).expect("version 1");
        assert_eq!(
            (read.generation_id.as_str(), &read.twin),
            ("7", &record.twin)
        );
        let mut other = text;
        other["version"] = 2.into();
        let err = Record::read(other.to_string().as_bytes()).expect_err("unknown");
        assert!(err.to_string().contains("version 2"), "{err}");
        assert!(Record::read(b"{").is_err());
    }
}

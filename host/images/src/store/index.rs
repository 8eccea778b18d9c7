//! The store's list of images, `index.json`: an OCI image index with our version and last uses. Pure.
//!
//! Source: OCI image specification, *Image Layout* and *Image Index*.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasm_edge_model::time::Timestamp;

use crate::digest::Digest;
use crate::document::INDEX;
use crate::oci_layout::NAME_KEY;

/// The largest that is read, in bytes: [`ENTRIES_MAX`] entries with the longest names, and room.
pub(super) const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The most names and images that a store has. The limit of bytes comes first, but for images that are tiny.
pub(super) const ENTRIES_MAX: usize = 2000;

/// The version of what we write beside the specification's keys.
const VERSION: &str = "1";

/// Has [`VERSION`], on the index.
const VERSION_KEY: &str = "io.wasm-edge.image-store.version";

/// When an entry was used last.
const LAST_USED_KEY: &str = "io.wasm-edge.image.last-used";

/// One entry: a manifest, under a name where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// A reference in its canonical form; none for an image that is known by its digest only.
    pub(super) name: Option<String>,
    /// The manifest.
    pub(super) manifest: Digest,
    /// Its media type.
    pub(super) media_type: String,
    /// Its size.
    pub(super) size_bytes: u64,
    /// When it was used last, to about a day.
    pub(super) last_used: Timestamp,
}

/// Why a text is no index of this store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IndexFault {
    /// Another version wrote it.
    Version(String),
    /// It is damaged.
    Damaged(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Form {
    schema_version: u32,
    media_type: String,
    manifests: Vec<EntryForm>,
    annotations: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryForm {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// The text of an index.
pub(super) fn write(entries: &[Entry]) -> Vec<u8> {
    let form = Form {
        schema_version: 2,
        media_type: INDEX.to_owned(),
        manifests: entries.iter().map(EntryForm::from).collect(),
        annotations: BTreeMap::from([(VERSION_KEY.to_owned(), VERSION.to_owned())]),
    };
    serde_json::to_vec_pretty(&form).expect("texts and numbers always become JSON")
}

/// Reads an index back.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Entry>, IndexFault> {
    let form: Form =
        serde_json::from_slice(bytes).map_err(|err| IndexFault::Damaged(err.to_string()))?;
    match form.annotations.get(VERSION_KEY).map(String::as_str) {
        Some(VERSION) => {}
        other => return Err(IndexFault::Version(other.unwrap_or("none").to_owned())),
    }
    if form.manifests.len() > ENTRIES_MAX {
        let found = form.manifests.len();
        return Err(IndexFault::Damaged(format!("it has {found} entries")));
    }
    let entries = form.manifests.into_iter().map(Entry::try_from);
    entries.collect()
}

impl From<&Entry> for EntryForm {
    fn from(entry: &Entry) -> Self {
        let mut annotations = BTreeMap::new();
        annotations.insert(LAST_USED_KEY.to_owned(), entry.last_used.to_string());
        if let Some(name) = &entry.name {
            annotations.insert(NAME_KEY.to_owned(), name.clone());
        }
        Self {
            media_type: entry.media_type.clone(),
            digest: entry.manifest.to_string(),
            size: entry.size_bytes,
            annotations,
        }
    }
}

impl TryFrom<EntryForm> for Entry {
    type Error = IndexFault;

    fn try_from(mut form: EntryForm) -> Result<Self, IndexFault> {
        let manifest = form
            .digest
            .parse()
            .map_err(|err| IndexFault::Damaged(format!("{err}")))?;
        let name = form.annotations.remove(NAME_KEY);
        let last_used = form.annotations.get(LAST_USED_KEY);
        Ok(Self {
            name,
            manifest,
            media_type: form.media_type,
            size_bytes: form.size,
            // One that says nothing of it is the first to go.
            last_used: last_used
                .and_then(|time| time.parse().ok())
                .unwrap_or(Timestamp::UNSET),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: Option<&str>) -> Entry {
        Entry {
            name: name.map(str::to_owned),
            manifest: Digest::of(b"manifest"),
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            size_bytes: 8,
            last_used: "2026-08-01T10:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn an_index_is_read_as_it_is_written() {
        for entries in [
            vec![],
            vec![entry(Some("example.org/sensor:1.2")), entry(None)],
        ] {
            assert_eq!(read(&write(&entries)), Ok(entries));
        }
    }

    #[test]
    fn the_form_of_version_1_is_this_one() {
        let text = r#"{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "manifests": [
    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "sha256:a47ed8c41c3e8d4db1a4ae2c0e1abf0bd1e8f1ad2bd4fa27eb5a2c3bfbcc4c4b",
      "size": 8,
      "annotations": {
        "io.wasm-edge.image.last-used": "2026-08-01T10:00:00.0000000Z",
        "org.opencontainers.image.ref.name": "example.org/sensor:1.2"
      }
    }
  ],
  "annotations": {
    "io.wasm-edge.image-store.version": "1"
  }
}"#;
        let expected = entry(Some("example.org/sensor:1.2"));
        let text = text.replace(
            "sha256:a47ed8c41c3e8d4db1a4ae2c0e1abf0bd1e8f1ad2bd4fa27eb5a2c3bfbcc4c4b",
            &Digest::of(b"manifest").to_string(),
        );
        assert_eq!(
            String::from_utf8(write(std::slice::from_ref(&expected))),
            Ok(text.clone())
        );
        assert_eq!(read(text.as_bytes()), Ok(vec![expected]));
    }

    #[test]
    fn what_is_no_index_of_ours_is_refused_by_what_is_wrong() {
        let version = |text: &str| {
            let text = String::from_utf8(write(&[]))
                .unwrap()
                .replace(r#""1""#, text);
            read(text.as_bytes())
        };
        assert_eq!(version(r#""2""#), Err(IndexFault::Version("2".to_owned())));
        let foreign = br#"{"schemaVersion":2,"mediaType":"","manifests":[],"annotations":{}}"#;
        assert_eq!(read(foreign), Err(IndexFault::Version("none".to_owned())));
        for damaged in [&b""[..], b"{", b"[]", &[0xff; 40]] {
            assert!(matches!(read(damaged), Err(IndexFault::Damaged(_))));
        }
        let many = write(&vec![entry(None); ENTRIES_MAX + 1]);
        assert!(matches!(read(&many), Err(IndexFault::Damaged(_))));
    }
}

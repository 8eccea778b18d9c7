//! Opening a store as the last process left it, in order or not.
//!
//! Owns what becomes of each file that is found. An index that cannot be read is made anew of the manifests that are
//! here: their names are lost, and deployments find their images by digest all the same.

use std::collections::{BTreeMap, BTreeSet};

use wasm_edge_model::time::Timestamp;
use wasm_edge_store::file::TEMPORARY_PREFIX;

use super::error::StoreError;
use super::files::Files;
use super::folders::PARTIAL;
use super::index::{self, Entry, IndexFault};
use super::state::{Partial, State};
use crate::digest::Digest;
use crate::document::{ImageManifest, MANIFEST_BYTES_MAX};
use crate::oci_layout::{BLOBS, INDEX_FILE, LAYOUT_FILE, blob_path};

/// Reads what is there, and sweeps away what belongs to nothing.
pub(super) fn open(files: &Files) -> Result<State, StoreError> {
    let mut state = found(files)?;
    let (entries, as_on_disk) = match read_index(files)? {
        Some(entries) => (entries, true),
        None => (rebuilt(files, &state.blobs), false),
    };
    let mut usable = Vec::new();
    for entry in &entries {
        if state.images.contains_key(&entry.manifest) {
            usable.push(entry.clone());
            continue;
        }
        match read_manifest(files, &entry.manifest, Some(&entry.media_type)) {
            Ok(manifest) => {
                state.images.insert(entry.manifest, (&manifest).into());
                usable.push(entry.clone());
            }
            Err(why) => {
                let (manifest, name) = (entry.manifest, entry.name.as_deref());
                tracing::warn!(%manifest, name, why, "an image in the store cannot be used and is forgotten");
            }
        }
    }
    state.index_in_doubt = !as_on_disk || usable.len() != entries.len();
    state.entries.clone_from(&usable);
    if state.index_in_doubt
        && let Err(err) = state.change_entries(files, usable)
    {
        // As on a disk that can only be read: what is here can be used all the same.
        tracing::warn!(
            err = err.told(),
            "the index of the image store cannot be written"
        );
    }
    state.sweep_blobs(files, BTreeSet::new());
    Ok(state)
}

/// The files, by what their names say they are. What is called like nothing of the store in its folders goes.
fn found(files: &Files) -> Result<State, StoreError> {
    let mut state = State::default();
    for name in files.list()? {
        if let Some(hex) = name.strip_prefix(BLOBS) {
            match Digest::from_hex(hex) {
                Some(digest) => drop(state.blobs.insert(digest, files.size(&name)?)),
                None => drop(files.remove(&name)),
            }
        } else if let Some(hex) = name.strip_prefix(PARTIAL) {
            match Digest::from_hex(hex) {
                Some(digest) => {
                    let partial = Partial::of(files.size(&name)?);
                    state.partials.insert(digest, partial);
                }
                None => drop(files.remove(&name)),
            }
        } else if name.starts_with(TEMPORARY_PREFIX) {
            files.remove(&name);
        } else if name == LAYOUT_FILE {
            state.has_layout = true;
        }
    }
    Ok(state)
}

/// The entries of the index; `None` where it has to be made anew.
fn read_index(files: &Files) -> Result<Option<Vec<Entry>>, StoreError> {
    let why = match files.read(INDEX_FILE, index::BYTES_MAX) {
        Ok(None) => return Ok(Some(Vec::new())),
        Ok(Some(bytes)) => match index::read(&bytes) {
            Ok(entries) => return Ok(Some(entries)),
            Err(IndexFault::Version(found)) => return Err(StoreError::Version { found }),
            Err(IndexFault::Damaged(why)) => why,
        },
        Err(err) => err.told(),
    };
    tracing::error!(
        why,
        "the index of the image store is damaged and is made anew without names"
    );
    Ok(None)
}

/// An entry for each manifest among the blobs.
fn rebuilt(files: &Files, blobs: &BTreeMap<Digest, u64>) -> Vec<Entry> {
    let small = blobs
        .iter()
        .filter(|(_, size)| **size <= MANIFEST_BYTES_MAX);
    let entry = |(digest, size_bytes): (&Digest, &u64)| {
        let manifest = read_manifest(files, digest, None).ok()?;
        Some(Entry {
            name: None,
            manifest: *digest,
            media_type: manifest.media_type.to_owned(),
            size_bytes: *size_bytes,
            last_used: Timestamp::UNSET,
        })
    };
    small.filter_map(entry).take(index::ENTRIES_MAX).collect()
}

fn read_manifest(
    files: &Files,
    digest: &Digest,
    media_type: Option<&str>,
) -> Result<ImageManifest, String> {
    let bytes = files.read(&blob_path(digest), MANIFEST_BYTES_MAX);
    let bytes = bytes.map_err(|err| err.told())?;
    let bytes = bytes.ok_or("its manifest is not there")?;
    if Digest::of(&bytes) != *digest {
        return Err("its manifest is damaged".to_owned());
    }
    ImageManifest::read(&bytes, media_type).map_err(|err| err.to_string())
}

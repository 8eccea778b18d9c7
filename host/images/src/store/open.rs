//! Opening a store as the last process left it, in order or not.
//!
//! Owns what becomes of each file that is found. An index that cannot be read is put aside and made anew of the
//! manifests that are here: their names are lost, and deployments find their images by digest all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use rustix::io::Errno;
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

/// Where a list of images is put that cannot be read.
const DAMAGED_FILE: &str = "index.json.damaged";

/// Reads what is there, and sweeps away what belongs to nothing.
pub(super) fn open(files: &Files) -> Result<State, StoreError> {
    let mut state = found(files)?;
    let (entries, as_on_disk) = match read_index(files)? {
        Listed::Entries(entries) => (entries, true),
        Listed::Nothing => {
            let entries = rebuilt(files, &state.blobs);
            if !entries.is_empty() {
                state.note(anew("was not there", entries.len()));
            }
            // One that never was is written with the first image.
            let is_new = entries.is_empty();
            (entries, is_new)
        }
        Listed::Damaged(why) => {
            let entries = rebuilt(files, &state.blobs);
            let mut note = anew(&format!("was damaged ({why})"), entries.len());
            // Before the new one takes its place, for whoever wants to look at it.
            match files.rename(INDEX_FILE, DAMAGED_FILE) {
                Ok(()) => note += &format!("; what was there is `images/{DAMAGED_FILE}` now"),
                Err(err) => note += &format!("; {}", err.told()),
            }
            state.note(note);
            (entries, false)
        }
    };
    let usable = usable(files, &mut state, &entries);
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

/// The entries whose manifests can be read; what these say of images is in the state then.
fn usable(files: &Files, state: &mut State, entries: &[Entry]) -> Vec<Entry> {
    let mut usable = Vec::new();
    for entry in entries {
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
                let digest = entry.manifest.to_string();
                let name = entry.name.as_ref().unwrap_or(&digest);
                state.note(format!(
                    "the image `{name}` in the image store cannot be used and is forgotten: {why}"
                ));
            }
        }
    }
    usable
}

/// What is said of a list that was made anew.
fn anew(why: &str, images: usize) -> String {
    let images = match images {
        1 => "1 image".to_owned(),
        more => format!("{more} images"),
    };
    format!(
        "the list of images (`images/{INDEX_FILE}`) {why} and is made anew of what is here ({images}), without names: \
         an image has its name again when it is pulled by it, and nothing of it comes again"
    )
}

impl State {
    /// Tells something once: in the log, and to who opened the store.
    fn note(&mut self, note: String) {
        tracing::warn!("{note}");
        self.notes.push(note);
    }
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

/// What the list of images is.
enum Listed {
    Entries(Vec<Entry>),
    /// There is none.
    Nothing,
    /// It cannot be read.
    Damaged(String),
}

fn read_index(files: &Files) -> Result<Listed, StoreError> {
    match files.read(INDEX_FILE, index::BYTES_MAX) {
        Ok(None) => Ok(Listed::Nothing),
        Ok(Some(bytes)) => match index::read(&bytes) {
            Ok(entries) => Ok(Listed::Entries(entries)),
            Err(IndexFault::Version(found)) => Err(StoreError::Version { found }),
            Err(IndexFault::Damaged(why)) => Ok(Listed::Damaged(why)),
        },
        // Another time, or for another user, it may be read.
        Err(err) if is_of_process(&err) => Err(err),
        Err(err) => Ok(Listed::Damaged(err.told())),
    }
}

/// Whether a file may be in order, and this process cannot read it.
fn is_of_process(err: &StoreError) -> bool {
    let StoreError::Io { source, .. } = err else {
        return false;
    };
    let too_many = [Errno::MFILE, Errno::NFILE].map(|err| Some(err.raw_os_error()));
    let kinds = [ErrorKind::PermissionDenied, ErrorKind::OutOfMemory];
    kinds.contains(&source.kind()) || too_many.contains(&source.raw_os_error())
}

/// An entry for each manifest among the blobs whose image is whole.
fn rebuilt(files: &Files, blobs: &BTreeMap<Digest, u64>) -> Vec<Entry> {
    let small = blobs
        .iter()
        .filter(|(_, size)| **size <= MANIFEST_BYTES_MAX);
    let entry = |(digest, size_bytes): (&Digest, &u64)| {
        let manifest = read_manifest(files, digest, None).ok()?;
        let parts = [&manifest.config, &manifest.layer];
        let is_whole = parts
            .iter()
            .all(|part| blobs.get(&part.digest) == Some(&part.size_bytes));
        is_whole.then(|| Entry {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_only_this_process_cannot_read_is_not_put_aside() {
        let check = |errno: Errno, expected: bool| {
            let err = StoreError::io("read", INDEX_FILE, errno.into());
            assert_eq!(is_of_process(&err), expected, "{errno}");
        };
        for errno in [Errno::MFILE, Errno::NFILE, Errno::ACCESS, Errno::NOMEM] {
            check(errno, true);
        }
        for errno in [Errno::IO, Errno::ISDIR, Errno::LOOP] {
            check(errno, false);
        }
    }
}

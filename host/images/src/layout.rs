//! Images as OCI image layouts outside the store: folders and tar archives, for places without network.
//!
//! Owns reading them into the store and writing them from it. What is read is hostile: nothing of it is unpacked to a
//! path that it names, every blob is verified by its digest on its way into the store, and all sizes and counts are
//! bounded. Leaves keeping blobs to the store, and where archives come from and go to the callers. Everything here
//! blocks.
//!
//! Source: OCI image specification, *Image Layout*.

pub mod convert;
pub mod error;
mod load;
mod tar;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

use cap_std::fs::Dir;
use serde_json::json;
use wasm_edge_model::time::Timestamp;
use wasm_edge_store::disk::Disk;
use wasm_edge_store::file;

use crate::digest::{Digest, Hasher};
use crate::document::INDEX;
use crate::oci_layout::{INDEX_FILE, LAYOUT, LAYOUT_FILE, NAME_KEY, blob_path};
use crate::reference::Reference;
use crate::store::{ImageName, ImageStore, StoredImage};
use error::LayoutError;
use load::{Folder, Staged};

/// How much is copied at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// What came of a layout.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The images that are in the store now.
    pub images: Vec<StoredImage>,
    /// Those that were left, in the order of their digests.
    pub passed_over: Vec<PassedOver>,
    /// What the layout calls its images and they are not called here.
    pub names_not_taken: Vec<NameNotTaken>,
}

/// An image of a layout that is none of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// The digest of its manifest.
    pub digest: Digest,
    /// What the layout calls it, as it stands there.
    pub names: Vec<String>,
    /// Why it cannot be used, with its causes.
    pub reason: String,
}

/// A name of an image in a layout that does not lead to it here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameNotTaken {
    /// The digest of the image's manifest.
    pub digest: Digest,
    /// The name, as it stands there.
    pub name: String,
    /// Why not.
    pub reason: &'static str,
}

/// Takes the images of a tar archive of a layout into the store, where the archive's names lead to them, or `name`
/// alone. The archive is read once, from its start to its end.
///
/// # Errors
/// [`LayoutError`]; nothing of the archive is left in the store then, but for images that were taken before the fault.
pub fn load_tar(
    store: &ImageStore,
    archive: impl Read,
    name: Option<&Reference>,
    now: Timestamp,
) -> Result<Loaded, LayoutError> {
    let guard = store.pulling();
    let staged = Staged::read(store, archive);
    let loaded = staged.and_then(|staged| load::images(store, &staged, name, now));
    drop(guard);
    // What the archive had beside its images.
    store.tidy();
    loaded
}

/// Takes the images of a folder with a layout into the store, as [`load_tar`] does.
///
/// # Errors
/// As [`load_tar`].
pub fn load_folder(
    store: &ImageStore,
    folder: &Dir,
    name: Option<&Reference>,
    now: Timestamp,
) -> Result<Loaded, LayoutError> {
    let guard = store.pulling();
    let loaded = load::images(store, &Folder::new(store, folder), name, now);
    drop(guard);
    store.tidy();
    loaded
}

/// Images as they are saved, where each was asked for by one of its names or as a whole: each once, under the names
/// that were asked for.
pub fn selected(asked: impl IntoIterator<Item = (StoredImage, ImageName)>) -> Vec<StoredImage> {
    let mut selected: Vec<(StoredImage, BTreeSet<String>)> = Vec::new();
    for (image, by) in asked {
        let names = match by {
            ImageName::Reference(reference) => named_by(&image.names, &reference.to_string()),
            ImageName::Digest(_) => image.names.clone(),
        };
        let is_same =
            |(other, _): &&mut (StoredImage, _)| other.manifest_digest == image.manifest_digest;
        match selected.iter_mut().find(is_same) {
            Some((_, all)) => all.extend(names),
            None => selected.push((image, names.into_iter().collect())),
        }
    }
    let under = |(image, names): (StoredImage, BTreeSet<String>)| StoredImage {
        names: names.into_iter().collect(),
        ..image
    };
    selected.into_iter().map(under).collect()
}

/// The names that a reference means: itself, or all of an image that is called so by nobody but for its digest.
pub fn named_by(names: &[String], reference: &str) -> Vec<String> {
    match names.iter().any(|name| name == reference) {
        true => vec![reference.to_owned()],
        false => names.to_vec(),
    }
}

/// Writes images as a tar archive of a layout, with their names.
///
/// # Errors
/// Those of writing, and of reading what is in the store; a damaged blob is one.
pub fn save_tar(
    store: &ImageStore,
    images: &[StoredImage],
    archive: &mut dyn Write,
) -> io::Result<()> {
    let mut add = |name: &str, bytes: &[u8]| {
        archive.write_all(&tar::header(name, bytes.len() as u64))?;
        archive.write_all(bytes)?;
        archive.write_all(tar::padding(bytes.len() as u64))
    };
    add(LAYOUT_FILE, LAYOUT)?;
    add(INDEX_FILE, &index(images))?;
    for (digest, size_bytes) in blobs(images) {
        archive.write_all(&tar::header(&blob_path(&digest), size_bytes))?;
        copy(store, &digest, size_bytes, &mut |bytes| {
            archive.write_all(bytes)
        })?;
        archive.write_all(tar::padding(size_bytes))?;
    }
    archive.write_all(tar::END)?;
    archive.flush()
}

/// Writes images as a layout into an empty folder, with their names.
///
/// # Errors
/// As [`save_tar`].
pub fn save_folder(store: &ImageStore, images: &[StoredImage], folder: &Dir) -> io::Result<()> {
    let blobs_folder = file::open_folder(&file::open_folder(folder, "blobs")?, "sha256")?;
    for (digest, size_bytes) in blobs(images) {
        let mut blob = blobs_folder.create(digest.hex())?.into_std();
        copy(store, &digest, size_bytes, &mut |bytes| {
            blob.write_all(bytes)
        })?;
        blob.sync_all()?;
    }
    file::sync_folder(&blobs_folder)?;
    folder.write(LAYOUT_FILE, LAYOUT)?;
    file::write_atomic(folder, INDEX_FILE, &index(images))
}

/// The index of a layout with these images: an entry for each name, one for an image without a name.
fn index(images: &[StoredImage]) -> Vec<u8> {
    let entry = |image: &StoredImage, name: Option<&String>| {
        let mut entry = json!({
            "mediaType": image.media_type,
            "digest": image.manifest_digest.to_string(),
            "size": image.manifest_size_bytes(),
        });
        if let Some(name) = name {
            entry["annotations"] = json!({ NAME_KEY: name });
        }
        entry
    };
    let mut entries = Vec::new();
    for image in images {
        match image.names.as_slice() {
            [] => entries.push(entry(image, None)),
            names => entries.extend(names.iter().map(|name| entry(image, Some(name)))),
        }
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
    index.to_string().into_bytes()
}

/// All blobs of images with their sizes, each once.
fn blobs(images: &[StoredImage]) -> BTreeMap<Digest, u64> {
    images.iter().flat_map(StoredImage::blobs).collect()
}

/// Copies a blob out of the store, and verifies it on its way.
fn copy(
    store: &ImageStore,
    digest: &Digest,
    size_bytes: u64,
    write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let (disk, found_bytes) = store.blob(digest).map_err(io::Error::other)?;
    let mut hasher = Hasher::new();
    let damaged = || io::Error::other(format!("`{digest}` is damaged in the image store"));
    if found_bytes != size_bytes {
        return Err(damaged());
    }
    each_chunk(&*disk, size_bytes, &mut |bytes| {
        hasher.update(bytes);
        write(bytes)
    })?;
    match hasher.finish() == *digest {
        true => Ok(()),
        false => Err(damaged()),
    }
}

fn each_chunk(
    disk: &dyn Disk,
    size_bytes: u64,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while at < size_bytes {
        let left = usize::try_from(size_bytes - at).unwrap_or(usize::MAX);
        let chunk = &mut buffer[..left.min(CHUNK_BYTES)];
        disk.read_at(at, chunk)?;
        take(chunk)?;
        at += chunk.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

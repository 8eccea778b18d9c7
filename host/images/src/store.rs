//! The images of this device that came from registries and archives: content-addressed, verified, bounded.
//!
//! Owns what is on disk: an OCI image layout in the data folder's `images/`, so that other tools read it, beside it
//! `partial/` with downloads that were cut. Owns also who holds which image, and what goes when room is wanted. Leaves
//! asking registries to the registry client, deciding what is pulled to the daemon's supply of images, and the data
//! folder's lock, which makes this the only process here, to the store crate.
//!
//! Whatever is cut off at whatever moment, an image is in the store whole or not at all: blobs are written, synced
//! and verified before they get their name, names last before the index speaks of them, the index is replaced as a
//! whole, and only then goes what only the old index spoke of. What nobody speaks of is swept away at opening.
//!
//! Everything here blocks while it reads and writes: asynchronous callers use a thread for blocking work.

pub mod download;
pub mod error;
pub mod lookup;
pub mod partials;
pub mod pulls;
pub mod sink;

mod files;
mod folders;
mod index;
mod look;
mod open;
mod retention;
mod room;
mod state;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cap_std::fs::Dir;
use wasm_edge_model::time::Timestamp;
use wasm_edge_store::disk::Disk;
use wasm_edge_store::volume::Volume;

use crate::digest::Digest;
use crate::document::{Descriptor, ImageManifest, MANIFEST_BYTES_MAX};
use crate::image::{IMAGE_BYTES_MAX, ImageFault, ModuleImage};
use crate::oci_layout::blob_path;
use crate::reference::Reference;
use error::StoreError;
use files::{Files, site};
use folders::StoreFolders;
use index::Entry;
use pulls::Pulls;
use state::State;

/// What the store may take unless set: some dozens of interpreters, or thousands of small components.
pub const MAX_BYTES_DEFAULT: u64 = 1024 * 1024 * 1024;

/// After how long an image goes that nobody holds and nobody used, unless set: as at IoT Edge's image garbage
/// collection.
pub const UNUSED_MAX_DEFAULT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How exactly is noted when an image was used last: flash wears.
const USED_STEP: Duration = Duration::from_secs(24 * 60 * 60);

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// What all files of the store may take.
    pub max_bytes: u64,
    /// After how long an image goes that nobody holds and nobody used.
    pub unused_max: Duration,
}

impl Default for StoreLimits {
    /// 1 GiB and 7 days.
    fn default() -> Self {
        Self {
            max_bytes: MAX_BYTES_DEFAULT,
            unused_max: UNUSED_MAX_DEFAULT,
        }
    }
}

/// The image store of a data folder; clones share it.
#[derive(Clone)]
pub struct ImageStore {
    inner: Arc<Inner>,
}

struct Inner {
    files: Files,
    limits: StoreLimits,
    /// Written and read by whoever calls; held while files are written, so that each change is one.
    state: Mutex<State>,
    /// Written by pulls, read where blobs are swept away; never held while files are written, and taken after `state`.
    pulls: Mutex<Pulls>,
}

/// An image that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// The digest of its manifest, which people and deployments name it by.
    pub manifest_digest: Digest,
    /// The media type of the manifest.
    pub media_type: String,
    /// Its component; the digest names its code.
    pub component: Descriptor,
    /// Its config.
    pub config: Descriptor,
    /// What manifest, config and component take together.
    pub size_bytes: u64,
    /// The references that lead to it, in canonical form.
    pub names: Vec<String>,
    /// When it was used last, to about a day.
    pub last_used: Timestamp,
    /// Who holds it.
    pub holders: Vec<String>,
    /// Whether all its blobs are here; what one was damaged of, or lost, has to be pulled or loaded again.
    pub is_whole: bool,
}

impl StoredImage {
    /// What its manifest alone takes.
    pub(crate) fn manifest_size_bytes(&self) -> u64 {
        self.size_bytes - self.config.size_bytes - self.component.size_bytes
    }

    /// Its blobs with their sizes: the manifest, the config and the component.
    pub(crate) fn blobs(&self) -> [(Digest, u64); 3] {
        [
            (self.manifest_digest, self.manifest_size_bytes()),
            (self.config.digest, self.config.size_bytes),
            (self.component.digest, self.component.size_bytes),
        ]
    }
}

/// What a store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Images.
    pub images: usize,
    /// What their files take, with downloads that were cut.
    pub size_bytes: u64,
    /// What they may take.
    pub max_bytes: u64,
}

/// Which images go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// Those that nobody holds and nobody used for long, and the longest unused while there are too many bytes.
    Expired,
    /// All that nobody holds.
    Unheld,
}

/// What went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// The images.
    pub images: Vec<StoredImage>,
    /// What was freed on disk, with what was left of downloads.
    pub freed_bytes: u64,
}

impl ImageStore {
    /// Opens the store in `images/` of a data folder that this process holds, and sweeps away what a crash left.
    ///
    /// # Errors
    /// [`StoreError::Io`], and [`StoreError::Version`] for a store of a newer version.
    pub fn open(images: &Dir, limits: StoreLimits) -> Result<Self, StoreError> {
        let folders =
            StoreFolders::open(images).map_err(|err| StoreError::io("make", "the folders", err))?;
        Self::on(Arc::new(folders), limits)
    }

    /// Opens a store on a volume whose names are paths in `images/`.
    ///
    /// # Errors
    /// As [`ImageStore::open`].
    pub fn on(volume: Arc<dyn Volume>, limits: StoreLimits) -> Result<Self, StoreError> {
        let files = Files::new(volume);
        let state = open::open(&files)?;
        Ok(Self {
            inner: Arc::new(Inner {
                files,
                limits,
                state: Mutex::new(state),
                pulls: Mutex::default(),
            }),
        })
    }

    /// The image that a reference leads to here: by its digest whatever its name is, else by its name.
    pub fn resolve(&self, reference: &Reference) -> Option<StoredImage> {
        let state = self.state();
        let by_name = || state.named(&reference.to_string());
        match reference.digest() {
            Some(digest) => state.image(digest).or_else(|| state.image(&by_name()?)),
            None => state.image(&by_name()?),
        }
    }

    /// What was found wrong when it was opened: for people, lower-case fragments.
    pub fn notes(&self) -> Vec<String> {
        self.state().notes.clone()
    }

    /// The image with this manifest, if it is whole.
    pub fn by_digest(&self, manifest: &Digest) -> Option<StoredImage> {
        self.state().image(manifest)
    }

    /// All images, whole or not, by name, those without one last.
    pub fn list(&self) -> Vec<StoredImage> {
        self.state().list()
    }

    /// The bytes of an image's manifest, which were verified.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::Io`].
    pub fn manifest(&self, manifest: &Digest) -> Result<Vec<u8>, StoreError> {
        let bytes = self.read_unverified(manifest, MANIFEST_BYTES_MAX)?;
        let found = Digest::of(&bytes);
        match found == *manifest {
            true => Ok(bytes),
            false => Err(self.damaged(manifest, found)),
        }
    }

    /// The component with this digest, read and verified. A damaged one is thrown away, so that it can be had anew.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::Io`].
    pub fn component(&self, component: &Digest) -> Result<ModuleImage, StoreError> {
        let bytes = self.read_unverified(component, IMAGE_BYTES_MAX)?;
        ModuleImage::check(bytes.into(), Some(component)).map_err(|source| match source {
            ImageFault::Digest { found, .. } => self.damaged(component, found),
            source => StoreError::Damaged {
                digest: *component,
                source,
            },
        })
    }

    /// Reads all of an image, and verifies it. Of a component only a part is in memory at once.
    ///
    /// # Errors
    /// [`StoreError::NotWhole`], [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::Io`].
    pub fn verify(&self, image: &StoredImage) -> Result<(), StoreError> {
        if let Some(blob) = self.state().missing_of(image) {
            let digest = || image.manifest_digest.to_string();
            let what = image.names.first().cloned().unwrap_or_else(digest);
            return Err(StoreError::NotWhole { what, blob });
        }
        self.manifest(&image.manifest_digest)?;
        for part in [&image.config, &image.component] {
            let (disk, size_bytes) = self.blob(&part.digest)?;
            let name = blob_path(&part.digest);
            let found = Files::hash(&name, &*disk, size_bytes)?.finish();
            if found != part.digest {
                return Err(self.damaged(&part.digest, found));
            }
        }
        Ok(())
    }

    /// A blob as a file, for passing it on; nothing of it is verified yet.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Io`].
    pub fn blob(&self, digest: &Digest) -> Result<(Arc<dyn Disk>, u64), StoreError> {
        let size_bytes = self.state().blobs.get(digest).copied();
        let missing = || StoreError::Missing {
            what: digest.to_string(),
        };
        let size_bytes = size_bytes.ok_or_else(missing)?;
        let disk = self.inner.files.open(&blob_path(digest))?;
        Ok((disk.ok_or_else(missing)?, size_bytes))
    }

    /// Whether a blob is here, whole as far as its size tells.
    pub fn has_blob(&self, descriptor: &Descriptor) -> bool {
        let state = self.state();
        state.blobs.get(&descriptor.digest) == Some(&descriptor.size_bytes)
    }

    /// Throws a blob away that turned out to be of no use; images that need it are no longer whole.
    pub fn discard(&self, digest: &Digest) {
        let mut state = self.state();
        if self.inner.files.remove(&blob_path(digest)) {
            state.blobs.remove(digest);
        }
    }

    /// Removes what belongs to no image and to no pull under way, as after a pull that failed.
    pub fn tidy(&self) {
        self.sweep_blobs(&mut self.state());
    }

    /// Makes an image of blobs that are here, under these names, which lead elsewhere no more. It is verified that
    /// the bytes are those of the digest, and that the blobs are there. `holder` holds it from then on. Once this
    /// returned, the image survives a power cut.
    ///
    /// # Errors
    /// [`StoreError::Digest`], [`StoreError::Manifest`], [`StoreError::Missing`] with the blob that is not there,
    /// [`StoreError::TooManyNames`], [`StoreError::Io`].
    pub fn put_manifest(
        &self,
        manifest: &PutManifest<'_>,
        now: Timestamp,
    ) -> Result<StoredImage, StoreError> {
        let digest = Digest::of(manifest.bytes);
        if digest != manifest.digest {
            return Err(StoreError::Digest {
                expected: manifest.digest,
                found: digest,
                resumed: false,
            });
        }
        let read = ImageManifest::read(manifest.bytes, Some(manifest.media_type))
            .map_err(|source| StoreError::Manifest { digest, source })?;
        let mut state = self.state();
        for part in [&read.config, &read.layer] {
            if state.blobs.get(&part.digest) != Some(&part.size_bytes) {
                return Err(StoreError::Missing {
                    what: part.digest.to_string(),
                });
            }
        }
        let size_bytes = manifest.bytes.len() as u64;
        let files = &self.inner.files;
        if state.blobs.get(&digest) != Some(&size_bytes) {
            files.replace(&blob_path(&digest), manifest.bytes, site::BLOB)?;
            state.blobs.insert(digest, size_bytes);
        }
        let names = manifest.names.iter().map(ToString::to_string);
        let entry = |name| Entry {
            name,
            manifest: digest,
            media_type: read.media_type.to_owned(),
            size_bytes,
            last_used: now,
        };
        let entries = state::with_image(&state.entries, names, &entry);
        state.images.insert(digest, (&read).into());
        state.change_entries(files, entries)?;
        if let Some(holder) = manifest.holder {
            state.hold(holder, digest);
        }
        state.image(&digest).ok_or_else(|| StoreError::Missing {
            what: digest.to_string(),
        })
    }

    /// Notes that an image was used; written at most once a day.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn used(&self, manifest: &Digest, now: Timestamp) -> Result<(), StoreError> {
        let mut state = self.state();
        let entries = state::with_use(&state.entries, |entry| entry.manifest == *manifest, now);
        state.change_entries(&self.inner.files, entries)
    }

    /// Says which images somebody holds, and no others.
    pub fn hold(&self, holder: &str, manifests: BTreeSet<Digest>) {
        let mut state = self.state();
        if manifests.is_empty() {
            state.holds.remove(holder);
        } else {
            state.holds.insert(holder.to_owned(), manifests);
        }
    }

    /// Adds an image to those that somebody holds.
    pub fn hold_also(&self, holder: &str, manifest: Digest) {
        self.state().hold(holder, manifest);
    }

    /// What there is.
    pub fn usage(&self) -> Usage {
        let state = self.state();
        Usage {
            images: state.images.len(),
            size_bytes: state.size_bytes(),
            max_bytes: self.inner.limits.max_bytes,
        }
    }

    /// What it may keep.
    pub fn limits(&self) -> StoreLimits {
        self.inner.limits
    }

    fn read_unverified(&self, digest: &Digest, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        let bytes = self.inner.files.read(&blob_path(digest), max_bytes)?;
        bytes.ok_or_else(|| StoreError::Missing {
            what: digest.to_string(),
        })
    }

    /// Throws a damaged blob away.
    fn damaged(&self, digest: &Digest, found: Digest) -> StoreError {
        self.discard(digest);
        StoreError::Damaged {
            digest: *digest,
            source: ImageFault::Digest {
                expected: *digest,
                found,
            },
        }
    }

    /// Removes blobs of no image, but those that a pull under way asked for.
    fn sweep_blobs(&self, state: &mut State) {
        let wanted = self.pulls().wanted.clone();
        state.sweep_blobs(&self.inner.files, wanted);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An image that is to be made of blobs in the store.
#[derive(Debug, Clone, Copy)]
pub struct PutManifest<'a> {
    /// The digest that it has to have.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Its media type, as it was announced.
    pub media_type: &'a str,
    /// The references that lead to it from now on; none for one that is known by its digest only.
    pub names: &'a [Reference],
    /// Who holds it from the first moment on.
    pub holder: Option<&'a str>,
}

/// An image by a reference or by the digest of its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageName {
    /// By a reference.
    Reference(Reference),
    /// By its digest.
    Digest(Digest),
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => reference.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl fmt::Debug for ImageStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageStore")
            .field("limits", &self.inner.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! What the store knows of its files, in memory, and the changes of its index.
//!
//! Owns the order in which an index and what it speaks of come and go. The index in memory is that on disk, but after
//! a failed write: then it is written again before anything goes.

use std::collections::{BTreeMap, BTreeSet};

use wasm_edge_model::time::Timestamp;

use super::error::StoreError;
use super::files::{Files, partial_name, site};
use super::index::{self, Entry};
use super::retention::{self, Candidate};
use super::{StoredImage, USED_STEP};
use crate::digest::Digest;
use crate::document::{Descriptor, ImageManifest};
use crate::oci_layout::{INDEX_FILE, LAYOUT, LAYOUT_FILE, blob_path};

/// What the store knows.
#[derive(Debug, Default)]
pub(super) struct State {
    /// What the index says.
    pub(super) entries: Vec<Entry>,
    /// Whether the index on disk may say something else.
    pub(super) index_in_doubt: bool,
    /// Whether the folder says that it is a layout.
    pub(super) has_layout: bool,
    /// The images of the index, by manifest.
    pub(super) images: BTreeMap<Digest, Parts>,
    /// Blobs that are here, with their sizes.
    pub(super) blobs: BTreeMap<Digest, u64>,
    /// Downloads that were cut or are under way.
    pub(super) partials: BTreeMap<Digest, Partial>,
    /// Downloads that are under way.
    pub(super) active: BTreeSet<Digest>,
    /// Who holds which images.
    pub(super) holds: BTreeMap<String, BTreeSet<Digest>>,
    /// What was found wrong when the store was opened, for people.
    pub(super) notes: Vec<String>,
}

/// A download that was cut or is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partial {
    /// What is there of it, or what is kept free for it while it is under way.
    pub(super) size_bytes: u64,
    /// Whether it lay idle already when images were let go before.
    pub(super) is_stale: bool,
    /// Whether it should be gone, and could not be removed.
    pub(super) is_useless: bool,
}

/// What an image is made of beside its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) config: Descriptor,
    pub(super) component: Descriptor,
}

impl Partial {
    /// One that was used just now.
    pub(super) fn of(size_bytes: u64) -> Self {
        Self {
            size_bytes,
            is_stale: false,
            is_useless: false,
        }
    }
}

impl From<&ImageManifest> for Parts {
    fn from(manifest: &ImageManifest) -> Self {
        Self {
            config: manifest.config.clone(),
            component: manifest.layer.clone(),
        }
    }
}

impl State {
    /// The manifest that a name leads to.
    pub(super) fn named(&self, name: &str) -> Option<Digest> {
        let mut entries = self.entries.iter();
        let found = entries.find(|entry| entry.name.as_deref() == Some(name));
        found.map(|entry| entry.manifest)
    }

    /// An image, if it is whole.
    pub(super) fn image(&self, manifest: &Digest) -> Option<StoredImage> {
        self.describe(manifest).filter(|image| image.is_whole)
    }

    /// All images, whole or not, by name.
    pub(super) fn list(&self) -> Vec<StoredImage> {
        let images = self.images.keys();
        let mut images: Vec<StoredImage> = images
            .filter_map(|manifest| self.describe(manifest))
            .collect();
        images.sort_by(|a, b| {
            let key = |image: &StoredImage| (image.names.is_empty(), image.names.first().cloned());
            key(a).cmp(&key(b))
        });
        images
    }

    fn describe(&self, manifest: &Digest) -> Option<StoredImage> {
        let parts = self.images.get(manifest)?;
        let entries = || self.entries.iter().filter(|e| e.manifest == *manifest);
        let entry = entries().next()?;
        let last_used = entries().map(|entry| entry.last_used).max();
        let mut names: Vec<String> = entries().filter_map(|entry| entry.name.clone()).collect();
        names.sort();
        let mut image = StoredImage {
            manifest_digest: *manifest,
            media_type: entry.media_type.clone(),
            size_bytes: entry.size_bytes + parts.config.size_bytes + parts.component.size_bytes,
            component: parts.component.clone(),
            config: parts.config.clone(),
            names,
            last_used: last_used.unwrap_or(Timestamp::UNSET),
            holders: self.holders(manifest),
            is_whole: false,
        };
        image.is_whole = self.missing_of(&image).is_none();
        Some(image)
    }

    /// The first blob of an image that is not here.
    pub(super) fn missing_of(&self, image: &StoredImage) -> Option<Digest> {
        let mut blobs = image.blobs().into_iter();
        let missing = blobs.find(|blob| !self.has(blob));
        missing.map(|(digest, _)| digest)
    }

    /// Whether a blob is here with this size.
    fn has(&self, (digest, size_bytes): &(Digest, u64)) -> bool {
        self.blobs.get(digest) == Some(size_bytes)
    }

    pub(super) fn hold(&mut self, holder: &str, manifest: Digest) {
        let held = self.holds.entry(holder.to_owned()).or_default();
        held.insert(manifest);
    }

    /// Who holds an image.
    pub(super) fn holders(&self, manifest: &Digest) -> Vec<String> {
        let holds = self.holds.iter();
        let of_image = holds.filter(|(_, held)| held.contains(manifest));
        of_image.map(|(holder, _)| holder.clone()).collect()
    }

    /// All images that somebody holds.
    pub(super) fn held(&self) -> BTreeSet<Digest> {
        self.holds.values().flatten().copied().collect()
    }

    /// The images as they are judged, of which these may not go.
    pub(super) fn candidates(&self, held: &BTreeSet<Digest>) -> Vec<Candidate> {
        let candidate = |image: StoredImage| Candidate {
            manifest: image.manifest_digest,
            last_used: image.last_used,
            held: held.contains(&image.manifest_digest),
            // Of one that is not whole what is here counts.
            blobs: Vec::from_iter(image.blobs().into_iter().filter(|blob| self.has(blob))),
        };
        self.list().into_iter().map(candidate).collect()
    }

    /// What all files take, and what is kept free for downloads.
    pub(super) fn size_bytes(&self) -> u64 {
        let partials = self.partials.values().map(|partial| partial.size_bytes);
        let sizes = self.blobs.values().copied().chain(partials);
        sizes.fold(0, u64::saturating_add)
    }

    /// What is taken by files of no image.
    pub(super) fn unnamed_bytes(&self) -> u64 {
        let named = retention::size_bytes(self.candidates(&BTreeSet::new()).iter());
        self.size_bytes().saturating_sub(named)
    }

    /// What is taken by downloads that were cut and that nobody goes on with now.
    pub(super) fn idle_bytes(&self) -> u64 {
        let idle = self.partials.iter();
        let idle = idle.filter(|(digest, _)| !self.active.contains(digest));
        idle.fold(0, |sum, (_, partial)| {
            sum.saturating_add(partial.size_bytes)
        })
    }

    /// Makes these the entries, on disk too. Nothing is written where nothing changes.
    pub(super) fn change_entries(
        &mut self,
        files: &Files,
        entries: Vec<Entry>,
    ) -> Result<(), StoreError> {
        if entries == self.entries && !self.index_in_doubt {
            return Ok(());
        }
        if entries.len() > index::ENTRIES_MAX && entries.len() > self.entries.len() {
            let max = index::ENTRIES_MAX;
            return Err(StoreError::TooManyNames { max });
        }
        if !self.has_layout {
            files.replace(LAYOUT_FILE, LAYOUT, site::INDEX)?;
            self.has_layout = true;
        }
        files.sync_names(site::BLOB_NAMES)?;
        // From here until both have succeeded, the disk may have either.
        self.index_in_doubt = true;
        files.replace(INDEX_FILE, &index::write(&entries), site::INDEX)?;
        files.sync_names(site::INDEX_NAME)?;
        self.index_in_doubt = false;
        self.entries = entries;
        let named: BTreeSet<Digest> = self.entries.iter().map(|entry| entry.manifest).collect();
        self.images.retain(|manifest, _| named.contains(manifest));
        Ok(())
    }

    /// Makes these the entries on a disk that has no room for their index, which still speaks of images that are to go:
    /// their manifests go first, so that an opening forgets them whatever happens, and then what else only they have.
    /// Answers whether that was done; not where no image goes, or one is wanted again.
    pub(super) fn let_go_first(
        &mut self,
        files: &Files,
        entries: Vec<Entry>,
        wanted: &BTreeSet<Digest>,
    ) -> Result<bool, StoreError> {
        let staying: BTreeSet<Digest> = entries.iter().map(|entry| entry.manifest).collect();
        let mut needed = wanted.clone();
        needed.extend(&staying);
        let mut going = Vec::new();
        for (manifest, parts) in &self.images {
            let parts = [parts.config.digest, parts.component.digest];
            match staying.contains(manifest) {
                true => needed.extend(parts),
                false => going.push((*manifest, parts)),
            }
        }
        let is_wanted = |(manifest, _): &(Digest, _)| needed.contains(manifest);
        if going.is_empty() || going.iter().any(is_wanted) {
            return Ok(false);
        }
        for (manifest, _) in &going {
            self.remove_blob(files, manifest);
        }
        // Else a power cut could leave an image with its manifest and without its component.
        files.sync_names(site::INDEX_NAME)?;
        for (_, parts) in &going {
            let free = parts.iter().filter(|part| !needed.contains(*part));
            free.for_each(|part| self.remove_blob(files, part));
        }
        self.images.retain(|manifest, _| staying.contains(manifest));
        self.entries.clone_from(&entries);
        self.index_in_doubt = true;
        if let Err(err) = self.change_entries(files, entries) {
            tracing::warn!(
                err = err.told(),
                "the index of the image store cannot be written yet"
            );
        }
        Ok(true)
    }

    fn remove_blob(&mut self, files: &Files, digest: &Digest) {
        if files.remove(&blob_path(digest)) {
            self.blobs.remove(digest);
        }
    }

    /// Removes blobs that the index does not speak of, and that are not wanted.
    pub(super) fn sweep_blobs(&mut self, files: &Files, wanted: BTreeSet<Digest>) {
        // The index on disk may speak of what that in memory does not.
        if self.index_in_doubt {
            return;
        }
        let mut named = wanted;
        named.extend(self.images.keys());
        for parts in self.images.values() {
            named.extend([parts.config.digest, parts.component.digest]);
        }
        self.blobs
            .retain(|digest, _| named.contains(digest) || !files.remove(&blob_path(digest)));
    }

    /// Removes downloads that were cut: those that lay idle the last time already, or all but those under way.
    pub(super) fn sweep_partials(&mut self, files: &Files, which: Idle) {
        let active = &self.active;
        self.partials.retain(|digest, partial| {
            let goes = !active.contains(digest) && (partial.is_stale || which == Idle::All);
            partial.is_stale = !active.contains(digest);
            !goes || !files.remove(&partial_name(digest))
        });
    }
}

/// Which downloads that were cut go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Idle {
    /// Those that lay idle the last time already.
    Stale,
    /// All.
    All,
}

/// Entries with an image more, under these names or none. An image that loses its last name stays, by its digest.
pub(super) fn with_image(
    entries: &[Entry],
    names: impl Iterator<Item = String>,
    entry: &impl Fn(Option<String>) -> Entry,
) -> Vec<Entry> {
    let names: BTreeSet<String> = names.collect();
    let manifest = entry(None).manifest;
    let taken = |entry: &Entry| entry.name.as_ref().is_some_and(|name| names.contains(name));
    // An entry without a name says what one with a name says as well.
    let is_named =
        |manifest: &Digest, kept: &[Entry]| kept.iter().any(|kept| kept.manifest == *manifest);
    let mut changed: Vec<Entry> = entries
        .iter()
        .filter(|old| !taken(old) && (old.manifest != manifest || old.name.is_some()))
        .cloned()
        .collect();
    for old in entries.iter().filter(|old| taken(old)) {
        if old.manifest != manifest && !is_named(&old.manifest, &changed) {
            changed.push(Entry {
                name: None,
                ..old.clone()
            });
        }
    }
    changed.extend(names.iter().cloned().map(|name| entry(Some(name))));
    if !is_named(&manifest, &changed) {
        changed.push(entry(None));
    }
    changed
}

/// Entries of which some were used now, where that has to be noted.
pub(super) fn with_use(
    entries: &[Entry],
    is_used: impl Fn(&Entry) -> bool,
    now: Timestamp,
) -> Vec<Entry> {
    let note = |entry: &Entry| {
        let mut entry = entry.clone();
        // A clock that went back is noted as well: else the image would count as used until then.
        let is_due =
            entry.last_used.after(USED_STEP) <= now || entry.last_used > now.after(USED_STEP);
        if is_due && is_used(&entry) {
            entry.last_used = now;
        }
        entry
    };
    entries.iter().map(note).collect()
}

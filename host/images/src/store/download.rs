//! A blob on its way into the store: written as it comes, verified before it gets its name.
//!
//! Owns going on where a download was cut, and the proof that what came is what was asked for. Leaves where the bytes
//! come from to the caller.

use std::fmt;
use std::sync::Arc;

use wasm_edge_store::disk::Disk;

use super::ImageStore;
use super::error::StoreError;
use super::files::{Files, partial_name, site};
use super::pulls::PullGuard;
use super::state::Partial;
use crate::digest::{Digest, Hasher};
use crate::document::Descriptor;
use crate::oci_layout::blob_path;

/// What is there of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// A part, or all that has not been verified yet.
    Part,
    /// What is of no use.
    Useless,
    /// A blob.
    Blob,
}

/// A blob on its way. Dropped before its end, it can be gone on with later.
pub struct Download {
    store: ImageStore,
    expected: Descriptor,
    disk: Arc<dyn Disk>,
    hasher: Hasher,
    size_bytes: u64,
    resumed_bytes: u64,
    outcome: Outcome,
    /// Whether a part of it is kept, to be gone on with.
    is_kept: bool,
    /// The blob is kept until its image is there.
    _guard: PullGuard,
}

impl ImageStore {
    /// Begins a blob, or goes on with one that was cut; `None` when it is here. Images that nobody holds may go to make
    /// room for it.
    ///
    /// Keep a [`PullGuard`] until its image is put: without, the blob may be swept away before.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when it is on its way already, [`StoreError::NoRoom`], [`StoreError::DiskFull`],
    /// [`StoreError::Io`].
    pub fn begin(&self, descriptor: &Descriptor) -> Result<Option<Download>, StoreError> {
        let digest = descriptor.digest;
        // Before the lock, so that it is let go after it.
        let guard = self.pulling();
        let mut state = self.state();
        self.pulls().wanted.insert(digest);
        if let Some(size_bytes) = state.blobs.get(&digest).copied() {
            if size_bytes == descriptor.size_bytes {
                return Ok(None);
            }
            // Either the blob here is damaged, or whoever says its size is wrong.
            if self.inner.files.is_blob(&digest, size_bytes)? {
                return Err(StoreError::Size {
                    digest,
                    expected_bytes: descriptor.size_bytes,
                    found_bytes: size_bytes,
                });
            }
            self.inner.files.remove(&blob_path(&digest));
            state.blobs.remove(&digest);
        }
        if !state.active.insert(digest) {
            return Err(StoreError::Busy { digest });
        }
        let there = state.partials.remove(&digest);
        // Room for all of it, so that two downloads cannot both have the last place.
        if let Err(err) = self.make_room(&mut state, descriptor.size_bytes) {
            state.active.remove(&digest);
            state
                .partials
                .extend(there.map(|partial| (digest, partial)));
            return Err(err);
        }
        state
            .partials
            .insert(digest, Partial::of(descriptor.size_bytes));
        drop(state);
        let useless = there.is_some_and(|partial| partial.is_useless);
        let begun = self.go_on(descriptor, guard, useless);
        begun.map(Some).inspect_err(|_| {
            // Whatever is there of it is looked at again by the next one.
            self.ended(&digest, there);
        })
    }

    /// Puts a small blob whose bytes are here already.
    ///
    /// # Errors
    /// As [`ImageStore::begin`] and [`Download::finish`].
    pub fn put_blob(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(mut download) = self.begin(descriptor)? else {
            return Ok(());
        };
        download.restart()?;
        download.keep_no_part();
        download.append(bytes)?;
        download.finish()
    }

    /// Opens what is there of a blob, and hashes it.
    fn go_on(
        &self,
        descriptor: &Descriptor,
        guard: PullGuard,
        useless: bool,
    ) -> Result<Download, StoreError> {
        let name = partial_name(&descriptor.digest);
        let files = &self.inner.files;
        let found = match files.open(&name)? {
            Some(disk) if !useless => {
                let size = disk.len_bytes();
                let size = size.map_err(|err| StoreError::io("read", &name, err))?;
                Some((disk, size)).filter(|(_, size)| *size <= descriptor.size_bytes)
            }
            _ => None,
        };
        let (disk, size_bytes) = match found {
            Some(found) => found,
            None => (files.create(&name)?, 0),
        };
        let hasher = Files::hash(&name, &*disk, size_bytes)?;
        Ok(Download {
            store: self.clone(),
            expected: descriptor.clone(),
            disk,
            hasher,
            size_bytes,
            resumed_bytes: size_bytes,
            outcome: Outcome::Part,
            is_kept: true,
            _guard: guard,
        })
    }

    /// A download is over; this is left of it.
    fn ended(&self, digest: &Digest, left: Option<Partial>) {
        let mut state = self.state();
        state.active.remove(digest);
        state.partials.remove(digest);
        let left = left.filter(|left| left.size_bytes > 0);
        state.partials.extend(left.map(|left| (*digest, left)));
    }
}

impl Download {
    /// How many bytes are there.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// How many bytes were there from before.
    pub fn resumed_bytes(&self) -> u64 {
        self.resumed_bytes
    }

    /// What is being fetched.
    pub fn descriptor(&self) -> &Descriptor {
        &self.expected
    }

    /// Writes the bytes that come next.
    ///
    /// # Errors
    /// [`StoreError::Size`] when they are more than the blob has, [`StoreError::DiskFull`], [`StoreError::Io`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let size_bytes = self.size_bytes.saturating_add(bytes.len() as u64);
        if size_bytes > self.expected.size_bytes {
            self.outcome = Outcome::Useless;
            return Err(self.wrong_size(size_bytes));
        }
        if let Err(err) = self.disk.write_at(self.size_bytes, bytes) {
            let err = StoreError::io("write", &partial_name(&self.expected.digest), err);
            // Others need the last bytes of a disk more than a part of a blob does.
            if matches!(err, StoreError::DiskFull { .. }) {
                self.outcome = Outcome::Useless;
            }
            return Err(err);
        }
        self.hasher.update(bytes);
        self.size_bytes = size_bytes;
        Ok(())
    }

    /// The digest of what is there.
    pub fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Leaves nothing when it is dropped before its end: who brings the bytes begins anew another time.
    pub fn keep_no_part(&mut self) {
        self.is_kept = false;
    }

    /// Begins anew, with no byte.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn restart(&mut self) -> Result<(), StoreError> {
        let name = partial_name(&self.expected.digest);
        let cut = self.disk.set_len(0);
        cut.map_err(|err| StoreError::io("cut", &name, err))?;
        self.hasher = Hasher::default();
        (self.size_bytes, self.resumed_bytes) = (0, 0);
        Ok(())
    }

    /// Verifies what came, writes it out and makes it a blob. What is not what was asked for is thrown away.
    ///
    /// # Errors
    /// [`StoreError::Size`] when bytes are missing, which can still come another time; [`StoreError::Digest`],
    /// [`StoreError::DiskFull`], [`StoreError::Io`].
    pub fn finish(mut self) -> Result<(), StoreError> {
        if self.size_bytes != self.expected.size_bytes {
            return Err(self.wrong_size(self.size_bytes));
        }
        let digest = self.expected.digest;
        let found = std::mem::take(&mut self.hasher).finish();
        if found != digest {
            self.outcome = Outcome::Useless;
            return Err(StoreError::Digest {
                expected: digest,
                found,
                resumed: self.resumed_bytes > 0,
            });
        }
        let (from, to) = (partial_name(&digest), blob_path(&digest));
        let files = &self.store.inner.files;
        let named = files.name(&from, &*self.disk, &to, site::BLOB);
        if named.is_err() {
            // What a failed sync covered may be on the disk or not, and no later sync changes that.
            self.outcome = Outcome::Useless;
        }
        named?;
        let mut state = self.store.state();
        state.blobs.insert(digest, self.size_bytes);
        state.active.remove(&digest);
        state.partials.remove(&digest);
        drop(state);
        self.outcome = Outcome::Blob;
        Ok(())
    }

    fn wrong_size(&self, found_bytes: u64) -> StoreError {
        StoreError::Size {
            digest: self.expected.digest,
            expected_bytes: self.expected.size_bytes,
            found_bytes,
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let digest = self.expected.digest;
        let left = Partial::of(self.size_bytes);
        match self.outcome {
            // Of nothing there is nothing to go on with.
            Outcome::Part if self.is_kept && self.size_bytes > 0 => {
                self.store.ended(&digest, Some(left))
            }
            Outcome::Part | Outcome::Useless => {
                let is_gone = self.store.inner.files.remove(&partial_name(&digest));
                let left = Partial {
                    is_useless: true,
                    ..left
                };
                self.store.ended(&digest, Some(left).filter(|_| !is_gone));
            }
            // Said already, together with its being there.
            Outcome::Blob => {}
        }
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("expected", &self.expected)
            .field("size_bytes", &self.size_bytes)
            .finish_non_exhaustive()
    }
}

//! The files of the store: read whole or in parts, replaced as a whole.
//!
//! Owns names and the order of writes and syncs. Leaves what the files mean to the store.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use wasm_edge_store::disk::Disk;
use wasm_edge_store::file::TEMPORARY_PREFIX;
use wasm_edge_store::volume::{SyncSite, Volume};

use super::error::StoreError;
use super::folders::PARTIAL;
use crate::digest::{Digest, Hasher};
use crate::oci_layout::blob_path;

/// How much is read at once, in bytes: what hashing a blob holds in memory.
const CHUNK_BYTES: usize = 64 * 1024;

/// The places where something is synced.
pub(super) mod site {
    use super::SyncSite;

    /// The content of a blob, before it gets its name.
    pub(in crate::store) const BLOB: SyncSite = SyncSite("blob");
    /// The names of blobs, before an index may speak of them.
    pub(in crate::store) const BLOB_NAMES: SyncSite = SyncSite("names of blobs");
    /// The content of an index, before it takes the old one's place.
    pub(in crate::store) const INDEX: SyncSite = SyncSite("index");
    /// The name of an index, before what only the old one speaks of may go.
    pub(in crate::store) const INDEX_NAME: SyncSite = SyncSite("name of the index");

    /// All of them.
    #[cfg(test)]
    pub(in crate::store) const ALL: [SyncSite; 4] = [BLOB, BLOB_NAMES, INDEX, INDEX_NAME];
}

/// The files of a store; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Files {
    volume: Arc<dyn Volume>,
}

/// Where a blob lies that is not whole yet.
pub(super) fn partial_name(digest: &Digest) -> String {
    format!("{PARTIAL}{}", digest.hex())
}

impl Files {
    pub(super) fn new(volume: Arc<dyn Volume>) -> Self {
        Self { volume }
    }

    pub(super) fn list(&self) -> Result<Vec<String>, StoreError> {
        let listed = self.volume.list();
        listed.map_err(|err| StoreError::io("list", "blobs", err))
    }

    /// Opens a file that is there.
    pub(super) fn open(&self, name: &str) -> Result<Option<Arc<dyn Disk>>, StoreError> {
        match self.volume.open(name) {
            Ok(disk) => Ok(Some(disk)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(StoreError::io("open", name, err)),
        }
    }

    pub(super) fn create(&self, name: &str) -> Result<Arc<dyn Disk>, StoreError> {
        let created = self.volume.create(name);
        created.map_err(|err| StoreError::io("create", name, err))
    }

    pub(super) fn size(&self, name: &str) -> Result<u64, StoreError> {
        let Some(disk) = self.open(name)? else {
            return Ok(0);
        };
        let size = disk.len_bytes();
        size.map_err(|err| StoreError::io("read", name, err))
    }

    /// When a file was changed last, where that is known.
    pub(super) fn modified(&self, name: &str) -> Option<SystemTime> {
        self.volume.modified(name).ok().flatten()
    }

    /// The whole of a file of at most so many bytes.
    pub(super) fn read(&self, name: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(disk) = self.open(name)? else {
            return Ok(None);
        };
        let read = || {
            let size = disk.len_bytes()?;
            if size > max_bytes {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let size = usize::try_from(size).map_err(io::Error::other)?;
            let mut bytes = vec![0; size];
            disk.read_at(0, &mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|err| StoreError::io("read", name, err))?;
        Ok(Some(bytes))
    }

    /// Hashes the first bytes of a file.
    pub(super) fn hash(name: &str, disk: &dyn Disk, size_bytes: u64) -> Result<Hasher, StoreError> {
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut at = 0;
        while at < size_bytes {
            let left = usize::try_from(size_bytes - at).unwrap_or(usize::MAX);
            let chunk = &mut buffer[..left.min(CHUNK_BYTES)];
            disk.read_at(at, chunk)
                .map_err(|err| StoreError::io("read", name, err))?;
            hasher.update(chunk);
            at += chunk.len() as u64;
        }
        Ok(hasher)
    }

    /// Whether a blob of so many bytes is what its digest says.
    pub(super) fn is_blob(&self, digest: &Digest, size_bytes: u64) -> Result<bool, StoreError> {
        let name = blob_path(digest);
        let Some(disk) = self.open(&name)? else {
            return Ok(false);
        };
        Ok(Self::hash(&name, &*disk, size_bytes)?.finish() == *digest)
    }

    /// Puts a file in the place of what has its name. The new name lasts once [`Files::sync_names`] has returned.
    pub(super) fn replace(
        &self,
        name: &str,
        bytes: &[u8],
        site: SyncSite,
    ) -> Result<(), StoreError> {
        // One at a time, under the store's lock.
        let temporary = format!("{TEMPORARY_PREFIX}new");
        let write = || {
            let disk = self.volume.create(&temporary)?;
            disk.write_at(0, bytes)?;
            self.volume.sync_file(&*disk, site)?;
            self.volume.rename(&temporary, name)
        };
        // People know the file that could not be replaced, and not the one beside it.
        write().map_err(|err| {
            self.remove(&temporary);
            StoreError::io("write", name, err)
        })
    }

    /// Gives a file that is written out its name.
    pub(super) fn name(
        &self,
        from: &str,
        disk: &dyn Disk,
        to: &str,
        site: SyncSite,
    ) -> Result<(), StoreError> {
        let synced = self.volume.sync_file(disk, site);
        let named = synced.and_then(|()| self.volume.rename(from, to));
        named.map_err(|err| StoreError::io("write", to, err))
    }

    /// Gives a file another name.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let renamed = self.volume.rename(from, to);
        renamed.map_err(|err| StoreError::io("rename", from, err))
    }

    pub(super) fn sync_names(&self, site: SyncSite) -> Result<(), StoreError> {
        let synced = self.volume.sync_folder(site);
        synced.map_err(|err| StoreError::io("sync", "the folders", err))
    }

    /// Removes a file; says whether it is gone. What stays is found at the next opening.
    pub(super) fn remove(&self, name: &str) -> bool {
        match self.volume.remove(name) {
            Ok(()) => true,
            Err(err) if err.kind() == io::ErrorKind::NotFound => true,
            Err(err) => {
                tracing::warn!(name, %err, "a file of the image store cannot be removed");
                false
            }
        }
    }
}

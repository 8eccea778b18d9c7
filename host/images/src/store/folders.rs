//! The folders of the image store as one volume: `index.json` beside `blobs/sha256/` and `partial/`.
//!
//! Owns where a name of the store lies. Leaves faults to the simulated volume, whose names are these very paths, and
//! the meaning of files to the store.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use cap_std::fs::Dir;
use wasm_edge_store::disk::Disk;
use wasm_edge_store::file;
use wasm_edge_store::volume::{FolderVolume, SyncSite, Volume};

use crate::oci_layout::BLOBS;

/// Where blobs lie that are not whole yet.
pub(super) const PARTIAL: &str = "partial/";

/// One volume of three folders.
#[derive(Debug)]
pub(super) struct StoreFolders {
    /// By their prefix; the store's own folder has none and comes last.
    parts: [Part; 3],
}

#[derive(Debug)]
struct Part {
    prefix: &'static str,
    dir: Dir,
    volume: FolderVolume,
}

impl StoreFolders {
    /// Opens the folders of a store, which are made if they are missing.
    pub(super) fn open(dir: &Dir) -> io::Result<Self> {
        let blobs = file::open_folder(&file::open_folder(dir, "blobs")?, "sha256")?;
        let partial = file::open_folder(dir, "partial")?;
        Ok(Self {
            parts: [
                Part::new(BLOBS, blobs)?,
                Part::new(PARTIAL, partial)?,
                Part::new("", dir.try_clone()?)?,
            ],
        })
    }

    fn part<'n>(&self, name: &'n str) -> io::Result<(&Part, &'n str)> {
        let found = self
            .parts
            .iter()
            .find_map(|part| Some((part, name.strip_prefix(part.prefix)?)));
        found
            .filter(|(_, name)| !name.contains('/'))
            .ok_or_else(|| io::ErrorKind::InvalidFilename.into())
    }
}

impl Part {
    fn new(prefix: &'static str, dir: Dir) -> io::Result<Self> {
        let volume = FolderVolume::new(dir.try_clone()?);
        Ok(Self {
            prefix,
            dir,
            volume,
        })
    }
}

impl Volume for StoreFolders {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for part in &self.parts {
            let found = part.volume.list()?.into_iter();
            names.extend(found.map(|name| format!("{}{name}", part.prefix)));
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let (part, name) = self.part(name)?;
        part.volume.create(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let (part, name) = self.part(name)?;
        part.volume.open(name)
    }

    fn modified(&self, name: &str) -> io::Result<Option<SystemTime>> {
        let (part, name) = self.part(name)?;
        part.volume.modified(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let ((from_part, from), (to_part, to)) = (self.part(from)?, self.part(to)?);
        from_part.dir.rename(from, &to_part.dir, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (part, name) = self.part(name)?;
        part.volume.remove(name)
    }

    fn sync_folder(&self, site: SyncSite) -> io::Result<()> {
        // All of them, as a rename may touch two; one in which nothing changed costs next to nothing.
        let mut parts = self.parts.iter();
        parts.try_for_each(|part| part.volume.sync_folder(site))
    }

    fn sync_file(&self, file: &dyn Disk, _site: SyncSite) -> io::Result<()> {
        file.sync()
    }
}

//! A store that is looked at without being held: for what is said of a device's images while its process runs, or none
//! does.
//!
//! Takes no lock and changes nothing on disk. What is found may be in the middle of a change: an image whose files went
//! just now is missing, and none is ever taken for another, since whatever is read is verified by its digest.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::SystemTime;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use wasm_edge_store::disk::{Disk, FileDisk};
use wasm_edge_store::volume::{SyncSite, Volume};

use super::error::StoreError;
use super::folders::PARTIAL;
use super::{ImageStore, StoreLimits};
use crate::oci_layout::BLOBS;

/// The folders of a store that are there, read and never written.
#[derive(Debug)]
struct Onlooker {
    images: Dir,
}

impl ImageStore {
    /// Looks at the store in `images/` of a data folder that another process may hold. What changes it fails, and
    /// nobody holds an image of it as far as it knows.
    ///
    /// # Errors
    /// As [`ImageStore::open`].
    pub fn look(images: Dir) -> Result<Self, StoreError> {
        Self::on(Arc::new(Onlooker { images }), StoreLimits::default())
    }
}

impl Onlooker {
    fn list_in(&self, prefix: &'static str, names: &mut Vec<String>) -> io::Result<()> {
        let folder = match prefix {
            "" => self.images.try_clone(),
            prefix => self.images.open_dir(prefix.trim_end_matches('/')),
        };
        let folder = match folder {
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(()),
            folder => folder?,
        };
        for entry in folder.entries()? {
            let entry = entry?;
            // A name that is no text is none of ours.
            if let (true, Ok(name)) = (
                entry.file_type()?.is_file(),
                entry.file_name().into_string(),
            ) {
                names.push(format!("{prefix}{name}"));
            }
        }
        Ok(())
    }
}

impl Volume for Onlooker {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for prefix in [BLOBS, PARTIAL, ""] {
            self.list_in(prefix, &mut names)?;
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let mut options = OpenOptions::new();
        options.read(true);
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        let file = self.images.open_with(name, &options)?.into_std();
        Ok(Arc::new(FileDisk::new(file)))
    }

    fn modified(&self, name: &str) -> io::Result<Option<SystemTime>> {
        let modified = self.images.metadata(name)?.modified()?;
        Ok(Some(modified.into_std()))
    }

    fn create(&self, _name: &str) -> io::Result<Arc<dyn Disk>> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    /// What is of no use is left out of this look; whoever holds the folder sweeps it away.
    fn remove(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _site: SyncSite) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_file(&self, _file: &dyn Disk, _site: SyncSite) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }
}

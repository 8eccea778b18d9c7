//! The folder of one device: its stores, keys, logs, and its modules' data.
//!
//! Owns names and permissions of these folders. Leaves their content to the
//! daemon and the router. Handed out by the data folder.

use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use wasm_edge_model::identity::ModuleId;

use super::FolderError;
use crate::file;

pub(crate) const STORE: &str = "store";
pub(crate) const KEYS: &str = "keys";
pub(super) const LOGS: &str = "logs";
const MESSAGES: &str = "messages";
const MODULES: &str = "modules";
const DATA: &str = "data";

/// `devices/<device>/`, whose name is the device id's folder name.
#[derive(Debug)]
pub struct DeviceFolder {
    path: PathBuf,
    dir: Dir,
}

impl DeviceFolder {
    pub(super) fn new(path: PathBuf, dir: Dir) -> Self {
        Self { path, dir }
    }

    /// Where the folder is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `store/`: the device's databases and queues.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn store(&self) -> Result<Dir, FolderError> {
        self.part(STORE)
    }

    /// `store/messages/`: the messages that wait.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn messages(&self) -> Result<Dir, FolderError> {
        let store = self.part(STORE)?;
        file::open_folder(&store, MESSAGES).map_err(|source| FolderError::Io {
            path: self.path.join(STORE).join(MESSAGES),
            source,
        })
    }

    /// `keys/`: the device's keys, each file of mode 0600.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn keys(&self) -> Result<Dir, FolderError> {
        self.part(KEYS)
    }

    /// `logs/`: the modules' logs.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn logs(&self) -> Result<Dir, FolderError> {
        self.part(LOGS)
    }

    /// `modules/<module>/data/`: what the module sees as `/data`.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn module_data(&self, module: &ModuleId) -> Result<Dir, FolderError> {
        let name = module.folder_name();
        let modules = self.part(MODULES)?;
        file::open_folder(&modules, &name)
            .and_then(|folder| file::open_folder(&folder, DATA))
            .map_err(|source| FolderError::Io {
                path: self.path.join(MODULES).join(&name),
                source,
            })
    }

    /// Removes `modules/<module>/` with all that the module kept; a missing one is fine.
    ///
    /// A crash in between leaves a part of it; the call is repeated then.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn remove_module(&self, module: &ModuleId) -> Result<(), FolderError> {
        let name = module.folder_name();
        let modules = self.part(MODULES)?;
        match modules
            .remove_dir_all(&name)
            .and_then(|()| file::sync_folder(&modules))
        {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|source| FolderError::Io {
                path: self.path.join(MODULES).join(&name),
                source,
            }),
        }
    }

    fn part(&self, name: &str) -> Result<Dir, FolderError> {
        file::open_folder(&self.dir, name).map_err(|source| FolderError::Io {
            path: self.path.join(name),
            source,
        })
    }
}

/// Cleans up after a crash. What is in `modules/` belongs to the modules and is not looked at.
pub(super) fn remove_temporaries(device: &Dir) -> io::Result<()> {
    file::remove_temporaries(device)?;
    for name in [STORE, KEYS, LOGS] {
        match device.open_dir(name) {
            Ok(part) => file::remove_temporaries(&part)?,
            Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
            Err(err) => return Err(err),
        };
    }
    Ok(())
}

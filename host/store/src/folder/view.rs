//! A data folder that is looked at without being held: for what is shown of a device that does not run.
//!
//! Takes no lock and changes nothing. What is found may be in the middle of a change when a process holds the
//! folder after all. Called by commands; devices use the folder itself.

use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::device::LOGS;
use super::{DEVICES, FolderError, IMAGES, PRECOMPILED};

/// A data folder, for reading.
#[derive(Debug)]
pub struct DataFolderView {
    dir: Dir,
}

/// The folder of one device, for reading.
#[derive(Debug)]
pub struct DeviceView {
    dir: Dir,
}

impl DataFolderView {
    /// Opens the folder at `path`, which has to be one of ours.
    ///
    /// # Errors
    /// [`FolderError`]; one without a format marker is [`FolderError::Foreign`].
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let failed = |path: PathBuf| move |source| FolderError::Io { path, source };
        let dir =
            Dir::open_ambient_dir(path, ambient_authority()).map_err(failed(path.to_owned()))?;
        super::read_format(path, &dir)?.ok_or_else(|| FolderError::Foreign {
            path: path.to_owned(),
        })?;
        Ok(Self { dir })
    }

    /// `images/`, if it is there.
    ///
    /// # Errors
    /// Those of opening.
    pub fn images(&self) -> io::Result<Option<Dir>> {
        folder(&self.dir, IMAGES)
    }

    /// `precompiled/`, if it is there.
    ///
    /// # Errors
    /// Those of opening.
    pub fn precompiled(&self) -> io::Result<Option<Dir>> {
        folder(&self.dir, PRECOMPILED)
    }

    /// The folders of its devices by name, at most `max`.
    ///
    /// # Errors
    /// Those of reading.
    pub fn devices(&self, max: usize) -> io::Result<Vec<DeviceView>> {
        let Some(devices) = folder(&self.dir, DEVICES)? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in devices.entries()?.take(max) {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.push(entry.file_name());
            }
        }
        names.sort();
        let open = |name| {
            Ok(DeviceView {
                dir: devices.open_dir(name)?,
            })
        };
        names.into_iter().map(open).collect()
    }
}

impl DeviceView {
    /// `logs/`, if it is there.
    ///
    /// # Errors
    /// Those of opening.
    pub fn logs(&self) -> io::Result<Option<Dir>> {
        folder(&self.dir, LOGS)
    }
}

fn folder(dir: &Dir, name: &str) -> io::Result<Option<Dir>> {
    match dir.open_dir(name) {
        Ok(folder) => Ok(Some(folder)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

//! A look at a data folder from outside: what is there and in which state, without opening it for use.
//!
//! Owns gathering: format, holder, permissions, keys, databases. It takes no lock, creates, mends and removes nothing,
//! so that it can be made while a process uses the folder. Leaves judging to the caller, `wasm-edge check`.
//! Everything here blocks and is bounded by [`ENTRIES_MAX`].

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, MetadataExt as _};

use crate::database::{self, DatabaseError, RecordedFormat};
use crate::file;
use crate::folder::{self, FORMAT_VERSION};
use crate::keys::{KeyError, MASTER_KEY_FILE, MasterKey};

mod locks;

/// How the names of databases end.
const DATABASE_SUFFIX: &str = ".redb";

/// Most devices, and most files of one device's store, that are looked at.
pub const ENTRIES_MAX: usize = 1000;

/// What is in a data folder.
#[derive(Debug)]
pub struct Survey {
    /// Where it is.
    pub path: PathBuf,
    /// Permission bits of the folder.
    pub mode: u32,
    /// The user id that the folder belongs to.
    pub owner: u32,
    /// What the folder is.
    pub content: Content,
    /// Who holds it.
    pub holder: Holder,
    /// The key files, by path in the folder.
    pub keys: Vec<KeyFile>,
    /// The databases, by path in the folder. Empty while a process holds the folder, which changes them.
    pub databases: Vec<DatabaseFile>,
    /// Databases that were damaged and put aside, by path in the folder.
    pub put_aside: Vec<PathBuf>,
    /// Files and folders that others than the owner can reach, with their permission bits.
    pub exposed: Vec<(PathBuf, u32)>,
    /// What could not be looked at, and why.
    pub unread: Vec<(PathBuf, io::Error)>,
}

/// What a folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing is in it; it can be taken as a data folder.
    Empty,
    /// A data folder that this version reads.
    Known,
    /// A data folder of a version with another layout.
    Other {
        /// The format it has.
        found: u32,
    },
    /// A data folder whose format file says nothing that is known.
    Damaged,
    /// Files of something else.
    Foreign,
}

/// Who holds a data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// A process, with its number where it is known.
    Process(Option<u32>),
    /// The system does not tell.
    Unknown,
}

/// A key file.
#[derive(Debug)]
pub struct KeyFile {
    /// Its path in the data folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Option<KeyError>,
}

/// A database file.
#[derive(Debug)]
pub struct DatabaseFile {
    /// Its path in the data folder.
    pub path: PathBuf,
    /// What it says that it holds, or why it cannot be used.
    pub format: Result<Option<RecordedFormat>, DatabaseError>,
}

impl Survey {
    /// Looks at the folder `path`; `None` when there is none.
    ///
    /// # Errors
    /// When `path` is no folder or cannot be entered.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err),
        };
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        let content = content(&dir)?;
        let mut survey = Self {
            path: path.to_owned(),
            mode: metadata.mode() & 0o777,
            owner: metadata.uid(),
            content,
            holder: locks::holder(&dir),
            keys: Vec::new(),
            databases: Vec::new(),
            put_aside: Vec::new(),
            exposed: Vec::new(),
            unread: Vec::new(),
        };
        if survey.content == Content::Known {
            survey.look_into(&dir);
        }
        Ok(Some(survey))
    }

    fn look_into(&mut self, dir: &Dir) {
        for name in [
            folder::FORMAT_FILE,
            folder::lock::LOCK_FILE,
            folder::CONTROL_SOCKET,
        ] {
            self.look_at_mode(dir, Path::new(""), name);
        }
        for name in [
            folder::IMAGES,
            folder::PRECOMPILED,
            folder::HUB,
            folder::DEVICES,
        ] {
            self.look_at_mode(dir, Path::new(""), name);
        }
        self.in_folder(dir, Path::new(folder::PRECOMPILED), Self::look_at_key);
        self.in_folder(dir, Path::new(folder::HUB), Self::look_at_databases);
        let mut devices = Vec::new();
        self.in_folder(
            dir,
            Path::new(folder::DEVICES),
            |survey, devices_dir, path| {
                devices = survey.names(devices_dir, path);
            },
        );
        for device in devices {
            let device = Path::new(folder::DEVICES).join(device);
            self.in_folder(dir, &device.join(folder::device::KEYS), Self::look_at_key);
            self.in_folder(
                dir,
                &device.join(folder::device::STORE),
                Self::look_at_databases,
            );
        }
    }

    /// Calls `look` with a folder, if it is there.
    fn in_folder(&mut self, dir: &Dir, path: &Path, look: impl FnOnce(&mut Self, &Dir, &Path)) {
        match dir.open_dir(path) {
            Ok(opened) => look(self, &opened, path),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => self.unread.push((path.to_owned(), err)),
        }
    }

    fn look_at_key(&mut self, dir: &Dir, path: &Path) {
        let problem = match MasterKey::look(dir) {
            Ok(false) => return,
            Ok(true) => None,
            Err(err) => Some(err),
        };
        self.keys.push(KeyFile {
            path: path.join(MASTER_KEY_FILE),
            problem,
        });
    }

    fn look_at_databases(&mut self, dir: &Dir, path: &Path) {
        for name in self.names(dir, path) {
            self.look_at_mode(dir, path, &name);
            if name.contains(&format!("{DATABASE_SUFFIX}.damaged-")) {
                self.put_aside.push(path.join(&name));
            } else if name.ends_with(DATABASE_SUFFIX) && self.holder == Holder::Nobody {
                self.databases.push(DatabaseFile {
                    path: path.join(&name),
                    format: database::look(dir, &name),
                });
            }
        }
    }

    /// The names in a folder, sorted.
    fn names(&mut self, dir: &Dir, path: &Path) -> Vec<String> {
        let read = dir.entries().and_then(|entries| {
            entries
                .take(ENTRIES_MAX)
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<Vec<_>>>()
        });
        let mut names = read.unwrap_or_else(|err| {
            self.unread.push((path.to_owned(), err));
            Vec::new()
        });
        names.retain(|name| !name.starts_with(file::TEMPORARY_PREFIX));
        names.sort();
        names
    }

    fn look_at_mode(&mut self, dir: &Dir, path: &Path, name: &str) {
        if let Ok(metadata) = dir.symlink_metadata(name) {
            let mode = metadata.mode() & 0o777;
            if mode & 0o077 != 0 {
                self.exposed.push((path.join(name), mode));
            }
        }
    }
}

fn content(dir: &Dir) -> io::Result<Content> {
    match folder::format_of(dir)? {
        Some(Some(FORMAT_VERSION)) => Ok(Content::Known),
        Some(Some(found)) => Ok(Content::Other { found }),
        Some(None) => Ok(Content::Damaged),
        // The lock comes before the format when a folder is made, and a crash may fall between them.
        None if dir.exists(folder::lock::LOCK_FILE) => Ok(Content::Empty),
        None if dir.entries()?.next().is_some() => Ok(Content::Foreign),
        None => Ok(Content::Empty),
    }
}

#[cfg(test)]
mod tests;

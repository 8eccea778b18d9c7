//! The data folder: everything that a process of wasm-edge keeps on disk.
//!
//! Owns the layout, the lock that gives the folder to one process, and the
//! format marker. Leaves the content of each part to the crate that uses it.
//! Opened once by the composition root, which hands the parts out; other
//! processes only ask for the control socket.
//!
//! ```text
//! format                     version of this layout
//! lock                       held by the process that owns the folder; its process id
//! control.sock               where that process listens
//! images/                    content-addressed images
//! precompiled/               compiled code
//! hub/                       the embedded hub's database
//! provisioning/              the hub that the provisioning service assigned
//! devices/<device>/store/    the device's databases and queues
//! devices/<device>/keys/     the device's master key
//! devices/<device>/logs/     the modules' logs
//! devices/<device>/modules/<module>/data/    what a module sees as `/data`
//! ```

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use thiserror::Error;
use wasm_edge_model::identity::DeviceId;

use crate::file;

pub mod device;
pub(crate) mod lock;
pub mod view;

use device::DeviceFolder;
use lock::Lock;

/// The version of the layout that this build writes.
pub const FORMAT_VERSION: u32 = 1;

/// Name of the socket in the data folder.
pub const CONTROL_SOCKET: &str = "control.sock";

pub(crate) const FORMAT_FILE: &str = "format";
const FORMAT_LABEL: &str = "wasm-edge-data";

/// Bound on what is read of a format file, far above the longest right one.
const FORMAT_FILE_MAX_BYTES: u64 = 256;

pub(crate) const IMAGES: &str = "images";
pub(crate) const PRECOMPILED: &str = "precompiled";
pub(crate) const HUB: &str = "hub";
const PROVISIONING: &str = "provisioning";
pub(crate) const DEVICES: &str = "devices";

/// Why the data folder cannot be used.
#[derive(Debug, Error)]
pub enum FolderError {
    /// The folder or something in it cannot be read or written.
    #[error("cannot use `{}`", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process holds the folder.
    #[error("the data folder `{}` is in use by {}", .path.display(), holder(*.pid))]
    Locked {
        /// The data folder.
        path: PathBuf,
        /// The process that holds it, if it wrote its number already.
        pid: Option<u32>,
    },
    /// The folder has files of something else; it is left alone.
    #[error("`{}` is neither empty nor a data folder of wasm-edge", .path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// The folder was written by a version with another layout.
    #[error("the data folder `{}` has format {found}, this version reads format {FORMAT_VERSION}", .path.display())]
    Format {
        /// The data folder.
        path: PathBuf,
        /// The format it has.
        found: u32,
    },
    /// The format file says nothing that is known.
    #[error("the format file `{}` is damaged: it holds `{found}`", .path.display())]
    FormatFile {
        /// The file.
        path: PathBuf,
        /// Its beginning, with what cannot be shown escaped.
        found: String,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

/// The data folder, held by this process until the value is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    dir: Dir,
    _lock: Lock,
}

impl DataFolder {
    /// Opens the data folder at `path`, made (mode 0700) if it is missing, and locks it.
    ///
    /// An empty folder is taken over and made private; one that holds other
    /// things is refused. Temporary files of a process that crashed go away.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Io {
            path: path.to_owned(),
            source,
        };
        create_private(path).map_err(failed)?;
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(failed)?;
        refuse_foreign(path, &dir)?;
        let lock = Lock::take(path, &dir)?;
        check_format(path, &dir)?;
        let folder = Self {
            path: path.to_owned(),
            dir,
            _lock: lock,
        };
        folder.prepare().map_err(failed)?;
        Ok(folder)
    }

    /// Where the folder is, for messages; its files are reached through the other functions.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder itself.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// `images/`: module images by digest.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn images(&self) -> Result<Dir, FolderError> {
        self.part(IMAGES)
    }

    /// `precompiled/`: compiled code by digest and engine profile.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn precompiled(&self) -> Result<Dir, FolderError> {
        self.part(PRECOMPILED)
    }

    /// `hub/`: what the embedded hub keeps.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn hub(&self) -> Result<Dir, FolderError> {
        self.part(HUB)
    }

    /// `provisioning/`: which hub and device this is, where a service said so.
    ///
    /// It is made when it is asked for: most data folders have none. Temporary files of a crash go away then.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn provisioning(&self) -> Result<Dir, FolderError> {
        let folder = self.part(PROVISIONING)?;
        file::remove_temporaries(&folder).map_err(|source| FolderError::Io {
            path: self.path.join(PROVISIONING),
            source,
        })?;
        Ok(folder)
    }

    /// `devices/<device>/`: what one device keeps.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn device(&self, device: &DeviceId) -> Result<DeviceFolder, FolderError> {
        let name = device.folder_name();
        let path = self.path.join(DEVICES).join(&name);
        let dir = self.part(DEVICES)?;
        match file::open_folder(&dir, &name) {
            Ok(dir) => Ok(DeviceFolder::new(path, dir)),
            Err(source) => Err(FolderError::Io { path, source }),
        }
    }

    /// What each device keeps that has a folder here, by the folder's name.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn devices(&self) -> Result<Vec<(String, DeviceFolder)>, FolderError> {
        let path = self.path.join(DEVICES);
        let failed = |source| FolderError::Io {
            path: path.clone(),
            source,
        };
        let dir = self.part(DEVICES)?;
        let mut devices = Vec::new();
        for entry in dir.entries().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // A name that is no text is none of ours.
            let name = entry.file_name().into_string();
            if let (true, Ok(name)) = (entry.file_type().map_err(failed)?.is_dir(), name) {
                let dir = entry.open_dir().map_err(failed)?;
                let folder = DeviceFolder::new(path.join(&name), dir);
                devices.push((name, folder));
            }
        }
        devices.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(devices)
    }

    /// A path to bind the control socket at, short enough for a socket address wherever the folder is.
    ///
    /// It leads through this process's open folder and is of use in this
    /// process only, while the value lives.
    pub fn control_socket_path(&self) -> PathBuf {
        socket_path(&self.dir)
    }

    fn part(&self, name: &str) -> Result<Dir, FolderError> {
        file::open_folder(&self.dir, name).map_err(|source| FolderError::Io {
            path: self.path.join(name),
            source,
        })
    }

    /// Makes the fixed folders and cleans up after a crash.
    fn prepare(&self) -> io::Result<()> {
        file::remove_temporaries(&self.dir)?;
        for name in [IMAGES, PRECOMPILED, HUB] {
            file::remove_temporaries(&file::open_folder(&self.dir, name)?)?;
        }
        let devices = file::open_folder(&self.dir, DEVICES)?;
        for entry in devices.entries()? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                device::remove_temporaries(&entry.open_dir()?)?;
            }
        }
        Ok(())
    }
}

/// The control socket of a data folder that another process may hold.
#[derive(Debug)]
pub struct ControlSocket {
    dir: Dir,
}

impl ControlSocket {
    /// Opens the data folder at `path` to reach its socket; takes no lock and changes nothing.
    ///
    /// # Errors
    /// [`FolderError::Io`] when there is no such folder.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        match Dir::open_ambient_dir(path, ambient_authority()) {
            Ok(dir) => Ok(Self { dir }),
            Err(source) => Err(FolderError::Io {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Whether the socket's file is there; a process that was killed leaves it behind.
    pub fn exists(&self) -> bool {
        self.dir.symlink_metadata(CONTROL_SOCKET).is_ok()
    }

    /// A path to connect to, short enough for a socket address; of use while the value lives.
    pub fn path(&self) -> PathBuf {
        socket_path(&self.dir)
    }
}

/// Socket addresses end at 108 bytes; the way through an open folder is always shorter.
fn socket_path(dir: &Dir) -> PathBuf {
    PathBuf::from(format!(
        "/proc/self/fd/{}/{CONTROL_SOCKET}",
        dir.as_raw_fd()
    ))
}

/// Makes the folder with its parents, or makes an existing one that is empty private.
fn create_private(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    let private = fs::Permissions::from_mode(file::PRIVATE_FOLDER_MODE);
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode != file::PRIVATE_FOLDER_MODE && fs::read_dir(path)?.next().is_none() {
        fs::set_permissions(path, private)?;
    }
    Ok(())
}

/// Refuses a folder with files but without a sign that it is ours.
fn refuse_foreign(path: &Path, dir: &Dir) -> Result<(), FolderError> {
    let failed = |source| FolderError::Io {
        path: path.to_owned(),
        source,
    };
    // The lock comes before the format when a folder is made, and a crash may fall between them.
    let ours = dir.exists(FORMAT_FILE) || dir.exists(lock::LOCK_FILE);
    if !ours && dir.entries().map_err(failed)?.next().is_some() {
        return Err(FolderError::Foreign {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// Reads the format marker, or writes it into a new folder.
fn check_format(path: &Path, dir: &Dir) -> Result<(), FolderError> {
    if read_format(path, dir)?.is_some() {
        return Ok(());
    }
    let marker = format!("{FORMAT_LABEL} {FORMAT_VERSION}\n");
    file::write_atomic(dir, FORMAT_FILE, marker.as_bytes()).map_err(|source| FolderError::Io {
        path: path.join(FORMAT_FILE),
        source,
    })
}

/// Reads the format marker: `None` if there is none.
fn read_format(path: &Path, dir: &Dir) -> Result<Option<()>, FolderError> {
    let failed = |source| FolderError::Io {
        path: path.join(FORMAT_FILE),
        source,
    };
    let found = file::read_bounded(dir, FORMAT_FILE, FORMAT_FILE_MAX_BYTES).map_err(failed)?;
    let Some(bytes) = found else {
        return Ok(None);
    };
    match parse_format(&bytes) {
        Some(FORMAT_VERSION) => Ok(Some(())),
        Some(found) => Err(FolderError::Format {
            path: path.to_owned(),
            found,
        }),
        None => Err(FolderError::FormatFile {
            path: path.join(FORMAT_FILE),
            found: bytes.escape_ascii().take(40).map(char::from).collect(),
        }),
    }
}

/// The version in the format file of `dir`: `None` without one, `Some(None)` when it says nothing that is known.
pub(crate) fn format_of(dir: &Dir) -> io::Result<Option<Option<u32>>> {
    match file::read_bounded(dir, FORMAT_FILE, FORMAT_FILE_MAX_BYTES) {
        Ok(bytes) => Ok(bytes.map(|bytes| parse_format(&bytes))),
        Err(err) if err.kind() == io::ErrorKind::FileTooLarge => Ok(Some(None)),
        Err(err) => Err(err),
    }
}

fn parse_format(bytes: &[u8]) -> Option<u32> {
    let (label, version) = std::str::from_utf8(bytes)
        .ok()?
        .trim_end()
        .split_once(' ')?;
    (label == FORMAT_LABEL).then(|| version.parse().ok())?
}

#[cfg(test)]
mod tests;

//! The socket of a data folder, reached through the opened folder.
//!
//! A socket's path ends at 108 bytes, a data folder's does not: the folder is opened once, and the socket is named by
//! `/proc/self/fd/N/control.sock`. Called by the client and by `live`, which asks whether somebody listens.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// The socket's name in the data folder.
const SOCKET_NAME: &str = "control.sock";

/// An opened data folder.
#[derive(Debug)]
pub(crate) struct DataFolder {
    opened: OwnedFd,
    path: PathBuf,
}

impl DataFolder {
    /// Opens the folder to name what is in it.
    ///
    /// # Errors
    /// As `open(2)`, also when it is no folder.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self {
            opened,
            path: path.to_owned(),
        })
    }

    /// The path it was opened by, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The socket's path, short whatever the folder's is; valid while `self` lives.
    pub(crate) fn socket_path(&self) -> PathBuf {
        PathBuf::from(format!(
            "/proc/self/fd/{}/{SOCKET_NAME}",
            self.opened.as_raw_fd()
        ))
    }

    /// Whether a process listens on the socket. Does not wait.
    ///
    /// # Errors
    /// When that cannot be told, as without permission.
    pub(crate) fn is_listening(&self) -> io::Result<bool> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &SocketAddrUnix::new(self.socket_path())?) {
            // A full queue of connections is a busy listener.
            Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS) => Ok(true),
            Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(false),
            Err(err) => Err(err.into()),
        }
    }
}

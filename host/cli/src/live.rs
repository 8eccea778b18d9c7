//! Which devices run on this machine under this user: a folder of one small file per running process.
//!
//! `run` and `daemon` announce their data folder in `<state home>/wasm-edge/live/`, under the first 16 hex digits of
//! the SHA-256 of its path; the file holds that path on one line. It goes when the process ends in order; after any
//! other end nobody listens on the data folder's socket, and whoever finds that removes it. The socket decides, the
//! file only says where to look. Verbs without `--data-dir` find their device here.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::client::socket::DataFolder;
#[cfg(feature = "hub")]
use crate::output::Output;

/// The most entries that are looked at; more are not there unless something else writes into the folder.
const ENTRIES_MAX: usize = 256;
/// The longest path an entry may hold: Linux's `PATH_MAX`.
const PATH_SIZE_MAX_BYTES: u64 = 4096;
/// The digits of an entry's name.
const NAME_LENGTH: usize = 16;

/// The folder of the live processes.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    folder: PathBuf,
}

/// An entry in the registry; dropping it removes the entry.
#[derive(Debug)]
#[must_use = "the entry is removed when this is dropped"]
pub(crate) struct Announcement {
    entry: PathBuf,
    /// Held open, so that no other file can get its inode number.
    file: File,
}

/// Tells a file from another one that later took its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
}

/// The data folder of a device that is a service of the system; whoever may, finds it there without an announcement.
pub(crate) const SYSTEM_FOLDER: &str = "/var/lib/wasm-edge";

/// Announces in the user's registry that this process runs the device in `data_folder`.
///
/// Call it when the socket there is listening: an entry without a listener is removed by whoever sees it. Where there is
/// no home folder or it cannot be written, a warning says that the process is found by `--data-dir` only.
#[cfg(feature = "hub")]
pub(crate) fn announce(data_folder: &Path, output: &Output) -> Option<Announcement> {
    let no_home = || {
        io::Error::new(
            io::ErrorKind::NotFound,
            "neither `XDG_STATE_HOME` nor `HOME` is set",
        )
    };
    let announced = Registry::of_user()
        .ok_or_else(no_home)
        .and_then(|registry| registry.announce(data_folder));
    announced
        .inspect_err(|err| {
            output.warn(&format!(
                "other commands find this process by `--data-dir` only: {err}"
            ));
        })
        .ok()
}

/// Announces as [`announce`] does, for a service of the system, whose user often has no home: verbs look into its usual
/// folder all the same.
pub(crate) fn announce_service(data_folder: &Path) -> Option<Announcement> {
    let announced = Registry::of_user()?.announce(data_folder);
    announced
        .inspect_err(|err| tracing::debug!(%err, "the device is not announced"))
        .ok()
}

/// The data folders in which a process listens, sorted: those of this user, and that of the system's service.
///
/// # Errors
/// When this user's registry is there and cannot be read.
pub(crate) fn found() -> io::Result<Vec<PathBuf>> {
    let mut found = match Registry::of_user() {
        Some(registry) => registry.live()?,
        None => Vec::new(),
    };
    add_service(&mut found, Path::new(SYSTEM_FOLDER));
    Ok(found)
}

/// Adds the data folder of the system's service if somebody listens there whom this user may ask.
fn add_service(found: &mut Vec<PathBuf>, folder: &Path) {
    let Ok(folder) = fs::canonicalize(folder) else {
        return;
    };
    if !found.contains(&folder) && is_listening(&folder).unwrap_or(false) {
        found.push(folder);
        found.sort();
    }
}

/// Whether a service of the system may run whom this user may not ask.
pub(crate) fn is_service_closed() -> bool {
    let opened = fs::read_dir(SYSTEM_FOLDER);
    opened.is_err_and(|err| err.kind() == io::ErrorKind::PermissionDenied)
}

impl Registry {
    /// The registry of this process's user; `None` without a home folder.
    pub(crate) fn of_user() -> Option<Self> {
        state_home(std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME"))
            .map(|home| Self::below(&home))
    }

    /// The folder of the entries.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn below(state_home: &Path) -> Self {
        Self {
            folder: state_home.join("wasm-edge").join("live"),
        }
    }

    /// Writes the entry of a data folder.
    ///
    /// # Errors
    /// When the folder cannot be made or written, or the path has a line feed in it.
    pub(crate) fn announce(&self, data_folder: &Path) -> io::Result<Announcement> {
        let path = fs::canonicalize(data_folder)?;
        if path.as_os_str().as_bytes().contains(&b'\n') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path holds a line feed",
            ));
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let name = entry_name(&path);
        let entry = self.folder.join(&name);
        // Renamed into place: a reader sees a whole entry or none, and a new file under the old name.
        let unfinished = self.folder.join(format!(".{name}.{}", std::process::id()));
        let written = write_line(&unfinished, &path).and_then(|file| {
            fs::rename(&unfinished, &entry)?;
            Ok(file)
        });
        if written.is_err() {
            drop(fs::remove_file(&unfinished));
        }
        Ok(Announcement {
            entry,
            file: written?,
        })
    }

    /// The data folders in which a process listens, sorted; entries without one are removed.
    ///
    /// # Errors
    /// When the registry is there and cannot be read.
    pub(crate) fn live(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries.take(ENTRIES_MAX) {
            let entry = entry?.path();
            if is_entry_name(&entry) {
                found.extend(live_data_folder(&entry));
            }
        }
        found.sort();
        Ok(found)
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        remove_if_same(&self.entry, &self.file);
    }
}

/// The data folder of an entry if somebody listens there; else the entry is removed.
fn live_data_folder(entry: &Path) -> Option<PathBuf> {
    let file = File::open(entry).ok()?;
    let path = read_line(&file).filter(|path| path.is_absolute());
    match path.as_deref().map(is_listening) {
        // What cannot be told, as for want of permission, is left alone but not offered.
        Some(Err(_)) => None,
        Some(Ok(true)) => path,
        Some(Ok(false)) | None => {
            remove_if_same(entry, &file);
            None
        }
    }
}

fn is_listening(data_folder: &Path) -> io::Result<bool> {
    match DataFolder::open(data_folder) {
        Ok(folder) => folder.is_listening(),
        Err(err)
            if matches!(
                err.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(false)
        }
        Err(err) => Err(err),
    }
}

/// Removes an entry unless another process has written it anew since it was looked at.
fn remove_if_same(entry: &Path, seen: &File) {
    let now = File::open(entry).and_then(|file| FileIdentity::of(&file));
    if matches!((now, FileIdentity::of(seen)), (Ok(now), Ok(seen)) if now == seen) {
        // Another finder may have been faster; the entry is gone in both cases.
        drop(fs::remove_file(entry));
    }
}

fn write_line(file: &Path, path: &Path) -> io::Result<File> {
    let mut file = File::create(file)?;
    file.write_all(path.as_os_str().as_bytes())?;
    file.write_all(b"\n")?;
    Ok(file)
}

fn read_line(file: &File) -> Option<PathBuf> {
    let mut bytes = Vec::new();
    file.take(PATH_SIZE_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .ok()?;
    let line = bytes.strip_suffix(b"\n")?;
    (!line.is_empty() && !line.contains(&b'\n')).then(|| OsString::from_vec(line.to_vec()).into())
}

fn entry_name(path: &Path) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, path.as_os_str().as_bytes());
    digest
        .as_ref()
        .iter()
        .take(NAME_LENGTH / 2)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn is_entry_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    name.len() == NAME_LENGTH && name.iter().all(u8::is_ascii_hexdigit)
}

/// The XDG base directory specification: a relative `XDG_STATE_HOME` is to be ignored.
fn state_home(xdg_state_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |value: OsString| Some(PathBuf::from(value)).filter(|path| path.is_absolute());
    xdg_state_home.and_then(absolute).or_else(|| {
        home.and_then(absolute)
            .map(|home| home.join(".local/state"))
    })
}

impl FileIdentity {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use tempfile::TempDir;

    use super::*;

    /// A state home and a data folder that nobody serves yet.
    fn folders() -> (TempDir, Registry, PathBuf) {
        let root = TempDir::new().unwrap();
        let registry = Registry::below(root.path());
        let data = root.path().join("data");
        fs::create_dir(&data).unwrap();
        (root, registry, data)
    }

    fn entries(registry: &Registry) -> usize {
        fs::read_dir(&registry.folder).unwrap().count()
    }

    #[test]
    fn an_announced_listener_is_found_until_it_ends() {
        let (_root, registry, data) = folders();
        assert_eq!(registry.live().unwrap(), Vec::<PathBuf>::new());
        let _listener = UnixListener::bind(data.join("control.sock")).unwrap();
        let announcement = registry.announce(&data).unwrap();
        let canonical = fs::canonicalize(&data).unwrap();
        assert_eq!(registry.live().unwrap(), [canonical]);
        drop(announcement);
        assert_eq!(entries(&registry), 0);
    }

    #[test]
    fn an_entry_is_one_line_under_the_hash_of_the_path() {
        let (_root, registry, data) = folders();
        let announcement = registry.announce(&data).unwrap();
        let text = fs::read_to_string(&announcement.entry).unwrap();
        assert_eq!(
            text,
            format!("{}\n", fs::canonicalize(&data).unwrap().display())
        );
        assert_eq!(entry_name(Path::new("/data")), "bd47413b5c03dfc6");
    }

    #[test]
    fn what_nobody_listens_to_is_removed() {
        let (root, registry, data) = folders();
        let stale = registry.announce(&data).unwrap();
        // The socket file of a process that was killed.
        drop(UnixListener::bind(data.join("control.sock")).unwrap());
        fs::write(
            registry.folder.join("0123456789abcdef"),
            "/no/such/folder\n",
        )
        .unwrap();
        fs::write(registry.folder.join("0123456789abcde0"), "relative\n").unwrap();
        fs::write(registry.folder.join("0123456789abcde1"), b"/half a li").unwrap();
        fs::write(registry.folder.join("0123456789abcde2"), vec![b'/'; 10_000]).unwrap();
        fs::write(registry.folder.join("not-an-entry"), "mine\n").unwrap();
        assert_eq!(registry.live().unwrap(), Vec::<PathBuf>::new());
        assert_eq!(entries(&registry), 1, "what is no entry is left alone");
        std::mem::forget(stale);
        drop(root);
    }

    #[test]
    fn the_service_of_the_system_is_found_where_it_usually_is() {
        let (_root, registry, data) = folders();
        let mut found = registry.live().unwrap();
        add_service(&mut found, &data);
        assert_eq!(found, Vec::<PathBuf>::new(), "nobody listens");
        let _listener = UnixListener::bind(data.join("control.sock")).unwrap();
        add_service(&mut found, &data);
        let canonical = fs::canonicalize(&data).unwrap();
        assert_eq!(found, [canonical]);
        add_service(&mut found, &data);
        assert_eq!(found.len(), 1, "it may be announced as well");
        add_service(&mut found, &data.join("none"));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn an_entry_that_was_written_anew_is_not_removed() {
        let (_root, registry, data) = folders();
        let old = registry.announce(&data).unwrap();
        let new = registry.announce(&data).unwrap();
        drop(old);
        assert_eq!(entries(&registry), 1);
        drop(new);
        assert_eq!(entries(&registry), 0);
    }

    #[test]
    fn the_state_home_is_found_as_xdg_says() {
        let check = |xdg: Option<&str>, home: Option<&str>, expected: Option<&str>| {
            assert_eq!(
                state_home(xdg.map(Into::into), home.map(Into::into)),
                expected.map(PathBuf::from)
            );
        };
        check(Some("/state"), Some("/home/a"), Some("/state"));
        check(None, Some("/home/a"), Some("/home/a/.local/state"));
        check(
            Some("relative"),
            Some("/home/a"),
            Some("/home/a/.local/state"),
        );
        check(Some(""), None, None);
        check(None, None, None);
    }
}

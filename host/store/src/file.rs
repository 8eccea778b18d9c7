//! Files replaced as a whole: after a crash the old content or the new, never a mixture.
//!
//! Owns the temporary file, the order of syncs and the clean-up of what a
//! crash left behind. Leaves the meaning of the bytes to the caller. Called
//! by everything that keeps a small file: the format marker, keys, cached
//! images and deployments.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::fs::{Dir, DirBuilder, DirBuilderExt as _, OpenOptions, OpenOptionsExt as _};
use rustix::fs::{Mode, OFlags};

/// Permission bits of every file made here: the owner alone reads and writes.
pub const PRIVATE_FILE_MODE: u32 = 0o600;

/// Permission bits of every folder made here: the owner alone enters.
pub const PRIVATE_FOLDER_MODE: u32 = 0o700;

/// How the name of a temporary file begins; nothing else in the data folder may be called so.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// Tells two temporary files of this process apart.
static TEMPORARY_COUNT: AtomicU64 = AtomicU64::new(0);

/// Replaces the file `name` in `folder` by `bytes`, readable by the owner alone.
///
/// Once this returned, the new content survives a power cut. If it fails or
/// is interrupted, the old file is untouched; a temporary file that a crash
/// leaves behind goes away when the data folder is opened the next time.
/// `name` is a plain file name, without folders.
///
/// # Errors
/// Those of creating, writing, syncing and renaming.
pub fn write_atomic(folder: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_name();
    let written = write_synced(folder, &temporary, bytes)
        .and_then(|()| folder.rename(&temporary, folder, name));
    if let Err(err) = written {
        // The first failure is the one to report; a leftover is cleaned at the next open.
        let _ = folder.remove_file(&temporary);
        return Err(err);
    }
    sync_folder(folder)
}

/// Reads the file `name` if it exists, at most `limit_bytes` of it.
///
/// # Errors
/// Those of reading; [`io::ErrorKind::FileTooLarge`] when the file is longer.
pub fn read_bounded(folder: &Dir, name: &str, limit_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match folder.open(name) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(err),
    };
    let mut bytes = Vec::new();
    file.take(limit_bytes.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(Some(bytes))
}

/// Removes the file `name` for good; a missing one is fine.
///
/// # Errors
/// Those of removing and syncing.
pub fn remove(folder: &Dir, name: &str) -> io::Result<()> {
    match folder.remove_file(name) {
        Ok(()) => sync_folder(folder),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(err),
    }
}

/// Opens the folder `name` in `parent`, made with [`PRIVATE_FOLDER_MODE`] if it is missing.
///
/// # Errors
/// Those of creating, syncing and opening.
pub fn open_folder(parent: &Dir, name: &str) -> io::Result<Dir> {
    match parent.open_dir(name) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    let mut builder = DirBuilder::new();
    builder.mode(PRIVATE_FOLDER_MODE);
    match parent.create_dir_with(name, &builder) {
        Ok(()) => sync_folder(parent)?,
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
        Err(err) => return Err(err),
    }
    parent.open_dir(name)
}

/// Makes a file without a name, for what is worked on and forgotten: it is gone when it is closed, at the latest when
/// the data folder is opened the next time.
///
/// # Errors
/// Those of creating and removing.
pub fn unnamed(folder: &Dir) -> io::Result<File> {
    let name = temporary_name();
    let file = create_private(folder, &name)?;
    folder.remove_file(&name)?;
    Ok(file)
}

/// Makes the names in `folder` last: what was created, renamed or removed in it.
///
/// # Errors
/// Those of opening and syncing the folder.
pub fn sync_folder(folder: &Dir) -> io::Result<()> {
    // A `Dir` is opened by path alone (O_PATH) and cannot be synced itself.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = rustix::fs::openat(folder, ".", flags, Mode::empty())?;
    rustix::fs::fsync(&readable)?;
    Ok(())
}

/// Removes the temporary files directly in `folder`; they belong to a process that ended.
///
/// Only for the holder of the data folder's lock, before it writes itself.
pub(crate) fn remove_temporaries(folder: &Dir) -> io::Result<usize> {
    let mut removed = 0;
    for entry in folder.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        let temporary = name
            .to_str()
            .is_some_and(|name| name.starts_with(TEMPORARY_PREFIX));
        if temporary && entry.file_type()?.is_file() {
            entry.remove_file()?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// A name for a file in the making that no other has; such files go away at the next start.
pub(crate) fn temporary_name() -> String {
    let count = TEMPORARY_COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{TEMPORARY_PREFIX}{}-{count}", std::process::id())
}

/// Makes a new file, open for reading and writing, that the owner alone may open.
pub(crate) fn create_private(folder: &Dir, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create_new(true)
        .mode(PRIVATE_FILE_MODE);
    Ok(folder.open_with(name, &options)?.into_std())
}

fn write_synced(folder: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = create_private(folder, name)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;
    use cap_std::fs::PermissionsExt as _;

    use super::*;

    fn folder() -> (tempfile::TempDir, Dir) {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        (place, dir)
    }

    fn names(dir: &Dir) -> Vec<String> {
        let mut names: Vec<_> = dir
            .entries()
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_written_file_holds_the_bytes_and_nothing_else_is_left() {
        let (_place, dir) = folder();
        write_atomic(&dir, "a", b"one").unwrap();
        write_atomic(&dir, "a", b"two").unwrap();
        assert_eq!(dir.read("a").unwrap(), b"two");
        assert_eq!(names(&dir), ["a"]);
    }

    #[test]
    fn a_written_file_is_private_whatever_the_umask_or_the_old_file_allowed() {
        let (_place, dir) = folder();
        dir.write("a", b"open to all").unwrap();
        dir.set_permissions("a", cap_std::fs::Permissions::from_mode(0o644))
            .unwrap();
        write_atomic(&dir, "a", b"secret").unwrap();
        assert_eq!(
            dir.metadata("a").unwrap().permissions().mode() & 0o777,
            PRIVATE_FILE_MODE
        );
    }

    #[test]
    fn a_file_without_a_name_holds_what_is_written_and_leaves_nothing() {
        use std::io::Seek as _;
        let (_place, dir) = folder();
        let mut file = unnamed(&dir).unwrap();
        assert_eq!(names(&dir), [""; 0]);
        file.write_all(b"one").unwrap();
        file.rewind().unwrap();
        let mut read = String::new();
        file.read_to_string(&mut read).unwrap();
        assert_eq!(read, "one");
    }

    #[test]
    fn a_failed_write_leaves_the_old_content_and_no_temporary_file() {
        let (_place, dir) = folder();
        dir.create_dir("taken").unwrap();
        dir.write("taken/inside", b"old").unwrap();
        write_atomic(&dir, "taken", b"new").unwrap_err();
        assert_eq!(dir.read("taken/inside").unwrap(), b"old");
        assert_eq!(names(&dir), ["taken"]);
    }

    #[test]
    fn only_temporary_files_are_cleaned_away() {
        let (_place, dir) = folder();
        dir.write(".tmp-1-2", b"half").unwrap();
        dir.write("kept", b"whole").unwrap();
        dir.create_dir(".tmp-folder").unwrap();
        assert_eq!(remove_temporaries(&dir).unwrap(), 1);
        assert_eq!(names(&dir), [".tmp-folder", "kept"]);
    }

    #[test]
    fn a_file_longer_than_the_limit_is_refused_and_a_missing_one_is_none() {
        let (_place, dir) = folder();
        dir.write("a", b"12345").unwrap();
        assert_eq!(read_bounded(&dir, "a", 5).unwrap().unwrap(), b"12345");
        let err = read_bounded(&dir, "a", 4).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::FileTooLarge);
        assert!(read_bounded(&dir, "b", 4).unwrap().is_none());
    }

    #[test]
    fn a_folder_is_made_private_and_opened_again_as_it_is() {
        let (_place, dir) = folder();
        open_folder(&dir, "sub").unwrap().write("x", b"").unwrap();
        assert!(open_folder(&dir, "sub").unwrap().exists("x"));
        assert_eq!(
            dir.metadata("sub").unwrap().permissions().mode() & 0o777,
            PRIVATE_FOLDER_MODE
        );
    }

    #[test]
    fn removing_a_missing_file_is_no_error() {
        let (_place, dir) = folder();
        dir.write("a", b"").unwrap();
        remove(&dir, "a").unwrap();
        remove(&dir, "a").unwrap();
        assert!(names(&dir).is_empty());
    }
}

//! Files that the binary carries, whole in a folder: looked at before each use, and put there anew where they are not.
//!
//! The folder appears by a rename, so that whoever builds with it sees all of it or none. Who unpacks holds a lock,
//! who finds the folder whole needs none and writes nothing.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::Files;

/// The file that who unpacks holds locked, in the folder above.
const LOCK: &str = ".lock";

/// What folders that are being made or taken away are named by.
const UNFINISHED: &str = ".unfinished-";

/// What cargo and editors leave in the root of an SDK that they look at; none of it is read by a build.
const LEFT_BY_TOOLS: [&str; 2] = ["target", "Cargo.lock"];

/// Why the files are not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// A folder or file could not be made.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// What is there could not be looked at.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Sees to it that `place` holds these files and nothing else that a build would read.
///
/// # Errors
/// [`UnpackError`]; what was there before is untouched then.
pub(super) fn ensure(place: &Path, files: Files) -> Result<(), UnpackError> {
    if is_whole(place, files)? {
        return Ok(());
    }
    let above = place.parent().unwrap_or(Path::new("."));
    let in_above = |source| UnpackError::Write {
        path: above.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(above)
        .map_err(in_above)?;
    let lock = File::create(above.join(LOCK)).map_err(in_above)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|err| in_above(err.into()))?;
    // Another process may have done it while this one waited.
    if is_whole(place, files)? {
        return Ok(());
    }
    remove_leftovers(above).map_err(in_above)?;
    let new = above.join(format!("{UNFINISHED}new"));
    write_all(&new, files)?;
    let old = above.join(format!("{UNFINISHED}old"));
    match fs::rename(place, &old) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(in_above(err)),
        _ => {}
    }
    fs::rename(&new, place).map_err(in_above)?;
    remove_leftovers(above).map_err(in_above)
}

/// Whether a folder holds these files, and none beside them.
fn is_whole(place: &Path, files: Files) -> Result<bool, UnpackError> {
    let mut left: BTreeSet<&str> = files.iter().map(|(path, _)| *path).collect();
    let looked = only_these(place, "", &mut left).and_then(|only| {
        Ok(only && left.is_empty() && {
            let mut same = true;
            for (path, content) in files {
                same = same && fs::read(place.join(path))? == *content;
            }
            same
        })
    });
    match looked {
        // Whatever else lies in its place is not it; if it is in the way, writing tells.
        Err(err)
            if matches!(
                err.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(false)
        }
        Err(source) => Err(UnpackError::Read {
            path: place.to_owned(),
            source,
        }),
        Ok(whole) => Ok(whole),
    }
}

/// Takes each file found out of `left`; answers whether all that is there is a plain file that was in it.
fn only_these(folder: &Path, prefix: &str, left: &mut BTreeSet<&str>) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Ok(false);
        };
        if prefix.is_empty() && LEFT_BY_TOOLS.contains(&name) {
            continue;
        }
        let path = format!("{prefix}{name}");
        // Of the entry itself: a link is neither of the two.
        let kind = entry.file_type()?;
        let known = if kind.is_dir() {
            let below = format!("{path}/");
            // A folder that none of the files is in is not entered, however much lies there.
            left.iter().any(|file| file.starts_with(&below))
                && only_these(&entry.path(), &below, left)?
        } else {
            kind.is_file() && left.remove(path.as_str())
        };
        if !known {
            return Ok(false);
        }
    }
    Ok(true)
}

fn write_all(folder: &Path, files: Files) -> Result<(), UnpackError> {
    for (name, content) in files {
        let path = folder.join(name);
        let written = fs::create_dir_all(path.parent().unwrap_or(folder)).and_then(|()| {
            // Read-only, for those who come here by an editor's way to a definition.
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o444);
            options.open(&path)?.write_all(content)
        });
        written.map_err(|source| UnpackError::Write { path, source })?;
    }
    Ok(())
}

/// Removes what a process left that was killed over it. Only for who holds the lock.
fn remove_leftovers(above: &Path) -> io::Result<()> {
    for entry in fs::read_dir(above)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::thread;

    use super::*;

    const SOME: Files = &[
        ("Cargo.toml", b"[package]"),
        ("src/a/b.rs", b"b"),
        ("src/lib.rs", b""),
    ];

    /// Unpacks, lets `damage` do its work, unpacks again; the place is whole both times.
    #[track_caller]
    fn check(damage: impl FnOnce(&Path)) {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("sdk/1");
        ensure(&place, SOME).unwrap();
        assert!(is_whole(&place, SOME).unwrap());
        damage(&place);
        assert!(!is_whole(&place, SOME).unwrap(), "the damage is not seen");
        ensure(&place, SOME).unwrap();
        assert!(is_whole(&place, SOME).unwrap());
        let names: Vec<_> = fs::read_dir(folder.path().join("sdk")).unwrap().collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }

    #[test]
    fn what_is_damaged_is_put_there_anew() {
        check(|place| fs::remove_dir_all(place).unwrap());
        check(|place| fs::remove_file(place.join("src/a/b.rs")).unwrap());
        check(|place| fs::remove_dir_all(place.join("src")).unwrap());
        check(|place| {
            fs::remove_file(place.join("src/lib.rs")).unwrap();
            fs::write(place.join("src/lib.rs"), "more").unwrap();
        });
        check(|place| {
            fs::remove_file(place.join("src/lib.rs")).unwrap();
            symlink("/dev/null", place.join("src/lib.rs")).unwrap();
        });
    }

    #[test]
    fn what_was_put_beside_the_files_does_not_stay() {
        check(|place| fs::write(place.join("build.rs"), "fn main() {}").unwrap());
        check(|place| fs::create_dir_all(place.join(".cargo")).unwrap());
        check(|place| fs::write(place.join("src/target"), "").unwrap());
        check(|place| symlink("/", place.join("src/root")).unwrap());
        check(|place| {
            fs::remove_dir_all(place).unwrap();
            fs::write(place, "a file").unwrap();
        });
    }

    #[test]
    fn what_tools_leave_in_the_root_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("1");
        ensure(&place, SOME).unwrap();
        fs::create_dir_all(place.join("target/debug")).unwrap();
        fs::write(place.join("Cargo.lock"), "version = 4").unwrap();
        assert!(is_whole(&place, SOME).unwrap());
    }

    #[test]
    fn many_at_once_and_a_killed_one_before_leave_it_whole() {
        let folder = tempfile::tempdir().unwrap();
        let killed = folder.path().join(format!("{UNFINISHED}new/src"));
        fs::create_dir_all(&killed).unwrap();
        fs::write(killed.join("lib.rs"), "half").unwrap();
        let place = folder.path().join("1");
        thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| ensure(&place, SOME)))
                .collect();
            for one in all {
                one.join().unwrap().unwrap();
            }
        });
        assert!(is_whole(&place, SOME).unwrap());
        assert!(!killed.exists());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let err = ensure(&file.join("sdk/1"), SOME).unwrap_err();
        assert!(err.to_string().contains("file/sdk"), "{err}");
    }
}

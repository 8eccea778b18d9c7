//! The folders of a test: a data folder of its own that goes with it, and the compiled code that stays.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use wasm_edge_daemon::folder::DataFolder;

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::user_folders;

/// The age at which a data folder that nobody holds is one that was left behind.
const LEFT_AFTER: Duration = Duration::from_secs(3600);

/// The folders of one test; the data folder is removed when this is dropped.
pub(super) struct Folders {
    /// `None` once it is being removed.
    data: Option<DataFolder>,
    path: PathBuf,
    cache: PathBuf,
}

impl Folders {
    /// Makes them below the user's cache folder.
    pub(super) fn open() -> anyhow::Result<Self> {
        let home = user_folders::cache_home().ok_or_else(|| {
            Failure::new(
                ExitStatus::Usage,
                "neither `XDG_CACHE_HOME` nor `HOME` is set",
            )
            .hint("set `HOME`: compiled code is kept in `.cache` below it")
        })?;
        let ours = home.join("wasm-edge").join("test");
        let runs = ours.join("runs");
        let made = fs::create_dir_all(&runs).and_then(|()| {
            remove_left(&runs);
            unused_name(&runs)
        });
        let path = made.map_err(|err| {
            Failure::new(
                ExitStatus::Failure,
                format!("cannot use the folder `{}`", runs.display()),
            )
            .caused_by(err)
        })?;
        let data = DataFolder::open(&path)?;
        Ok(Self {
            data: Some(data),
            path,
            cache: ours.join("precompiled"),
        })
    }

    /// The data folder.
    pub(super) fn data(&self) -> &DataFolder {
        self.data
            .as_ref()
            .expect("it is taken out by the drop alone")
    }

    /// Where compiled code is kept.
    pub(super) fn cache(&self) -> &Path {
        &self.cache
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        drop(self.data.take());
        if let Err(err) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %err, "a test's folder could not be removed");
        }
    }
}

/// A folder that no other test has; a process has one, and its number may come again.
fn unused_name(runs: &Path) -> io::Result<PathBuf> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nanos = since.unwrap_or_default().as_nanos();
    let path = runs.join(format!("{}-{nanos}", std::process::id()));
    match fs::symlink_metadata(&path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(path),
        Err(err) => Err(err),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// Removes the folders of tests that were killed. What cannot be removed is left to the next test.
fn remove_left(runs: &Path) {
    let Ok(entries) = fs::read_dir(runs) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_old = fs::metadata(&path)
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > LEFT_AFTER));
        // Whoever still runs in it holds its lock.
        if is_old && DataFolder::open(&path).is_ok() {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_test_and_old_ones_that_nobody_holds_go_too() {
        let home = tempfile::TempDir::new().unwrap();
        let runs = home.path();
        let path = unused_name(runs).unwrap();
        let folders = Folders {
            data: Some(DataFolder::open(&path).unwrap()),
            path: path.clone(),
            cache: PathBuf::new(),
        };
        let old = SystemTime::now() - 2 * LEFT_AFTER;
        let (left, young) = (runs.join("left"), runs.join("young"));
        for folder in [&left, &young] {
            drop(DataFolder::open(folder).unwrap());
        }
        for folder in [&left, &path] {
            fs::File::open(folder).unwrap().set_modified(old).unwrap();
        }
        remove_left(runs);
        assert!(path.exists() && young.exists() && !left.exists());
        drop(folders);
        assert!(!path.exists());
    }
}

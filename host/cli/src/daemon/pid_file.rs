//! The file with the process id, for init scripts; it goes when the process ends in order.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// A written file; dropping it removes it.
#[derive(Debug)]
#[must_use = "the file is removed when this is dropped"]
pub(super) struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes this process's id, as one line, beside the old file and then in its place.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(path: &Path) -> Result<Self, Failure> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let written = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(folder)
            .and_then(|mut file| {
                writeln!(file, "{}", std::process::id())?;
                file.persist(path).map_err(|err| err.error)
            });
        match written {
            Ok(_) => Ok(Self {
                path: path.to_owned(),
            }),
            Err(err) => {
                let what = format!("cannot write `{}`", path.display());
                Err(Failure::new(ExitStatus::Failure, what)
                    .hint("`--pid-file` takes a file in a folder that this user can write")
                    .caused_by(err))
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Nobody can be told of a failure any more; an init script looks whether the process lives.
        drop(std::fs::remove_file(&self.path));
    }
}

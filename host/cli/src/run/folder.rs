//! The data folder of `run`: the one that was named, or one of its own for each manifest.

use std::path::{Path, PathBuf};

use super::target::Loaded;
use crate::args::run::RunArgs;
use crate::deployment_file::sha256;
use crate::failure::Failure;
use crate::user_folders;

/// Hexadecimal digits of a folder's name.
const NAME_LENGTH: usize = 16;

/// The folder by `--data-dir`, else one below the user's data home, named after what is run.
pub(super) fn of(args: &RunArgs, targets: &[Loaded]) -> Result<PathBuf, Failure> {
    if let Some(folder) = &args.data_dir {
        return Ok(folder.clone());
    }
    let files = targets.iter().map(|target| target.file.as_path());
    user_folders::data_folder(&["run", &name(files)])
}

fn name<'a>(files: impl Iterator<Item = &'a Path>) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut joined = Vec::new();
    for file in files {
        joined.extend_from_slice(file.as_os_str().as_bytes());
        joined.push(0);
    }
    sha256(&joined)[..NAME_LENGTH].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_manifest_has_a_folder_of_its_own() {
        let one = name([Path::new("/a")].into_iter());
        assert_eq!(one.len(), NAME_LENGTH);
        assert_eq!(one, name([Path::new("/a")].into_iter()));
        assert_ne!(one, name([Path::new("/b")].into_iter()));
        assert_ne!(
            name([Path::new("/a"), Path::new("/b")].into_iter()),
            name([Path::new("/a/b")].into_iter())
        );
    }
}

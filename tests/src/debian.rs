//! Programs of Debian that tests start: of this machine, or unpacked from Debian's package.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

use crate::paths;

/// A program of a package, as `/usr/bin/tinyproxy` of `tinyproxy-bin`. Nothing where it is neither installed nor to be
/// had; then it is said loudly, as what is tested with it is left out.
///
/// # Panics
/// When the script that unpacks it fails.
pub fn program(package: &str, program: &str) -> Option<Command> {
    program_of_suite(None, package, program)
}

/// The same, looked for in this suite as well where this machine's own has no such package.
///
/// # Panics
/// When the script that unpacks it fails.
pub fn program_of_suite(suite: Option<&str>, package: &str, program: &str) -> Option<Command> {
    let found = unpacked(package, program, suite);
    if found.is_none() {
        eprintln!("LEFT OUT: there is no `{program}`, and Debian's package cannot be had");
    }
    found
}

/// A library of a package to load before others, as `faketime/libfaketime.so.1` of `libfaketime`: below the folder for
/// libraries of this machine. Nothing, and loudly, where it is not to be had.
///
/// # Panics
/// When the script that unpacks it fails.
pub fn library(package: &str, library: &str) -> Option<PathBuf> {
    let arch = std::env::consts::ARCH;
    let library = format!("/usr/lib/{arch}-linux-gnu/{library}");
    let folder = folder(package, &library, None);
    let unpacked = folder.join(library.trim_start_matches('/'));
    let found = [unpacked, PathBuf::from(&library)];
    let found = found.into_iter().find(|path| path.is_file());
    if found.is_none() {
        eprintln!("LEFT OUT: there is no `{library}`, and Debian's package cannot be had");
    }
    found
}

/// Where a package lies unpacked, or would if it were not installed, or to be had.
fn folder(package: &str, wanted: &str, suite: Option<&str>) -> PathBuf {
    let folder = paths::target().join(package);
    // One test unpacks it, the others wait.
    let lock = File::create(folder.with_extension("lock"));
    let lock = lock.expect("the target folder can be written");
    flock(&lock, FlockOperation::LockExclusive).expect("a lock can be taken");
    let unpacked = Command::new(paths::repository().join("scripts/unpack-debian.sh"))
        .args([package, wanted])
        .arg(&folder)
        .args(suite)
        .stdout(Stdio::null())
        .status();
    let unpacked = unpacked.expect("bash is there");
    assert!(unpacked.success(), "the script failed");
    folder
}

fn unpacked(package: &str, program: &str, suite: Option<&str>) -> Option<Command> {
    let folder = folder(package, program, suite);
    let in_folder = folder.join(program.trim_start_matches('/'));
    if !in_folder.is_file() {
        let system = Path::new(program);
        return system.is_file().then(|| Command::new(system));
    }
    let mut command = Command::new(in_folder);
    let libraries = fs::read_dir(folder.join("usr/lib"));
    let libraries = libraries.into_iter().flatten().flatten();
    let is_multiarch = |path: &PathBuf| path.to_string_lossy().contains("-linux-gnu");
    let libraries = libraries.map(|entry| entry.path()).find(is_multiarch);
    if let Some(libraries) = libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    Some(command)
}

//! Opens what a manifest grants, and refuses what no manifest may grant.
//!
//! Paths are checked as text when the manifest is read; here the opened file itself is checked, since
//! links and mounts make a path mean anything.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use rustix::fs::{FileType, Mode, OFlags};
use wasm_edge_model::manifest::{Grant, GrantAccess as Access, GrantKind};

/// Magic numbers of file systems that show the kernel or devices (`statfs(2)`).
const PROC_MAGIC: u64 = 0x9fa0;
const SYSFS_MAGIC: u64 = 0x6265_6572;
const FORBIDDEN_FOLDER_FILE_SYSTEMS: [u64; 9] = [
    PROC_MAGIC,
    SYSFS_MAGIC,
    0x1cd1,      // devpts
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0xcafe_4a11, // bpf
];

/// Why a grant was refused or could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrantError {
    #[error("cannot open the granted `{path}`")]
    Open {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("`{path}` is never granted: {reason}")]
    Forbidden { path: String, reason: &'static str },
    #[error("the granted `{path}` is {found}, but {wanted} was granted")]
    WrongKind {
        path: String,
        found: &'static str,
        wanted: &'static str,
    },
    #[error("two grants give the module `{guest}`")]
    Twice { guest: String },
}

/// A file that a module may open by one name.
#[derive(Debug)]
pub(crate) struct GrantedFile {
    folder: Dir,
    name: OsString,
    /// Whether it is one of procfs, which was then found to be about the machine and not about a process.
    in_proc: bool,
    pub(crate) access: Access,
}

impl GrantedFile {
    /// Opens the file as it is now; a file that was replaced under its name is found again.
    pub(crate) fn open(&self) -> std::io::Result<File> {
        let access = match self.access {
            Access::Read => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        };
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::openat(self.folder.as_fd(), &self.name, flags, Mode::empty())?;
        // What lies under the name now may be something else than what was granted, also by a mount.
        let plain = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode).is_file();
        let foreign = !self.in_proc && file_system_magic(&file)? == PROC_MAGIC;
        if plain && !foreign {
            Ok(File::from(file))
        } else {
            Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied))
        }
    }
}

/// A folder as the module sees it.
#[derive(Debug)]
pub(crate) enum GrantedFolder {
    /// A folder of the host, whole.
    Host { folder: Dir, access: Access },
    /// A place where some granted files appear, by their names in it.
    Files(BTreeMap<String, GrantedFile>),
}

/// The opened grants of a module.
#[derive(Debug, Default)]
pub(crate) struct OpenGrants {
    /// By the path that the module sees.
    pub(crate) folders: BTreeMap<String, GrantedFolder>,
    /// Paths of the host that are not there. The module does without them, as a sensor does that a board
    /// does not have.
    pub(crate) missing: Vec<String>,
}

/// Opens all grants of a module.
pub(crate) fn open(grants: &[Grant], own_folder: &Path) -> Result<OpenGrants, GrantError> {
    let mut opened = OpenGrants::default();
    for grant in grants {
        let guest = grant.guest.trim_end_matches('/').to_owned();
        match open_one(grant, own_folder) {
            Err(GrantError::Open { path, source })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                opened.missing.push(path);
            }
            Err(err) => return Err(err),
            Ok(One::Folder(folder)) => {
                let granted = GrantedFolder::Host {
                    folder,
                    access: grant.access,
                };
                if guest == "/data" || opened.folders.insert(guest.clone(), granted).is_some() {
                    return Err(GrantError::Twice { guest });
                }
            }
            Ok(One::File(file)) => add_file(&mut opened.folders, &guest, file)?,
        }
    }
    Ok(opened)
}

enum One {
    Folder(Dir),
    File(GrantedFile),
}

fn add_file(
    opened: &mut BTreeMap<String, GrantedFolder>,
    guest: &str,
    file: GrantedFile,
) -> Result<(), GrantError> {
    let twice = || GrantError::Twice {
        guest: guest.to_owned(),
    };
    let (folder, name) = guest.rsplit_once('/').unwrap_or(("", guest));
    let folder = if folder.is_empty() { "/" } else { folder };
    if folder == "/data" {
        return Err(twice());
    }
    match opened
        .entry(folder.to_owned())
        .or_insert_with(|| GrantedFolder::Files(BTreeMap::new()))
    {
        GrantedFolder::Files(files) => match files.insert(name.to_owned(), file) {
            None => Ok(()),
            Some(_) => Err(twice()),
        },
        GrantedFolder::Host { .. } => Err(twice()),
    }
}

fn open_one(grant: &Grant, own_folder: &Path) -> Result<One, GrantError> {
    let failed = |source: std::io::Error| GrantError::Open {
        path: grant.host.clone(),
        source,
    };
    // The real path, without links: what is checked is what is opened.
    let real = std::fs::canonicalize(&grant.host).map_err(failed)?;
    let metadata = std::fs::symlink_metadata(&real).map_err(failed)?;
    if metadata.is_dir() {
        if grant.kind == GrantKind::File {
            return Err(wrong_kind(grant, "a folder", "a file"));
        }
        let folder = Dir::open_ambient_dir(&real, ambient_authority()).map_err(failed)?;
        check_folder(grant, &folder, own_folder)?;
        return Ok(One::Folder(folder));
    }
    if !metadata.is_file() {
        return Err(wrong_kind(
            grant,
            "neither a file nor a folder",
            "one of these",
        ));
    }
    if grant.kind == GrantKind::Folder {
        return Err(wrong_kind(grant, "a file", "a folder"));
    }
    let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
        return Err(wrong_kind(grant, "no file with a name", "a file"));
    };
    let folder = Dir::open_ambient_dir(parent, ambient_authority()).map_err(failed)?;
    check_file(grant, &folder, name, own_folder)?;
    let in_proc = file_system_magic(&folder).map_err(failed)? == PROC_MAGIC;
    Ok(One::File(GrantedFile {
        folder,
        name: name.to_owned(),
        in_proc,
        access: grant.access,
    }))
}

fn wrong_kind(grant: &Grant, found: &'static str, wanted: &'static str) -> GrantError {
    GrantError::WrongKind {
        path: grant.host.clone(),
        found,
        wanted,
    }
}

fn check_folder(grant: &Grant, folder: &Dir, own_folder: &Path) -> Result<(), GrantError> {
    let forbidden = |reason| GrantError::Forbidden {
        path: grant.host.clone(),
        reason,
    };
    let real = real_path(folder).map_err(|source| GrantError::Open {
        path: grant.host.clone(),
        source,
    })?;
    if real == Path::new("/") {
        return Err(forbidden("it is the whole file system"));
    }
    if own_folder.starts_with(&real) || real.starts_with(own_folder) {
        return Err(forbidden("it holds this device's own data, or lies in it"));
    }
    if real.starts_with("/dev") {
        return Err(forbidden("it holds devices"));
    }
    if is_kernel_file_system(folder).unwrap_or(true) {
        return Err(forbidden(
            "it shows the kernel and other processes; grant single files of it",
        ));
    }
    Ok(())
}

fn check_file(
    grant: &Grant,
    folder: &Dir,
    name: &OsStr,
    own_folder: &Path,
) -> Result<(), GrantError> {
    let forbidden = |reason| GrantError::Forbidden {
        path: grant.host.clone(),
        reason,
    };
    let failed = |source| GrantError::Open {
        path: grant.host.clone(),
        source,
    };
    let real = real_path(folder).map_err(failed)?.join(name);
    if real.starts_with(own_folder) {
        return Err(forbidden("it is this device's own data"));
    }
    if real.starts_with("/dev") {
        return Err(forbidden("it is a device"));
    }
    let magic = file_system_magic(folder).map_err(failed)?;
    if magic == PROC_MAGIC && !is_plain_proc_file(&real) {
        return Err(forbidden(
            "it belongs to a process or to the kernel's memory",
        ));
    }
    Ok(())
}

/// Whether a file of procfs says something about the machine and not about a process.
fn is_plain_proc_file(real: &Path) -> bool {
    let Ok(inside) = real.strip_prefix("/proc") else {
        return false;
    };
    let Some(Component::Normal(first)) = inside.components().next() else {
        return false;
    };
    let first = first.to_string_lossy();
    let process = first.bytes().all(|byte| byte.is_ascii_digit()) || first.contains("self");
    !process
        && !matches!(
            first.as_ref(),
            "kcore"
                | "kmem"
                | "kpagecgroup"
                | "kpagecount"
                | "kpageflags"
                | "sysrq-trigger"
                | "vmcore"
        )
}

/// Whether a folder, or something below it, lies in a file system that shows kernel or devices.
pub(crate) fn is_kernel_file_system(opened: impl AsFd) -> std::io::Result<bool> {
    Ok(FORBIDDEN_FOLDER_FILE_SYSTEMS.contains(&file_system_magic(opened)?))
}

fn file_system_magic(opened: impl AsFd) -> std::io::Result<u64> {
    let magic = rustix::fs::fstatfs(opened)?.f_type;
    // 32-bit fields are sign-extended on some targets; the numbers above have 32 bits.
    Ok(u64::try_from(i128::from(magic) & 0xffff_ffff).unwrap_or(u64::MAX))
}

fn real_path(folder: &Dir) -> std::io::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd()))
}

#[cfg(test)]
mod tests;

//! What of the device's file system a module may see.
//!
//! Owns the rules that hold whatever a manifest or a policy says, as far as
//! text can tell. The runtime checks again on what it opened, since links
//! lead elsewhere than their names.

/// The most grants of one module.
pub const GRANTS_MAX: usize = 64;

/// The longest path, in bytes.
pub const PATH_MAX_BYTES: usize = 1024;

/// A file or folder of the device that a module may see.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grant {
    /// What it must be.
    pub kind: GrantKind,
    /// Where it is on the device: absolute, without `.`, `..` and empty
    /// parts.
    pub host: String,
    /// Where the module sees it; the form is that of `host`.
    pub guest: String,
    /// What the module may do with it.
    pub access: GrantAccess,
}

/// What a grant must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrantKind {
    /// A single file.
    File,
    /// A folder with all in it.
    Folder,
    /// Either, decided when it is opened; from Docker's `Binds`.
    Any,
}

/// What a module may do with what was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrantAccess {
    /// Read.
    Read,
    /// Read, write, and in a folder create and delete.
    ReadWrite,
}

/// Why a path is no place to grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PlaceError {
    /// It does not begin with `/`.
    #[error("is not absolute")]
    Relative,
    /// It has `..` in it.
    #[error("contains `..`")]
    Parent,
    /// It contains a control character.
    #[error("contains a control character")]
    ControlCharacter,
    /// It is longer than [`PATH_MAX_BYTES`].
    #[error("has more than {PATH_MAX_BYTES} bytes")]
    TooLong,
    /// It is `/`.
    #[error("is the root of the file system")]
    Root,
    /// It is or holds the state of processes, the host's memory among it.
    #[error("gives a view into processes or memory")]
    Processes,
    /// It is all of the kernel's settings.
    #[error("is all of the kernel's settings")]
    AllOfSys,
    /// It is a device or holds devices.
    #[error("is in `/dev`")]
    Devices,
    /// It is in the module's own `/data`.
    #[error("is in `/data`, the module's own folder")]
    Data,
}

/// Checks a path of the device and gives its plain form: without empty parts
/// and `.`, and without `/` at its end.
///
/// # Errors
/// [`PlaceError`]: places that are never granted, and paths that are not
/// plain.
pub fn check_host_path(path: &str) -> Result<String, PlaceError> {
    let plain = plain_path(path)?;
    let parts: Vec<&str> = plain.split('/').skip(1).collect();
    match parts[..] {
        [""] => Err(PlaceError::Root),
        ["proc"] => Err(PlaceError::Processes),
        ["proc", entry, ..] if shows_processes(entry) => Err(PlaceError::Processes),
        ["sys"] => Err(PlaceError::AllOfSys),
        ["dev", ..] => Err(PlaceError::Devices),
        _ => Ok(plain),
    }
}

/// Checks a path as a module is to see it and gives its plain form.
///
/// # Errors
/// [`PlaceError`]: `/`, the module's own `/data`, and paths that are not
/// plain.
pub fn check_guest_path(path: &str) -> Result<String, PlaceError> {
    let plain = plain_path(path)?;
    let mut parts = plain.split('/').skip(1);
    match parts.next() {
        None | Some("") => Err(PlaceError::Root),
        Some("data") => Err(PlaceError::Data),
        Some(_) => Ok(plain),
    }
}

/// The plain form of an absolute path.
fn plain_path(path: &str) -> Result<String, PlaceError> {
    if !path.starts_with('/') {
        return Err(PlaceError::Relative);
    }
    if path.len() > PATH_MAX_BYTES {
        return Err(PlaceError::TooLong);
    }
    if path.contains(char::is_control) {
        return Err(PlaceError::ControlCharacter);
    }
    let mut plain = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            return Err(PlaceError::Parent);
        }
        plain.push('/');
        plain.push_str(part);
    }
    match plain.is_empty() {
        true => Ok("/".into()),
        false => Ok(plain),
    }
}

/// Whether this entry of `/proc` shows a process or memory. `net` and
/// `mounts` are links into `self`.
fn shows_processes(entry: &str) -> bool {
    let is_number = entry.bytes().all(|byte| byte.is_ascii_digit());
    is_number || matches!(entry, "self" | "thread-self" | "net" | "mounts" | "kcore")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn some_places_are_never_granted() {
        let check = |path: &str, expected: Result<&str, PlaceError>| {
            assert_eq!(check_host_path(path), expected.map(String::from), "{path}");
        };
        check("/proc/loadavg", Ok("/proc/loadavg"));
        check("/proc/sys/kernel/hostname", Ok("/proc/sys/kernel/hostname"));
        check(
            "/sys/class/thermal/thermal_zone0/temp",
            Ok("/sys/class/thermal/thermal_zone0/temp"),
        );
        check("//var/./log/", Ok("/var/log"));
        check("/devices", Ok("/devices"));
        check("/var/..log", Ok("/var/..log"));
        check("", Err(PlaceError::Relative));
        check("var/log", Err(PlaceError::Relative));
        check("/", Err(PlaceError::Root));
        check("//./", Err(PlaceError::Root));
        check("/var/../proc/self", Err(PlaceError::Parent));
        check("/..", Err(PlaceError::Parent));
        check("/proc", Err(PlaceError::Processes));
        check("//proc/./", Err(PlaceError::Processes));
        check("/proc/self", Err(PlaceError::Processes));
        check("/proc/self/mem", Err(PlaceError::Processes));
        check("/proc//thread-self/maps", Err(PlaceError::Processes));
        check("/proc/1", Err(PlaceError::Processes));
        check("/proc/4711/mem", Err(PlaceError::Processes));
        check("/proc/net/tcp", Err(PlaceError::Processes));
        check("/proc/kcore", Err(PlaceError::Processes));
        check("/sys", Err(PlaceError::AllOfSys));
        check("/sys/", Err(PlaceError::AllOfSys));
        check("/dev", Err(PlaceError::Devices));
        check("/dev/mem", Err(PlaceError::Devices));
        check("/a\0b", Err(PlaceError::ControlCharacter));
        check(&format!("/{}", "a".repeat(1024)), Err(PlaceError::TooLong));
    }

    #[test]
    fn a_module_sees_grants_beside_its_own_folder() {
        let check = |path: &str, expected: Result<&str, PlaceError>| {
            assert_eq!(check_guest_path(path), expected.map(String::from), "{path}");
        };
        check("/proc/self", Ok("/proc/self"));
        check("/input/", Ok("/input"));
        check("/database", Ok("/database"));
        check("/", Err(PlaceError::Root));
        check("/data", Err(PlaceError::Data));
        check("/data/input", Err(PlaceError::Data));
        check("input", Err(PlaceError::Relative));
    }

    proptest! {
        #[test]
        fn a_plain_path_stays_as_it_is(path in "/?[a-z./]{0,12}") {
            if let Ok(plain) = check_host_path(&path) {
                prop_assert_eq!(check_host_path(&plain), Ok(plain.clone()));
                prop_assert!(!plain.contains("//") && !plain.ends_with('/'));
            }
        }
    }
}

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::*;

/// A folder of the host with the device's own data folder in it.
struct Host {
    root: TempDir,
    own: PathBuf,
}

impl Host {
    fn new() -> Self {
        let root = TempDir::new().expect("a temporary folder");
        let own = root.path().canonicalize().expect("it is there").join("own");
        fs::create_dir_all(own.join("devices/d")).expect("made");
        fs::write(own.join("devices/d/key"), "secret").expect("written");
        fs::create_dir_all(root.path().join("logs")).expect("made");
        fs::write(root.path().join("logs/a"), "a").expect("written");
        fs::write(root.path().join("reading"), "1").expect("written");
        Self { root, own }
    }

    fn path(&self, name: &str) -> String {
        let path = self.root.path().join(name);
        path.to_str().expect("the path is text").to_owned()
    }

    fn open(&self, grants: &[Grant]) -> Result<OpenGrants, GrantError> {
        open(grants, &self.own)
    }

    #[track_caller]
    fn is_refused(&self, grant: &Grant, expected: &str) {
        match self.open(std::slice::from_ref(grant)) {
            Ok(opened) => panic!("{grant:?} was opened: {opened:?}"),
            Err(err) => assert!(err.to_string().contains(expected), "{grant:?}: {err}"),
        }
    }
}

fn grant(kind: GrantKind, host: impl Into<String>, guest: &str, access: Access) -> Grant {
    Grant {
        kind,
        host: host.into(),
        guest: guest.to_owned(),
        access,
    }
}

fn file(host: impl Into<String>) -> Grant {
    grant(GrantKind::File, host, "/granted/file", Access::Read)
}

fn folder(host: impl Into<String>) -> Grant {
    grant(GrantKind::Folder, host, "/granted", Access::Read)
}

#[track_caller]
fn granted_file(mut opened: OpenGrants) -> GrantedFile {
    match opened.folders.remove("/granted") {
        Some(GrantedFolder::Files(mut files)) => files.remove("file").expect("it is there"),
        other => panic!("no place with files: {other:?}"),
    }
}

fn text(granted: &GrantedFile) -> String {
    let mut text = String::new();
    let mut file = granted.open().expect("it opens");
    file.read_to_string(&mut text).expect("it is text");
    text
}

#[test]
fn files_and_folders_appear_at_their_guest_paths() {
    let host = Host::new();
    let opened = host
        .open(&[
            grant(
                GrantKind::File,
                host.path("reading"),
                "/in/one",
                Access::Read,
            ),
            grant(
                GrantKind::Any,
                host.path("logs/a"),
                "/in/two",
                Access::ReadWrite,
            ),
            grant(
                GrantKind::Any,
                host.path("logs"),
                "/logs/",
                Access::ReadWrite,
            ),
            grant(GrantKind::File, host.path("reading"), "/top", Access::Read),
        ])
        .expect("all may be granted");
    assert_eq!(opened.missing, [""; 0]);
    let places: Vec<_> = opened.folders.keys().map(String::as_str).collect();
    assert_eq!(places, ["/", "/in", "/logs"]);
    let GrantedFolder::Files(files) = &opened.folders["/in"] else {
        panic!("a place for files")
    };
    assert_eq!(text(&files["one"]), "1");
    assert_eq!(files["one"].access, Access::Read);
    assert_eq!(files["two"].access, Access::ReadWrite);
    let GrantedFolder::Host { access, .. } = &opened.folders["/logs"] else {
        panic!("a folder of the host")
    };
    assert_eq!(*access, Access::ReadWrite);
}

#[test]
fn what_is_not_there_is_named_and_left_out() {
    let host = Host::new();
    let missing = host.path("no/sensor");
    let opened = host
        .open(&[
            file(missing.clone()),
            folder("/proc/wasm-edge-is-not-here"),
            grant(
                GrantKind::File,
                host.path("reading"),
                "/there/x",
                Access::Read,
            ),
        ])
        .expect("missing ones are no fault");
    assert_eq!(
        opened.missing,
        [missing.as_str(), "/proc/wasm-edge-is-not-here"]
    );
    assert_eq!(opened.folders.len(), 1);
}

#[test]
fn the_kind_must_be_what_was_granted() {
    let host = Host::new();
    host.is_refused(
        &file(host.path("logs")),
        "is a folder, but a file was granted",
    );
    host.is_refused(
        &folder(host.path("reading")),
        "is a file, but a folder was granted",
    );
    rustix::fs::mknodat(
        rustix::fs::CWD,
        host.path("pipe"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .expect("a pipe can be made");
    let _socket = UnixListener::bind(host.path("socket")).expect("a socket can be made");
    for name in ["pipe", "socket"] {
        for kind in [GrantKind::File, GrantKind::Folder, GrantKind::Any] {
            let grant = grant(kind, host.path(name), "/granted/file", Access::ReadWrite);
            host.is_refused(&grant, "is neither a file nor a folder");
        }
    }
}

#[test]
fn processes_devices_and_whole_systems_are_refused_by_their_real_place() {
    let host = Host::new();
    for (place, expected) in [
        ("/", "it is the whole file system"),
        ("/proc", "it shows the kernel and other processes"),
        ("/proc/self", "it shows the kernel and other processes"),
        ("/proc/1", "it shows the kernel and other processes"),
        ("/proc/self/task", "it shows the kernel and other processes"),
        ("/proc/sys", "it shows the kernel and other processes"),
        ("/sys", "it shows the kernel and other processes"),
        ("/dev", "it holds devices"),
        ("/dev/pts", "it holds devices"),
    ] {
        host.is_refused(&folder(place), expected);
        let link = format!("link{}", place.replace('/', "-"));
        symlink(place, host.path(&link)).expect("linked");
        host.is_refused(&folder(host.path(&link)), expected);
        let any = grant(
            GrantKind::Any,
            host.path(&link),
            "/granted",
            Access::ReadWrite,
        );
        host.is_refused(&any, expected);
    }
}

#[test]
fn files_of_processes_and_of_the_kernel_s_memory_are_refused_by_their_real_place() {
    let host = Host::new();
    let own = std::process::id();
    for place in [
        "/proc/self/mem".to_owned(),
        "/proc/self/maps".to_owned(),
        "/proc/thread-self/environ".to_owned(),
        format!("/proc/{own}/mem"),
        format!("/proc/{own}/task/{own}/maps"),
        "/proc/mounts".to_owned(),
        "/proc/net/dev".to_owned(),
        "/proc/kpagecount".to_owned(),
        "/proc/sysrq-trigger".to_owned(),
    ] {
        if !Path::new(&place).exists() {
            continue;
        }
        host.is_refused(
            &file(place.clone()),
            "it belongs to a process or to the kernel's memory",
        );
        let link = format!("link{}", place.replace('/', "-"));
        symlink(&place, host.path(&link)).expect("linked");
        host.is_refused(
            &file(host.path(&link)),
            "it belongs to a process or to the kernel's memory",
        );
    }
    // A link to a file through a folder of a process, which the link's own path does not show.
    symlink("/proc/self", host.path("me")).expect("linked");
    host.is_refused(
        &file(host.path("me/mem")),
        "it belongs to a process or to the kernel's memory",
    );
    for device in ["/dev/null", "/dev/zero"] {
        host.is_refused(&file(device), "is neither a file nor a folder");
    }
}

#[test]
fn single_files_about_the_machine_may_be_granted() {
    let host = Host::new();
    for place in ["/proc/loadavg", "/proc/meminfo", "/proc/sys/kernel/ostype"] {
        let granted = granted_file(host.open(&[file(place)]).expect("it may be granted"));
        assert!(!text(&granted).is_empty(), "{place}");
    }
}

#[test]
fn the_device_s_own_data_is_refused_with_all_above_and_below() {
    let host = Host::new();
    let own = host.own.to_str().expect("the path is text").to_owned();
    symlink(host.own.join("devices"), host.path("link")).expect("linked");
    symlink(host.own.join("devices/d/key"), host.path("key")).expect("linked");
    let above = host
        .root
        .path()
        .to_str()
        .expect("the path is text")
        .to_owned();
    for place in [
        own.clone(),
        format!("{own}/devices"),
        above.clone(),
        format!("{above}/logs/.."),
        host.path("link"),
        host.path("link/d"),
    ] {
        host.is_refused(
            &folder(place),
            "it holds this device's own data, or lies in it",
        );
    }
    for place in [
        format!("{own}/devices/d/key"),
        host.path("key"),
        host.path("link/d/key"),
    ] {
        host.is_refused(&file(place), "it is this device's own data");
    }
    // A name that only begins like it is another place.
    fs::create_dir(host.path("owner")).expect("made");
    host.open(&[folder(host.path("owner"))])
        .expect("a neighbour may be granted");
}

#[test]
fn a_file_replaced_under_its_name_is_found_again_unless_it_is_no_plain_file_now() {
    let host = Host::new();
    let granted = granted_file(host.open(&[file(host.path("reading"))]).expect("opened"));
    fs::write(host.path("new"), "2").expect("written");
    fs::rename(host.path("new"), host.path("reading")).expect("renamed");
    assert_eq!(text(&granted), "2");

    fs::remove_file(host.path("reading")).expect("removed");
    let gone = granted.open().expect_err("it is gone");
    assert_eq!(gone.kind(), std::io::ErrorKind::NotFound);

    for target in ["/proc/self/mem", "own/devices/d/key", "logs/a"] {
        symlink(target, host.path("reading")).expect("linked");
        let err = granted.open().expect_err("a link is not followed");
        assert_eq!(
            err.raw_os_error(),
            Some(rustix::io::Errno::LOOP.raw_os_error())
        );
        fs::remove_file(host.path("reading")).expect("removed");
    }

    fs::create_dir(host.path("reading")).expect("made");
    let folder = granted.open().expect_err("a folder is no file");
    assert_eq!(folder.kind(), std::io::ErrorKind::PermissionDenied);
    fs::remove_dir(host.path("reading")).expect("removed");

    rustix::fs::mknodat(
        rustix::fs::CWD,
        host.path("reading"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .expect("a pipe can be made");
    // It comes back at once, though nobody writes into the pipe.
    let pipe = granted.open().expect_err("a pipe is no file");
    assert_eq!(pipe.kind(), std::io::ErrorKind::PermissionDenied);
}

#[test]
fn a_file_granted_for_reading_is_opened_for_reading_only() {
    use std::io::Write as _;

    let host = Host::new();
    let granted = granted_file(host.open(&[file(host.path("reading"))]).expect("opened"));
    let written = granted.open().expect("opened").write(b"2");
    assert!(written.is_err());
    let writable = grant(
        GrantKind::File,
        host.path("reading"),
        "/granted/file",
        Access::ReadWrite,
    );
    let granted = granted_file(host.open(&[writable]).expect("opened"));
    granted
        .open()
        .expect("opened")
        .write_all(b"2")
        .expect("it may be written");
    assert_eq!(text(&granted), "2");
}

#[test]
fn no_two_grants_share_a_place_and_none_takes_the_place_of_data() {
    let host = Host::new();
    let a = |guest| grant(GrantKind::File, host.path("reading"), guest, Access::Read);
    let b = |guest| grant(GrantKind::Folder, host.path("logs"), guest, Access::Read);
    for grants in [
        [a("/x/f"), a("/x/f")],
        [b("/x"), b("/x/")],
        [b("/x"), a("/x/f")],
        [a("/x/f"), b("/x")],
        [a("/x/f"), b("/data")],
        [b("/x"), a("/data/f")],
    ] {
        match host.open(&grants) {
            Err(GrantError::Twice { .. }) => {}
            other => panic!("{grants:?}: {other:?}"),
        }
    }
    host.open(&[a("/x/f"), a("/x/g"), b("/y"), b("/x/deeper")])
        .expect("these are places of their own");
}

#[test]
fn what_the_device_itself_may_not_open_is_an_error_with_its_path() {
    let host = Host::new();
    fs::set_permissions(host.path("logs"), fs::Permissions::from_mode(0o000)).expect("set");
    let opened = host.open(&[file(host.path("logs/a"))]);
    fs::set_permissions(host.path("logs"), fs::Permissions::from_mode(0o700)).expect("set");
    // Root may open everything.
    if !rustix::process::geteuid().is_root() {
        match opened {
            Err(GrantError::Open { path, .. }) => assert_eq!(path, host.path("logs/a")),
            other => panic!("{other:?}"),
        }
    }
}

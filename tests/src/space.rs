//! Parts of the machine that are another for a test alone: a small disk, which is a file system in memory mounted over a
//! folder, and the names of hosts that a program knows.
//!
//! Mounting needs a namespace of one's own, which a user may make where the system allows it: the test, or the program,
//! is started in one.

use std::env;
use std::path::Path;
use std::process::Command;

/// Set in the namespace.
const INSIDE: &str = "WASM_EDGE_TESTS_MAY_MOUNT";

/// Whether this process may mount. If not, the test of this name has been run in a process that may, and passed, or
/// it has been said why that is not possible here.
///
/// # Panics
/// When the test fails there.
pub fn may_mount(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let possible = unshare().arg("true").output();
    if !possible.is_ok_and(|output| output.status.success()) {
        println!("left out: a user may not mount anything on this machine");
        return false;
    }
    let program = env::current_exe().expect("a test knows its own program");
    let mut again = unshare();
    again.arg(program).args(["--exact", test, "--nocapture"]);
    let status = again.env(INSIDE, "1").status();
    let status = status.expect("unshare was there a moment ago");
    assert!(status.success(), "{test} failed where it may mount");
    false
}

/// Puts a disk of so many kibibytes in the place of a folder, empty.
///
/// # Panics
/// When it cannot be mounted.
pub fn mount_small_disk(folder: &Path, size_kib: u32) {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", &format!("size={size_kib}k,mode=700")]);
    let status = command.arg("small-disk").arg(folder).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "cannot mount at `{}`",
        folder.display()
    );
}

/// The same command in a place where the names of hosts are those of a file in the form of `/etc/hosts`. Nothing, and
/// loudly, where that is not possible.
pub fn with_hosts(command: &Command, hosts: &Path) -> Option<Command> {
    const MOUNT: &str = "mount --bind \"$1\" /etc/hosts; shift; exec \"$@\"";
    let in_place = |command: &Command| {
        let mut placed = unshare();
        placed.args(["sh", "-ec", MOUNT, "sh"]).arg(hosts);
        placed.arg(command.get_program()).args(command.get_args());
        let variables = command.get_envs();
        placed.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        placed
    };
    let probe = in_place(&Command::new("true")).status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("LEFT OUT: a user may not mount anything on this machine");
        return None;
    }
    Some(in_place(command))
}

/// What starts a program in a namespace of its own, in which it may mount.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount"]);
    command
}

//! Python with the official Azure SDKs, and namespaces of their own, where the SDKs' fixed ports are free.

use std::path::PathBuf;
use std::process::Command;

use crate::outcome::Outcome;
use crate::paths;

/// The interpreter of the environment with the SDKs; it is made if it is not there.
///
/// # Panics
/// When it cannot be made.
pub fn interpreter() -> PathBuf {
    let script = paths::repository().join("scripts/python-sdk.sh");
    let output = Command::new(script)
        .arg(paths::target().join("sdk-venv"))
        .output();
    let outcome = Outcome::from(output.expect("a script of the repository can be started"));
    outcome.ok().stdout.trim().into()
}

/// Fails with what to do where a user may make no namespaces.
///
/// # Panics
/// Where one may not.
pub fn check_namespaces() {
    let tried = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "true"])
        .output()
        .unwrap_or_else(|err| panic!("`unshare` cannot be started ({err}): install util-linux"));
    assert!(
        tried.status.success(),
        "this user may not make user and network namespaces, which give the SDKs their fixed ports: {}\
         root can allow it: sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000 \
         kernel.apparmor_restrict_unprivileged_userns=0",
        String::from_utf8_lossy(&tried.stderr)
    );
}

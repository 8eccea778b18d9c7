//! Where the binary and the guests are.

use std::env;
use std::path::{Path, PathBuf};

/// The binary under test: `WASM_EDGE_BIN`, else the one that the same build made, beside this test's executable.
///
/// # Panics
/// When it is not there.
pub fn binary() -> PathBuf {
    if let Some(path) = env::var_os("WASM_EDGE_BIN") {
        return path.into();
    }
    let binary = profile_folder().join("wasm-edge");
    assert!(
        binary.exists(),
        "`{}` is not there: `cargo build -p wasm-edge-cli` makes it",
        binary.display()
    );
    binary
}

/// The program for boards: `WASM_EDGE_DEVICE_BIN`, else the one that was built beside this test's profile.
///
/// # Panics
/// When it is not there.
pub fn device_binary() -> PathBuf {
    if let Some(path) = env::var_os("WASM_EDGE_DEVICE_BIN") {
        return path.into();
    }
    let profile = profile_folder();
    let profile = profile.file_name().expect("a profile has a name");
    let binary = target().join("device").join(profile).join("wasm-edge");
    assert!(
        binary.exists(),
        "`{}` is not there: `make device` makes it",
        binary.display()
    );
    binary
}

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the repository")
        .to_owned()
}

/// The folder that everything is built in.
///
/// # Panics
/// When this test's executable does not lie in one.
pub fn target() -> PathBuf {
    let profile = profile_folder();
    let target = profile.parent();
    target
        .expect("a profile's folder lies in the target folder")
        .to_owned()
}

/// The component of a guest of the tests, such as `echo`.
///
/// # Panics
/// When it was not built.
pub fn guest(name: &str) -> PathBuf {
    component("tests", name)
}

/// The component of an example module, such as `heartbeat`.
///
/// # Panics
/// When it was not built.
pub fn example(name: &str) -> PathBuf {
    component("examples", name)
}

/// A component that `bench` measures, such as `load`.
///
/// # Panics
/// When it was not built.
pub fn bench_component(name: &str) -> PathBuf {
    component("bench", name)
}

/// A component in the text form, such as `no-exports`.
///
/// # Panics
/// When there is none of this name.
pub fn text_component(name: &str) -> PathBuf {
    built(repository().join(format!("tests/guests/wat/{name}.wat")))
}

fn component(folder: &str, name: &str) -> PathBuf {
    let components = target().join("guests/components");
    let of_target = components.join(format!("{folder}/{name}.wasm"));
    if of_target.exists() {
        return of_target;
    }
    // The guests' build has its target folder in the repository, wherever that of the host is.
    built(repository().join(format!("target/guests/components/{folder}/{name}.wasm")))
}

fn built(path: PathBuf) -> PathBuf {
    assert!(
        path.exists(),
        "`{}` is not there: `make guests` builds the guests",
        path.display()
    );
    path
}

/// `target/<profile>`, from `target/<profile>/deps/<test>`.
fn profile_folder() -> PathBuf {
    let test = env::current_exe().expect("a process knows its executable");
    test.ancestors()
        .nth(2)
        .expect("a test's executable lies in `deps`")
        .to_owned()
}

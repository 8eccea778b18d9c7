//! The arrows between crates and between the daemon's parts go one way: ARCHITECTURE.md says which.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn host() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("crates lie in `host/`")
        .to_owned()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn crates_depend_only_on_those_that_they_may() {
    let allowed: [(&str, &[&str]); 10] = [
        ("model", &[]),
        ("clock", &[]),
        ("net", &["model"]),
        ("runtime", &["model", "clock"]),
        ("store", &["model"]),
        ("router", &["model", "clock", "store"]),
        // Its own tests start registries, real and hostile ones, as the black-box tests do.
        ("images", &["model", "net", "store", "tests"]),
        ("hub", &["model", "net", "store"]),
        (
            "daemon",
            &[
                "model", "clock", "net", "runtime", "router", "images", "store",
            ],
        ),
        ("cli", &["model", "net", "daemon", "images", "hub"]),
    ];
    for (name, allowed) in allowed {
        let manifest = fs::read_to_string(host().join(name).join("Cargo.toml")).unwrap();
        let found: BTreeSet<&str> = manifest
            .lines()
            .filter_map(|line| line.strip_prefix("wasm-edge-"))
            .filter_map(|rest| rest.split(['.', ' ', '=']).next())
            .collect();
        // A crate may name itself: its tests switch on a feature of it.
        let allowed: BTreeSet<&str> = allowed.iter().copied().chain([name]).collect();
        assert!(
            found.is_subset(&allowed),
            "{name} depends on {found:?}, and may on {allowed:?}"
        );
    }
}

#[test]
fn only_the_runtime_names_wasmtime() {
    for name in ["model", "store", "router", "images", "hub", "daemon", "cli"] {
        for file in sources(&host().join(name).join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            assert!(
                !text.contains("wasmtime::"),
                "{} names wasmtime",
                file.display()
            );
        }
    }
}

#[test]
fn instances_and_their_messages_are_on_the_clock_that_a_test_bed_can_move() {
    let own_time = [
        "Instant::now()",
        "SystemTime::now()",
        "time::sleep",
        "time::timeout",
        "time::interval",
    ];
    // What a test bed does not run, and the share of the processor, which is of real time.
    let elsewhere = [
        "daemon/src/agent",
        "daemon/src/api",
        "daemon/src/device",
        "daemon/src/measure",
        "daemon/src/testbed",
        "daemon/src/upstream/iothub",
        "runtime/src/measure",
        "runtime/src/instance/store.rs",
    ];
    let mut seen = 0;
    for name in ["runtime", "router", "daemon"] {
        for file in sources(&host().join(name).join("src")) {
            let path = file.strip_prefix(host()).unwrap().to_string_lossy();
            let is_test = path.ends_with("tests.rs") || path.contains("/tests/");
            if is_test || elsewhere.iter().any(|part| path.starts_with(part)) {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            seen += usize::from(code.contains("wasm_edge_clock::"));
            for word in own_time {
                assert!(
                    !code.contains(word),
                    "{path} has `{word}`: time comes from `wasm_edge_clock`"
                );
            }
        }
    }
    assert!(seen > 10, "the clock has another name now");
}

#[test]
fn nobody_in_the_daemon_imports_the_root_or_the_api_and_the_supervisor_knows_no_agent() {
    let forbidden: [(&str, &[&str]); 7] = [
        ("api", &["crate::device"]),
        ("agent", &["crate::device", "crate::api"]),
        (
            "supervisor",
            &["crate::device", "crate::api", "crate::agent"],
        ),
        (
            "upstream",
            &[
                "crate::device",
                "crate::api",
                "crate::agent",
                "crate::supervisor",
            ],
        ),
        (
            "twins",
            &[
                "crate::device",
                "crate::api",
                "crate::agent",
                "crate::supervisor",
            ],
        ),
        (
            "code",
            &[
                "crate::device",
                "crate::api",
                "crate::agent",
                "crate::supervisor",
            ],
        ),
        (
            "logs",
            &[
                "crate::device",
                "crate::api",
                "crate::agent",
                "crate::supervisor",
            ],
        ),
    ];
    let src = host().join("daemon/src");
    let mut seen = 0;
    for file in sources(&src) {
        let part = file
            .strip_prefix(&src)
            .unwrap()
            .components()
            .next()
            .unwrap();
        let part = part.as_os_str().to_string_lossy();
        let part = part.strip_suffix(".rs").unwrap_or(&part);
        let text = fs::read_to_string(&file).unwrap();
        for (_, imports) in forbidden.iter().filter(|(name, _)| *name == part) {
            seen += 1;
            for import in *imports {
                assert!(
                    !text.contains(import),
                    "{} imports `{import}`",
                    file.display()
                );
            }
        }
    }
    assert!(seen > forbidden.len(), "the parts have other names now");
}

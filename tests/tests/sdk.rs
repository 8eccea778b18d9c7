//! The official Azure SDKs for Python, unmodified, against `wasm-edge hub serve` on its default ports and name.
//!
//! What they do and what is expected of it is said in Python, in `tests/sdk`. Here they are installed from PyPI once,
//! and run in namespaces of their own, where the SDKs' fixed ports 8883 and 443 are free and may be taken by anybody.
//! Nothing of it is ever left out: where something is missing, this fails and says what.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use wasm_edge_tests::home::Home;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::{paths, python};

/// Where the tests of the SDKs are.
fn folder() -> PathBuf {
    paths::repository().join("tests/sdk")
}

/// The names of the test functions in the sources.
fn functions() -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder()).expect("the folder of the tests can be listed") {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("test_") && name.ends_with(".py") {
            let source = fs::read_to_string(&path).expect("a test can be read");
            let defined = source
                .lines()
                .filter_map(|line| line.strip_prefix("def test_"));
            found.extend(defined.map(|rest| {
                let function = rest.split('(').next().unwrap_or_default();
                format!("{name}::test_{function}")
            }));
        }
    }
    found
}

#[test]
fn the_official_sdks_work_with_the_hub() {
    python::check_namespaces();
    let interpreter = python::interpreter();
    let home = Home::new();
    let report = home.path().join("report.ndjson");
    let outcome: Outcome = home
        .program("unshare", ["--user", "--map-root-user", "--net", "--"])
        .arg(interpreter)
        .arg(folder().join("run.py"))
        .env("WASM_EDGE_BIN", paths::binary())
        .env("WASM_EDGE_SDK_REPORT", &report)
        .envs(std::env::var_os("UPDATE_SNAPSHOTS").map(|value| ("UPDATE_SNAPSHOTS", value)))
        .env("TMPDIR", home.path())
        .output()
        .expect("`unshare` was started before")
        .into();
    let report = fs::read_to_string(report).unwrap_or_default();
    let mut not_passed = Vec::new();
    let mut ran = Vec::new();
    for line in report.lines() {
        let told: Value = serde_json::from_str(line).expect("each line of the report is JSON");
        let name = told["test"].as_str().expect("a test has a name").to_owned();
        println!("{} {name} {}", told["outcome"], told["seconds"]);
        if told["outcome"] != "passed" {
            not_passed.push(name.clone());
        }
        ran.push(name);
    }
    assert!(
        outcome.status == Some(0) && not_passed.is_empty(),
        "not passed: {not_passed:#?}\n{}\n{}",
        outcome.stdout,
        outcome.stderr
    );
    for function in functions() {
        assert!(
            ran.iter()
                .any(|name| name.split('[').next() == Some(&function)),
            "`{function}` did not run"
        );
    }
}

//! Compiled code is made once, found again, and never trusted because it lies in the right place.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::paths::guest;
use wasm_edge_tests::run::{Run, RunOptions};

/// Three modules of two components.
fn deployment() -> Deployment {
    Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("echo"))
        .module(Module::guest("echo").named("second"))
        .pass("feed/out", "echo/in")
        .pass("feed/out", "second/in")
        .upstream("echo")
        .upstream("second")
}

/// The files of compiled code that end so, sorted.
fn files(home: &Home, ending: &str) -> Vec<PathBuf> {
    let folder = home.in_data("precompiled/native64-1");
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    files.sort();
    files
}

/// What would change if a file were written again.
fn stamps(files: &[PathBuf]) -> Vec<(u64, i64, i64, u64)> {
    let stamp = |file: &PathBuf| {
        let metadata = fs::metadata(file).unwrap();
        (
            metadata.ino(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.size(),
        )
    };
    files.iter().map(stamp).collect()
}

/// The one component's compiled code in a home in which it ran once, and its record.
fn compiled(home: &Home, component: &str) -> (PathBuf, PathBuf) {
    let messages = home.write_lines("in", &[json!({ "body": 1 })]);
    let ended = RunOptions::new(&guest(component))
        .args(["--input"])
        .args([messages])
        .to_end(home)
        .ok();
    assert_eq!(ended.stderr.matches("compiled ").count(), 1, "{ended:#?}");
    let [code] = &files(home, "cwasm")[..] else {
        panic!("one component has one file")
    };
    (code.clone(), code.with_extension("json"))
}

/// Runs `echo` where its compiled code was changed: it is noticed, made anew, and `echo` does what it does.
fn check_made_anew(home: &Home, code: &PathBuf, original: &[u8]) {
    let changed = stamps(std::slice::from_ref(code));
    let messages = home.write_lines("in", &[json!({ "body": { "still": "echo" } })]);
    let ended = RunOptions::new(&guest("echo"))
        .args(["--input"])
        .args([messages])
        .to_end(home)
        .ok()
        .says(&[
            "compiled code is not usable and is made anew",
            "compiled echo in",
        ]);
    assert!(
        ended
            .stdout
            .contains(r#""output":"out","text":"{\"still\":\"echo\"}""#),
        "{ended:#?}"
    );
    assert_ne!(stamps(std::slice::from_ref(code)), changed);
    assert!(
        fs::read(code).unwrap() == original,
        "what was made anew is what it was"
    );
}

#[test]
fn the_second_start_compiles_nothing_and_writes_no_code() {
    let home = Home::new();
    let manifest = deployment().write(&home);
    let run = Run::of(&home, &manifest);
    assert_eq!(
        run.components_compiled(),
        2,
        "one image under two names is compiled once"
    );
    run.interrupt().ok().says(&["compiled "]);
    let files_before = [files(&home, "cwasm"), files(&home, "json")].concat();
    assert_eq!(files_before.len(), 4);
    let before = stamps(&files_before);

    let run = Run::of(&home, &manifest);
    assert_eq!(run.components_compiled(), 0);
    run.send(&json!([{ "body": { "n": 1 } }]));
    for module in ["echo", "second"] {
        run.upstream(module, 0, |body| (body["n"] == 1).then_some(()));
    }
    let ended = run.interrupt().ok();
    assert!(!ended.stderr.contains("compiled"), "{}", ended.stderr);
    assert_eq!(
        [files(&home, "cwasm"), files(&home, "json")].concat(),
        files_before
    );
    assert_eq!(stamps(&files_before), before);
}

#[test]
fn code_with_a_changed_byte_is_made_anew() {
    let home = Home::new();
    let (code, _) = compiled(&home, "echo");
    let original = fs::read(&code).unwrap();
    let mut bytes = original.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&code, bytes).unwrap();
    check_made_anew(&home, &code, &original);
}

#[test]
fn code_that_was_cut_off_is_made_anew() {
    let home = Home::new();
    let (code, _) = compiled(&home, "echo");
    let original = fs::read(&code).unwrap();
    fs::write(&code, &original[..original.len() / 2]).unwrap();
    check_made_anew(&home, &code, &original);
}

#[test]
fn a_record_that_was_made_to_fit_other_code_is_not_believed() {
    let home = Home::new();
    let (code, record) = compiled(&home, "echo");
    let original = fs::read(&code).unwrap();
    let other_home = Home::new();
    let (other_code, other_record) = compiled(&other_home, "whoami");
    let read = |path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    // Valid code of another component, and a record whose hash and size are those of that code.
    let mut forged = read(&record);
    let other = read(&other_record);
    for key in ["code_sha256", "code_size_bytes"] {
        assert_ne!(forged[key], other[key]);
        forged[key] = other[key].clone();
    }
    fs::copy(&other_code, &code).unwrap();
    fs::write(&record, forged.to_string()).unwrap();
    check_made_anew(&home, &code, &original);
}

#[test]
fn a_record_of_another_device_is_not_believed() {
    let home = Home::new();
    let (code, record) = compiled(&home, "echo");
    let original = fs::read(&code).unwrap();
    let other_home = Home::new();
    let (_, other_record) = compiled(&other_home, "echo");
    assert_ne!(fs::read(&record).unwrap(), fs::read(&other_record).unwrap());
    fs::copy(&other_record, &record).unwrap();
    check_made_anew(&home, &code, &original);
}

//! The data folder: which one is taken, who may use it, and what is damaged or foreign in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::process::Process;
use wasm_edge_tests::run::{Run, RunOptions};
use wasm_edge_tests::wait;

fn manifest(home: &Home) -> std::path::PathBuf {
    Deployment::new()
        .module(Module::guest("twin-echo").desired(json!({ "x": 1 })))
        .write(home)
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn without_a_named_folder_each_manifest_has_its_own_and_verbs_find_it() {
    let home = Home::new();
    let one = manifest(&home);
    let other = Deployment::new()
        .module(Module::guest("echo"))
        .write_as(&home, "other.json");
    let start = |file: &Path| {
        let command = home.command([Path::new("run"), file]);
        Process::start(command)
    };
    let list = || home.verb(&["list", "--output", "json"]);
    let runs = |expected: usize| {
        wait::until_so("so many devices to run", || {
            let listed = list();
            match expected {
                0 => listed.status == Some(3),
                1 => listed.status == Some(0) && listed.json()["modules"][0]["ready"] == true,
                _ => listed.status == Some(5),
            }
        });
    };
    list().ended_with(3).says(&["wasm-edge run"]);
    let first = start(&one);
    runs(1);
    home.verb(&["twin", "patch", "twin-echo", r#"{"x": 2}"#])
        .ok();
    let second = start(&other);
    runs(2);
    let folder = home.path().join("share/wasm-edge/run");
    assert_eq!(names(&folder).len(), 2);
    list().says(&["--data-dir"]);

    // Those that were killed are not found any more.
    drop(second);
    runs(1);
    drop(first);
    runs(0);

    // The same manifest finds what it left.
    let _first = start(&one);
    runs(1);
    let twin = home.verb(&["twin", "get", "twin-echo", "--desired"]).ok();
    assert_eq!(twin.json()["x"], 2);
    assert_eq!(names(&folder).len(), 2);
}

#[test]
fn the_folder_and_what_is_secret_in_it_is_its_owner_s_alone() {
    let home = Home::new();
    let run = Run::of(&home, &manifest(&home));
    let mode = |path: &str| {
        let metadata = fs::metadata(home.in_data(path)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(""), 0o700);
    for folder in ["hub", "precompiled", "devices/d1/keys", "devices/d1/store"] {
        assert_eq!(mode(folder), 0o700, "{folder}");
    }
    for file in [
        "format",
        "lock",
        "control.sock",
        "hub/hub.redb",
        "devices/d1/keys/master.key",
        "devices/d1/store/device.redb",
    ] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    run.interrupt().ok();
    assert_eq!(
        fs::read_to_string(home.in_data("format")).unwrap().trim(),
        "wasm-edge-data 1"
    );
}

#[test]
fn a_folder_of_other_things_is_refused_and_left_alone() {
    let home = Home::new();
    let manifest = manifest(&home);
    fs::create_dir(home.data()).unwrap();
    fs::write(home.in_data("thesis.txt"), "years of work").unwrap();
    let ended = RunOptions::new(&manifest).to_end(&home);
    ended.ended_with(1).says(&["cannot use the data folder"]);
    assert_eq!(names(&home.data()), ["thesis.txt"]);
}

#[test]
fn a_folder_of_a_later_format_is_refused_and_left_alone() {
    let home = Home::new();
    let manifest = manifest(&home);
    Run::of(&home, &manifest).interrupt().ok();
    let before = names(&home.data());
    fs::write(home.in_data("format"), "wasm-edge-data 2\n").unwrap();
    let ended = RunOptions::new(&manifest).to_end(&home);
    ended
        .ended_with(1)
        .says(&["cannot use the data folder", "2"]);
    assert_eq!(names(&home.data()), before);
    assert_eq!(
        fs::read_to_string(home.in_data("format")).unwrap(),
        "wasm-edge-data 2\n"
    );
}

#[test]
fn a_damaged_database_is_kept_beside_and_told_and_the_device_runs() {
    let home = Home::new();
    let manifest = manifest(&home);
    Run::of(&home, &manifest).interrupt().ok();
    for file in ["hub/hub.redb", "devices/d1/store/device.redb"] {
        let damaged = home.in_data(file);
        let mut bytes = fs::read(&damaged).unwrap();
        let length = bytes.len();
        bytes[..length / 2].fill(0xa5);
        fs::write(&damaged, &bytes).unwrap();

        let run = Run::of(&home, &manifest);
        run.wait_reported("twin-echo", "/x", &json!(1));
        run.interrupt().ok().says(&["damaged"]);
        let kept = fs::read(home.in_data(&format!("{file}.damaged-1"))).unwrap();
        assert!(kept == bytes, "{file} is kept as it was");
    }
}

#[test]
fn an_unfinished_file_is_removed_but_not_from_a_module_s_data() {
    let home = Home::new();
    let manifest = manifest(&home);
    Run::of(&home, &manifest).interrupt().ok();
    let left = [
        "hub/.tmp-1",
        "devices/d1/store/.tmp-1",
        "precompiled/native64-1/.tmp-1",
    ];
    let own = "devices/d1/modules/twin-echo/data/.tmp-1";
    for file in left.iter().chain([&own]) {
        fs::write(home.in_data(file), "half").unwrap();
    }
    Run::of(&home, &manifest).interrupt().ok();
    for file in left {
        assert!(!home.in_data(file).exists(), "{file}");
    }
    assert!(home.in_data(own).exists());
}

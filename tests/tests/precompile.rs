//! Compiled code that is made before a device starts, for one that has no compiler.

use std::fs;

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::paths::guest;
use wasm_edge_tests::run::Run;

/// Two modules of one component, and one of another.
fn deployment() -> Deployment {
    Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("echo"))
        .module(Module::guest("echo").named("second"))
        .pass("feed/out", "echo/in")
        .upstream("echo")
}

/// Runs `precompile` for the home's data folder.
fn precompile(home: &Home, args: &[&str]) -> Outcome {
    let data = home.data();
    let data = ["--data-dir", data.to_str().unwrap()];
    home.verb(&[&["precompile"], args, &data].concat())
}

/// How many components have compiled code.
fn count(home: &Home) -> usize {
    let entries = fs::read_dir(home.in_data("precompiled/native64-1")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().ends_with(".cwasm"))
        .count()
}

#[test]
fn a_device_compiles_nothing_of_what_was_precompiled() {
    let home = Home::new();
    let manifest = deployment().write(&home);
    let file = manifest.to_str().unwrap();
    let outcome = precompile(&home, &[file, "--output", "json"])
        .ok()
        .says(&["compiled echo in", "compiled feed in"]);
    let lines = |outcome: &Outcome| -> Vec<(Value, Value)> {
        let report = outcome.json();
        assert_eq!(report["profile"], "native64-1");
        let images = report["images"].as_array().unwrap().iter();
        images
            .map(|line| (line["modules"].clone(), line["origin"].clone()))
            .collect()
    };
    let with_origin = |origin: &str| {
        [
            (json!(["echo", "second"]), json!(origin)),
            (json!(["feed"]), json!(origin)),
        ]
    };
    assert_eq!(lines(&outcome), with_origin("compiled"));
    let again = precompile(&home, &[file, "--output", "json"]).ok();
    assert_eq!(lines(&again), with_origin("found"));
    assert_eq!(again.stderr, "");

    let run = Run::of(&home, &manifest);
    assert_eq!(run.components_compiled(), 0);
    run.interrupt().ok();
}

#[test]
fn images_are_found_below_the_boards_root_and_beside_the_manifest() {
    let home = Home::new();
    let board = home.path().join("board/opt/modules");
    fs::create_dir_all(&board).unwrap();
    fs::copy(guest("echo"), board.join("echo.wasm")).unwrap();
    fs::copy(guest("feed"), home.path().join("feed.wasm")).unwrap();
    let manifest = Deployment::new()
        .module(Module::of("echo", "/opt/modules/echo.wasm".as_ref()))
        .module(Module::of("feed", "feed.wasm".as_ref()))
        .write(&home);
    let file = manifest.to_str().unwrap();

    let refused = precompile(&home, &[file]).ended_with(78).says(&[
        "echo: no file `/opt/modules/echo.wasm`",
        "1 of 2 images cannot be compiled",
        "hint: ",
    ]);
    assert_eq!(refused.stdout, "");
    assert_eq!(count(&home), 1, "the other one is compiled all the same");

    precompile(&home, &[file, "--root", "board"]).ok();
    assert_eq!(count(&home), 2);
}

#[test]
fn code_of_other_images_stays_until_it_is_to_go() {
    let home = Home::new();
    let (echo, feed) = (guest("echo"), guest("feed"));
    precompile(&home, &[echo.to_str().unwrap()]).ok();
    precompile(&home, &[feed.to_str().unwrap()]).ok();
    assert_eq!(count(&home), 2);
    precompile(&home, &[feed.to_str().unwrap(), "--prune"]).ok();
    assert_eq!(count(&home), 1);
    let left = precompile(&home, &[feed.to_str().unwrap(), "--output", "json"]).ok();
    assert_eq!(left.json()["images"][0]["origin"], "found");
}

#[test]
fn what_cannot_be_compiled_is_refused_by_name_and_prunes_nothing() {
    let home = Home::new();
    let echo = guest("echo");
    let echo = echo.to_str().unwrap();
    precompile(&home, &[echo]).ok();
    let broken = home.write("broken.wasm", b"\0asm\x0d\0\x01\0nothing of the kind");
    let broken = broken.to_str().unwrap();
    precompile(&home, &[broken, "--prune"])
        .ended_with(78)
        .says(&[broken, "1 of 1 image cannot be compiled"]);
    let registry = Deployment::new().module(Module::of("far", "x.wasm".as_ref()));
    let text = registry.json().to_string();
    // Nobody listens there.
    let text = text.replace("file:x.wasm", "127.0.0.1:1/far:1");
    let manifest = home.write("far.json", text);
    precompile(&home, &[manifest.to_str().unwrap()])
        .ended_with(9)
        .says(&["far: cannot pull the image `127.0.0.1:1/far:1`"]);
    let faulty = home.write("faulty.json", "{");
    precompile(&home, &[faulty.to_str().unwrap()]).ended_with(78);
    precompile(&home, &["no-such.json"]).ended_with(4);
    assert_eq!(count(&home), 1);
}

#[test]
fn the_folder_is_named_and_not_another_processs() {
    let home = Home::new();
    let manifest = deployment().write(&home);
    let file = manifest.to_str().unwrap();
    home.verb(&["precompile", file])
        .ended_with(2)
        .says(&["the data folder of the device is not given", "--data-dir"]);
    let run = Run::of(&home, &manifest);
    precompile(&home, &[file])
        .ended_with(1)
        .says(&["is in use"]);
    run.interrupt().ok();
}

//! What is refused before anything runs: bad manifests and images that cannot be modules, each by name.

use serde_json::json;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::paths;
use wasm_edge_tests::run::{Run, RunOptions};

/// Runs a module whose image is this file; it must be refused with these texts and nothing left running.
fn refused(home: &Home, image: &std::path::Path, texts: &[&str]) {
    let manifest = Deployment::new()
        .module(Module::of("odd", image))
        .module(Module::guest("echo"))
        .write(home);
    let outcome = RunOptions::new(&manifest).to_end(home).ended_with(78);
    let outcome = outcome
        .says(&["odd: ", "the deployment was not applied"])
        .says(texts);
    assert!(!outcome.stdout.contains("ready"), "{}", outcome.stdout);
}

#[test]
fn images_that_cannot_be_modules_are_refused_by_name() {
    let home = Home::new();
    refused(
        &home,
        &home.path().join("absent.wasm"),
        &["no file", "absent.wasm", "hint:"],
    );
    let text = home.write("text.wasm", "not WebAssembly at all");
    refused(&home, &text, &["text.wasm"]);
    let empty = home.write("empty.wasm", "");
    refused(&home, &empty, &["empty.wasm"]);
    // The preamble of a core module and nothing behind it: a valid, empty module.
    let core = home.write("core.wasm", b"\0asm\x01\0\0\0");
    refused(&home, &core, &["core module", "component"]);
    refused(&home, home.path(), &["is not a file"]);
    refused(&home, &paths::guest("sockets"), &["wasi:sockets"]);
    refused(
        &home,
        &paths::guest("both-kinds"),
        &["wasi:cli/run", "wasm-edge:module/"],
    );
    refused(
        &home,
        &paths::guest("events-in-handler"),
        &["wasm-edge:module/events"],
    );
}

#[test]
fn a_damaged_component_is_refused_and_the_compiler_survives() {
    let home = Home::new();
    let whole = std::fs::read(paths::guest("echo")).unwrap();
    let half = home.write("half.wasm", &whole[..whole.len() / 2]);
    refused(&home, &half, &["cannot compile the component"]);
    let mut changed = whole.clone();
    for place in (64..changed.len()).step_by(97) {
        changed[place] ^= 0x55;
    }
    let changed = home.write("changed.wasm", changed);
    refused(&home, &changed, &["cannot compile the component"]);
}

#[test]
fn all_faults_of_a_manifest_are_told_with_their_places() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(
            Module::guest("echo")
                .set("restartPolicy", "sometimes")
                .set("status", "asleep"),
        )
        .module(Module::guest("say").wasm("memoryLimitBytes", "much"))
        .route("wrong", "FROM /messages/* INTO nowhere")
        .route(
            "filtered",
            "FROM /messages/* WHERE temperature > 30 INTO $upstream",
        )
        .write(&home);
    let outcome = RunOptions::new(&manifest).to_end(&home).ended_with(78);
    outcome.says(&[
        "restartPolicy",
        "sometimes",
        "status",
        "asleep",
        "memoryLimitBytes",
        "routes.wrong",
        "routes.filtered",
        "as_number(temperature) > 30",
        "line ",
        "has 5 faults",
    ]);
}

#[test]
fn a_bad_manifest_leaves_what_was_applied_before_as_it_was() {
    let home = Home::new();
    let deployment =
        |x: u64| Deployment::new().module(Module::guest("twin-echo").desired(json!({ "x": x })));
    let manifest = deployment(1).write(&home);
    let run = Run::of(&home, &manifest);
    run.wait_reported("twin-echo", "/x", &json!(1));
    run.interrupt().ok();

    deployment(2).route("wrong", "nonsense").write(&home);
    RunOptions::new(&manifest).to_end(&home).ended_with(78);
    let missing = Module::of("missing", &home.path().join("absent.wasm"));
    deployment(3).module(missing).write(&home);
    RunOptions::new(&manifest).to_end(&home).ended_with(78);

    deployment(1).write(&home);
    let run = Run::of(&home, &manifest);
    assert_eq!(run.twin("twin-echo")["properties"]["desired"]["x"], 1);
    assert_eq!(run.components_compiled(), 0);
    run.interrupt().ok();
}

#[test]
fn what_is_never_granted_is_refused_whatever_the_manifest_says() {
    let home = Home::new();
    for path in ["/", "/proc", "/sys", "/dev", "/proc/self", "/proc/1"] {
        let module = Module::guest("proc-mem").wasm("grants", json!([{ "folder": path }]));
        let manifest = Deployment::new().module(module).write(&home);
        RunOptions::new(&manifest)
            .to_end(&home)
            .ended_with(78)
            .says(&["grants", path]);
    }
    for path in ["/proc/self/mem", "/proc/1/mem", "/dev/mem"] {
        let module = Module::guest("proc-mem").wasm("grants", json!([{ "file": path }]));
        let manifest = Deployment::new().module(module).write(&home);
        RunOptions::new(&manifest)
            .to_end(&home)
            .ended_with(78)
            .says(&["grants", path]);
    }
}

#[test]
fn options_of_a_single_component_are_refused_with_a_manifest() {
    let home = Home::new();
    let manifest = Deployment::new().module(Module::guest("echo")).write(&home);
    RunOptions::new(&manifest)
        .args(["--name", "x"])
        .to_end(&home)
        .ended_with(2)
        .says(&["--name", "hint:"]);
}

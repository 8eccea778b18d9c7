//! What lasts: identities and twins after a restart, after kill -9 at any moment, and after a changed manifest.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{Run, RunOptions};

/// What of identity and twin has to be the same after a restart.
fn lasting(run: &Run<'_>, module: &str) -> Value {
    let identity = run.get(&format!("/devices/d1/modules/{module}"));
    let twin = run.twin(module);
    json!({
        "generationId": identity["generationId"],
        "keys": identity["authentication"]["symmetricKey"],
        "identityEtag": identity["etag"],
        "desired": twin["properties"]["desired"],
        "reported": twin["properties"]["reported"],
        "twinEtag": twin["etag"],
        "version": twin["version"],
        "tags": twin["tags"],
    })
}

fn deployment(x: u64) -> Deployment {
    Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("twin-echo").desired(json!({ "x": x })))
        .pass("feed/out", "twin-echo/in")
        .upstream("twin-echo")
}

#[test]
fn identity_and_twin_are_the_same_after_a_restart_and_after_kill_9() {
    let home = Home::new();
    let manifest = deployment(1).write(&home);
    let run = Run::of(&home, &manifest);
    run.wait_reported("twin-echo", "/x", &json!(1));
    run.verb(&[
        "twin",
        "patch",
        "--tags",
        "twin-echo",
        r#"{"site": "north"}"#,
    ])
    .ok();
    let first = lasting(&run, "twin-echo");
    assert_eq!(first["tags"]["site"], "north");
    run.interrupt().ok();

    let run = Run::of(&home, &manifest);
    assert_eq!(lasting(&run, "twin-echo"), first);
    run.kill();
    let run = Run::of(&home, &manifest);
    assert_eq!(lasting(&run, "twin-echo"), first);
    run.interrupt().ok();
}

#[test]
fn starting_again_does_not_undo_a_twin_patch_but_a_reapply_or_a_changed_manifest_does() {
    let home = Home::new();
    let manifest = deployment(1).write(&home);
    let run = Run::of(&home, &manifest);
    run.patch("twin-echo", &json!({ "x": 5, "extra": true }));
    run.wait_reported("twin-echo", "/x", &json!(5));
    run.interrupt().ok();

    let run = Run::of(&home, &manifest);
    assert_eq!(run.twin("twin-echo")["properties"]["desired"]["x"], 5);
    run.interrupt().ok();

    let run = RunOptions::new(&manifest).args(["--reapply"]).start(&home);
    run.wait_running();
    let desired = run.twin("twin-echo")["properties"]["desired"].clone();
    assert_eq!(
        (&desired["x"], &desired["extra"]),
        (&json!(1), &Value::Null),
        "{desired}"
    );
    run.patch("twin-echo", &json!({ "x": 6 }));
    run.interrupt().ok();

    deployment(7).write(&home);
    let run = Run::of(&home, &manifest);
    assert_eq!(run.twin("twin-echo")["properties"]["desired"]["x"], 7);
    run.wait_reported("twin-echo", "/x", &json!(7));
    run.interrupt().ok();
}

#[test]
fn a_patch_made_before_all_modules_were_ready_is_not_undone_either() {
    let home = Home::new();
    let manifest = deployment(1)
        .module(Module::guest("ready-late"))
        .write(&home);
    let run = RunOptions::new(&manifest).start(&home);
    run.wait_module("twin-echo", |module| module["ready"] == true);
    run.patch("twin-echo", &json!({ "x": 5 }));
    run.interrupt().ok();
    let run = RunOptions::new(&manifest).start(&home);
    run.wait_module("twin-echo", |module| module["ready"] == true);
    assert_eq!(run.twin("twin-echo")["properties"]["desired"]["x"], 5);
    run.interrupt().ok();
}

#[test]
fn a_hub_that_lost_its_store_gets_the_twins_of_the_deployment_again() {
    let home = Home::new();
    let manifest = deployment(1).write(&home);
    let run = Run::of(&home, &manifest);
    run.wait_reported("twin-echo", "/x", &json!(1));
    run.interrupt().ok();
    std::fs::remove_dir_all(home.in_data("hub")).unwrap();
    let run = Run::of(&home, &manifest);
    assert_eq!(run.twin("twin-echo")["properties"]["desired"]["x"], 1);
    // The device still has what was reported, and brings it to the new hub.
    run.wait_reported("twin-echo", "/x", &json!(1));
    run.interrupt().ok();
}

#[test]
fn something_foreign_among_the_compiled_code_harms_nothing() {
    let home = Home::new();
    let manifest = deployment(1).write(&home);
    Run::of(&home, &manifest).interrupt().ok();
    std::fs::create_dir(home.in_data("precompiled/native64-1/odd")).unwrap();
    let run = Run::of(&home, &manifest);
    assert_eq!(run.components_compiled(), 0);
    run.interrupt().ok();
}

#[test]
fn what_a_module_was_told_is_stored_is_there_after_kill_9_at_any_moment() {
    let home = Home::new();
    let manifest = deployment(1).write(&home);
    let mut told = 0_u64;
    // The last round only looks at what the one before left.
    for round in 0..=10_u64 {
        let run = Run::of(&home, &manifest);
        // The device holds it; the hub hears of what it missed soon after the start.
        let twin = run.wait_twin("twin-echo", |twin| number(twin) >= told);
        let reported = number(&twin);
        if round == 10 {
            break;
        }
        // The guest says on its output what it was told is stored; the process is killed in the middle of it.
        let orders: Vec<Value> = (1..=60)
            .map(|n| json!({ "body": { "n": reported + n } }))
            .collect();
        run.send(&json!(orders));
        let stop_at = reported + 1 + (round * 7) % 23;
        run.upstream("twin-echo", 0, |body| {
            let n = said(body)?;
            (n >= stop_at).then_some(())
        });
        let ended = run.kill();
        let lines: Vec<String> = ended
            .stdout
            .lines()
            .filter(|line| line.ends_with('}'))
            .map(str::to_owned)
            .collect();
        let last = wasm_edge_tests::run::bodies(&lines, "twin-echo")
            .iter()
            .filter_map(said)
            .max();
        told = last.expect("at least one was told");
    }
}

/// The number that the hub knows as reported, 0 without one.
fn number(twin: &Value) -> u64 {
    let number = twin["properties"]["reported"]["n"].as_u64();
    number.unwrap_or(0)
}

/// The number that the guest says it has reported, if the report was taken.
fn said(body: &Value) -> Option<u64> {
    let reported: Value = serde_json::from_str(body["reported"].as_str()?).ok()?;
    body["error"].is_null().then_some(())?;
    reported["n"].as_u64()
}

//! Which modules run: what ends well, what is not to run, and what others wait for.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::RunOptions;

#[test]
fn a_program_that_ended_well_starts_again_only_under_always() {
    let home = Home::new();
    let policies = ["never", "on-failure", "on-unhealthy", "always"];
    let mut deployment = Deployment::new().module(Module::guest("feed"));
    for policy in policies {
        let program = Module::guest("program-loop")
            .named(policy)
            .set("restartPolicy", policy);
        deployment = deployment
            .module(program)
            .pass(&format!("feed/{policy}"), &format!("{policy}/in"));
    }
    let run = RunOptions::new(&deployment.write(&home))
        .args(["--restart-wait", "20ms"])
        .start(&home);
    run.wait_running();
    let exit =
        |policy: &str| json!({ "output": policy, "properties": { "do": "exit", "code": "0" } });
    run.send(&json!(policies.map(exit)));
    for policy in ["never", "on-failure", "on-unhealthy"] {
        let module = run.wait_module(policy, |module| module["status"] == "stopped");
        let seen = (&module["restartCount"], &module["exitCode"]);
        assert_eq!(seen, (&json!(0), &json!(0)), "{module}");
    }
    let module = run.wait_module("always", |module| {
        module["restartCount"] == 1 && module["status"] == "running"
    });
    assert_eq!(module["exitCode"], 0, "{module}");
    run.interrupt().ok();
}

#[test]
fn the_wait_before_a_restart_doubles() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("init-fails").env("REASON", "no"))
        .write(&home);
    let run = RunOptions::new(&manifest)
        .args(["--restart-wait", "1s"])
        .start(&home);
    for wait in ["1 s", "2 s", "4 s"] {
        run.wait_log("init-fails", &format!("starts again in {wait}"));
    }
    let module = run.wait_module("init-fails", |module| module["restartCount"] == 2);
    assert_eq!(
        (&module["status"], &module["ready"]),
        (&json!("backoff"), &json!(false))
    );
    // A restart by hand does not wait, and begins anew.
    run.restart("init-fails");
    run.wait_module("init-fails", |module| module["restartCount"] == 3);
    run.interrupt().ok();
}

#[test]
fn a_module_that_is_not_to_run_has_identity_and_twin_and_no_instance() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(
            Module::guest("echo")
                .set("status", "stopped")
                .desired(json!({ "x": 1 })),
        )
        .module(Module::guest("say"))
        .write(&home);
    let run = RunOptions::new(&manifest).start(&home);
    run.wait_running();
    let module = run.module("echo");
    let seen = (
        &module["status"],
        &module["lastStartTime"],
        &module["memoryBytes"],
    );
    assert_eq!(
        seen,
        (&json!("stopped"), &Value::Null, &json!(0)),
        "{module}"
    );
    assert_eq!(run.twin("echo")["properties"]["desired"]["x"], 1);
    assert!(run.get("/devices/d1/modules/echo")["generationId"].is_string());
    let ended = run.interrupt().ok();
    let of_it = |line: &&str| line.contains("\"module\":\"echo\"");
    assert_eq!(ended.stdout.lines().find(of_it), None);
}

#[test]
fn a_module_whose_init_failed_does_not_keep_later_ones_waiting() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(
            Module::guest("init-fails")
                .env("REASON", "no")
                .set("startupOrder", 1),
        )
        .module(Module::guest("echo").set("startupOrder", 2))
        .write(&home);
    let run = RunOptions::new(&manifest).start(&home);
    run.wait_module("echo", |module| module["ready"] == true);
    run.interrupt()
        .ok()
        .says(&["init-fails is not ready; the others go on"]);
}

#[test]
fn a_module_that_is_not_ready_gets_no_message_missed_and_shows_it() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("feed").set("startupOrder", 1))
        .module(Module::guest("ready-late").set("startupOrder", 2))
        .pass("feed/out", "ready-late/in")
        .upstream("ready-late")
        .write(&home);
    let run = RunOptions::new(&manifest).start(&home);
    let module = run.wait_module("ready-late", |module| module["status"] == "running");
    assert_eq!(module["ready"], false, "{module}");
    run.wait_module("feed", |module| module["ready"] == true);
    run.send(&json!([{}]));
    run.upstream("ready-late", 0, |body| (body == "ready").then_some(()));
    run.wait_module("ready-late", |module| module["ready"] == true);
    run.interrupt().ok();
}

//! `deploy apply` and `deploy show`: a running device gets another deployment, keeps what is the same, and is not
//! harmed by what cannot run.

use serde_json::json;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::run::{Run, RunOptions};

fn apply(run: &Run<'_>, home: &Home, deployment: &Deployment) -> Outcome {
    let file = deployment.write_as(home, "next.json");
    run.verb(&["deploy", "apply", &file.display().to_string()])
}

fn echo_and(other: Module) -> Deployment {
    Deployment::new()
        .module(Module::guest("echo"))
        .module(other)
}

#[test]
fn only_what_changed_is_touched_and_show_prints_what_runs() {
    let home = Home::new();
    let run = Run::of(&home, &echo_and(Module::guest("say")).write(&home));
    run.wait_running();
    let started = run.module("echo")["lastStartTime"].clone();

    let outcome = apply(&run, &home, &echo_and(Module::guest("whoami"))).ok();
    assert!(
        outcome.stdout.contains("applied and healthy"),
        "{outcome:?}"
    );
    let names: Vec<_> = run.modules().iter().map(|m| m["module"].clone()).collect();
    assert_eq!(names, [json!("echo"), json!("whoami")]);
    assert_eq!(run.module("echo")["lastStartTime"], started);

    let shown = run.verb(&["deploy", "show"]).ok();
    let modules = &shown.json()["modulesContent"]["$edgeAgent"]["properties.desired"]["modules"];
    assert!(
        modules.get("whoami").is_some() && modules.get("say").is_none(),
        "{modules}"
    );
    // What was shown can be applied: it changes nothing.
    let file = home.write("shown.json", &shown.stdout);
    run.verb(&["deploy", "apply", &file.display().to_string()])
        .ok();
    assert_eq!(run.module("whoami")["restartCount"], 0);
    assert_eq!(run.module("echo")["lastStartTime"], started);
    run.interrupt().ok();
}

#[test]
fn what_cannot_run_changes_no_twin_and_no_module() {
    let home = Home::new();
    let run = Run::of(&home, &echo_and(Module::guest("say")).write(&home));
    run.wait_running();
    let before = run.twin("$edgeAgent")["properties"]["desired"]["$version"].clone();
    let started = run.module("say")["lastStartTime"].clone();

    let absent = Module::of("say", &home.path().join("absent.wasm"));
    apply(&run, &home, &echo_and(absent)).ended_with(78).says(&[
        "the deployment was not applied",
        "absent.wasm",
        "nothing was changed",
    ]);
    let odd = Module::guest("say").set("restartPolicy", "sometimes");
    apply(&run, &home, &echo_and(odd))
        .ended_with(78)
        .says(&["restartPolicy", "1 fault"]);
    run.verb(&["deploy", "apply", "nowhere.json"]).ended_with(4);

    assert_eq!(
        run.twin("$edgeAgent")["properties"]["desired"]["$version"],
        before
    );
    assert_eq!(run.module("say")["lastStartTime"], started);
    run.interrupt().ok();
}

#[test]
fn a_deployment_that_does_not_get_healthy_gives_way_and_is_tried_again_when_asked() {
    let home = Home::new();
    let good = echo_and(Module::guest("say"));
    let run = RunOptions::new(&good.write(&home))
        .args(["--health-timeout", "2s"])
        .start(&home);
    // Nothing is written that is there already, but this waits until it is good.
    apply(&run, &home, &good).ok();
    let started = run.module("echo")["lastStartTime"].clone();

    let failing = Module::guest("init-fails")
        .named("say")
        .env("REASON", "no valve");
    let failing = echo_and(failing);
    for _ in 0..2 {
        let outcome = apply(&run, &home, &failing).ended_with(8);
        outcome.says(&["rolled back", "module `say`"]);
    }
    let shown = run
        .verb(&["deploy", "show"])
        .ok()
        .says(&["rolled back"])
        .json();
    let modules = &shown["modulesContent"]["$edgeAgent"]["properties.desired"]["modules"];
    assert!(modules["say"].get("env").is_none(), "{modules}");
    assert_eq!(run.module("say")["ready"], true);
    assert_eq!(run.module("echo")["lastStartTime"], started);

    apply(&run, &home, &good).ok();
    run.interrupt().ok();
}

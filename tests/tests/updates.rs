//! What a new deployment changes while modules run: other code, stopping and starting in place, settings.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::http;
use wasm_edge_tests::paths;
use wasm_edge_tests::run::{DEVICE, Run, RunOptions};
use wasm_edge_tests::wait;

fn start<'a>(home: &'a Home, deployment: &Deployment) -> Run<'a> {
    RunOptions::new(&deployment.write(home))
        .args(["--restart-wait", "1h"])
        .start(home)
}

/// Sets the deployment at the hub, as an operator does.
fn apply(home: &Home, deployment: &Deployment) {
    let path = format!("/devices/{DEVICE}/applyConfigurationContent");
    let answer = http::ask(&home.data(), "POST", &path, Some(&deployment.json()));
    let answer = answer.expect("the run answers");
    assert_eq!(answer.status, 204, "{answer:?}");
}

/// `numbers` to this module named `middle` to `sequence`.
fn chain(middle: Module) -> Deployment {
    Deployment::new()
        .module(Module::guest("numbers"))
        .module(middle.named("middle"))
        .module(Module::guest("sequence"))
        .pass("numbers/out", "middle/in")
        .pass("middle/out", "sequence/in")
}

fn seen(run: &Run<'_>) -> Value {
    run.call("sequence", "seen", &Value::Null).1
}

fn next(run: &Run<'_>) -> Option<u64> {
    seen(run)["next"].as_u64()
}

/// Ends the sending, and sees that each number came once and in order.
fn all_came_once(run: &Run<'_>) {
    let sent = run.call("numbers", "stop", &Value::Null).1["sent"].clone();
    wait::until_so("all messages to arrive", || next(run) >= sent.as_u64());
    assert_eq!(seen(run), json!({ "next": sent, "wrong": null }));
    for module in ["middle", "sequence"] {
        assert_eq!(run.messages(module), json!([sent, 0, 0, 0]), "{module}");
    }
}

/// A component that is another one by its digest and does the same: with an empty custom section at its end.
fn same_again(home: &Home, guest: &str) -> PathBuf {
    let mut bytes = fs::read(paths::guest(guest)).expect("the guest is built");
    bytes.extend([0, 2, 1, b'x']);
    let path = home.path().join(format!("{guest}-again.wasm"));
    fs::write(&path, bytes).expect("it can be written");
    path
}

fn digest(file: &std::path::Path) -> String {
    let bytes = fs::read(file).expect("it is there");
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let mut text = "sha256:".to_owned();
    for byte in digest.as_ref() {
        write!(text, "{byte:02x}").expect("a text can be written to");
    }
    text
}

#[test]
fn a_module_replaced_twenty_times_under_load_handles_each_message_once_and_in_order() {
    let home = Home::new();
    // From handlers to a program and back, and from one to its like.
    let images = [
        paths::guest("echo"),
        same_again(&home, "echo"),
        paths::guest("program-echo"),
        same_again(&home, "program-echo"),
    ];
    let digests = images.each_ref().map(|image| digest(image));
    let version = |n: usize| chain(Module::of("middle", &images[n % images.len()]));
    let run = start(&home, &version(0));
    run.wait_running();
    let before = run.module("numbers")["lastStartTime"].clone();
    for n in 1..=20 {
        let came = next(&run);
        apply(&home, &version(n));
        let module = run.wait_module("middle", |module| {
            module["imageDigest"] == *digests[n % images.len()] && module["ready"] == true
        });
        let seen = (&module["restartCount"], &module["lastExitReason"]);
        assert_eq!(seen, (&json!(0), &json!("stopped")), "{module}");
        // Each version handles some.
        wait::until_so("the messages to go on", || next(&run) > came);
    }
    all_came_once(&run);
    // Nobody else was touched, and the log tells of all versions.
    for other in ["numbers", "sequence"] {
        assert_eq!(run.module(other)["restartCount"], 0);
    }
    assert_eq!(run.module("numbers")["lastStartTime"], before);
    let log = run.verb(&["logs", "middle", "--output", "json"]).ok();
    assert_eq!(log.stdout.matches("updated, image sha256:").count(), 20);
    run.interrupt().ok();
}

#[test]
fn a_module_is_stopped_and_started_in_place_and_goes_on_with_its_queue() {
    let home = Home::new();
    let wanted = |status: &str| chain(Module::guest("echo").set("status", status));
    let run = start(&home, &wanted("running"));
    run.wait_running();
    wait::until_so("some messages", || next(&run) > Some(100));
    let others = |run: &Run<'_>| {
        let started = |name: &str| run.module(name)["lastStartTime"].clone();
        [started("numbers"), started("sequence")]
    };
    let before = others(&run);

    apply(&home, &wanted("stopped"));
    // The instance stops first, then the agent takes on what is wanted.
    let module = run.wait_module("middle", |module| {
        module["status"] == "stopped" && module["desiredStatus"] == "stopped"
    });
    let seen = [
        &module["statusDescription"],
        &module["ready"],
        &module["memoryBytes"],
        &module["exitCode"],
    ];
    assert_eq!(json!(seen), json!(["stopped", false, 0, 0]));
    run.wait_module("middle", |module| {
        module["messagesQueued"].as_u64() > Some(100)
    });
    let path = format!("/v1/modules/{DEVICE}/middle/restart");
    let answer = http::ask(&home.data(), "POST", &path, None).expect("the run answers");
    assert_eq!(answer.status, 409, "{answer:?}");

    apply(&home, &wanted("running"));
    let module = run.wait_module("middle", |module| module["ready"] == true);
    let seen = [&module["desiredStatus"], &module["restartCount"]];
    assert_eq!(json!(seen), json!(["running", 0]), "{module}");
    all_came_once(&run);
    assert_eq!(others(&run), before);
    run.interrupt().ok();
}

#[test]
fn restart_policy_and_health_settings_change_without_a_restart() {
    let home = Home::new();
    let with = |policy: &str, interval_ms: u64| {
        Deployment::new()
            .module(Module::guest("feed"))
            .module(
                Module::guest("health")
                    .set("restartPolicy", policy)
                    .wasm("restartWaitMs", 100)
                    .wasm("healthIntervalMs", interval_ms),
            )
            .pass("feed/out", "health/in")
    };
    let run = start(&home, &with("never", 100));
    run.wait_running();
    run.send(&json!([{ "body": "no water" }]));
    let before = run.wait_module("health", |module| module["status"] == "unhealthy");
    // Other settings that leave it as it is: the same instance goes on and is still unhealthy.
    apply(&home, &with("on-failure", 101));
    let module = run.wait_module("health", |module| module["restartPolicy"] == "on-failure");
    let seen = (&module["status"], &module["lastStartTime"]);
    assert_eq!(seen, (&json!("unhealthy"), &before["lastStartTime"]));
    // A policy that restarts what is unhealthy holds for what is so already.
    apply(&home, &with("on-unhealthy", 101));
    let module = run.wait_module("health", |module| {
        module["restartCount"] == 1 && module["ready"] == true
    });
    let seen = (&module["status"], &module["lastExitReason"]);
    assert_eq!(seen, (&json!("running"), &json!("unhealthy: no water")));
    run.interrupt().ok();
}

#[test]
fn an_update_of_a_module_that_waits_for_its_restart_runs_at_once() {
    let home = Home::new();
    let deployment = |guest: &str| Deployment::new().module(Module::guest(guest).named("m"));
    let failing =
        Deployment::new().module(Module::guest("init-fails").named("m").env("REASON", "no"));
    let run = start(&home, &failing);
    run.wait_log("m", "starts again in 3600 s");
    apply(&home, &deployment("echo"));
    let module = run.wait_module("m", |module| module["ready"] == true);
    let seen = [
        &module["status"],
        &module["restartCount"],
        &module["lastExitReason"],
    ];
    let expected = json!(["running", 0, "init failed: no"]);
    assert_eq!(json!(seen), expected, "{module}");
    run.interrupt().ok();
}

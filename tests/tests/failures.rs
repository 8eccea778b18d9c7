//! Modules that fail: what is said of them, when they come back, and what becomes of their messages.

use serde_json::json;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{Run, RunOptions};

/// `feed`, a guest that gets what it sends, and `echo` beside it to see that the others go on.
fn deployment(guest: Module, name: &str) -> Deployment {
    Deployment::new()
        .module(Module::guest("feed"))
        .module(guest)
        .module(Module::guest("echo"))
        .pass("feed/out", &format!("{name}/in"))
        .pass("feed/echo", "echo/in")
        .upstream(name)
        .upstream("echo")
}

#[test]
fn a_module_that_traps_over_a_message_is_back_at_once_and_the_message_comes_again() {
    let home = Home::new();
    // With the usual wait of ten seconds the test would not end in time if the module waited.
    let manifest = deployment(Module::guest("trap-on"), "trap-on").write(&home);
    let run = RunOptions::new(&manifest)
        .args(["--restart-wait", "5m"])
        .start(&home);
    run.wait_running();
    run.send(
        &json!([{ "properties": { "trap": "1" } }, { "output": "echo", "body": "still here" }]),
    );
    let (answer, _) = run.upstream("trap-on", 0, |body| Some(body.clone()));
    assert_eq!(answer["previousTries"], 1, "{answer}");
    let module = run.wait_module("trap-on", |module| {
        module["restartCount"] == 1 && module["ready"] == true
    });
    assert_eq!(module["exitCode"], 1, "{module}");
    assert_eq!(module["messagesFailed"], 1, "{module}");
    run.wait_log("trap-on", "trapped: ");
    run.upstream("echo", 0, |body| Some(body.clone()));
    assert_eq!(run.module("echo")["restartCount"], 0);
    run.interrupt().ok();
}

#[test]
fn a_poison_message_is_put_aside_after_five_tries_and_those_behind_it_are_handled() {
    let home = Home::new();
    let run = Run::with_quick_restarts(&home, &deployment(Module::guest("trap-on"), "trap-on"));
    run.send(&json!([{ "properties": { "trap": "99", "name": "poison" } }, { "body": "behind" }]));
    let (answer, _) = run.upstream("trap-on", 0, |body| Some(body.clone()));
    assert_eq!(
        answer["previousTries"], 0,
        "the message behind it: {answer}"
    );
    let module = run.inspect("trap-on");
    assert_eq!(module["messagesSetAside"], 1, "{module}");
    let aside = &module["setAside"][0];
    assert_eq!(
        (&aside["tries"], &aside["reason"]),
        (&json!(5), &json!("tries-exhausted")),
        "{aside}"
    );
    assert_eq!(aside["message"]["properties"]["name"], "poison", "{aside}");
    assert_eq!(module["restartCount"], 5, "{module}");
    run.wait_log("trap-on", "put aside, tries-exhausted");
    run.interrupt().ok();
}

#[test]
fn a_rejected_message_goes_aside_at_once_with_the_module_s_reason() {
    let home = Home::new();
    let run = Run::with_quick_restarts(&home, &deployment(Module::guest("reject-on"), "reject-on"));
    run.send(&json!([{ "properties": { "reject": "not mine" } }, { "body": 1 }]));
    run.upstream("reject-on", 0, |body| Some(body.clone()));
    let module = run.inspect("reject-on");
    let aside = &module["setAside"][0];
    assert_eq!(
        (&aside["reason"], &aside["detail"], &aside["tries"]),
        (&json!("rejected"), &json!("not mine"), &json!(0))
    );
    assert_eq!(module["restartCount"], 0);
    // What it sent before it rejected went nowhere.
    assert_eq!(run.all_upstream("reject-on").len(), 1);
    run.interrupt().ok();
}

#[test]
fn a_message_that_is_asked_for_later_keeps_its_place_and_counts_no_failure() {
    let home = Home::new();
    let run = Run::with_quick_restarts(&home, &deployment(Module::guest("retry-on"), "retry-on"));
    run.send(&json!([
        { "properties": { "retry_ms": "30", "times": "4" }, "body": "first" },
        { "body": "second" },
    ]));
    let (first, next) = run.upstream("retry-on", 0, |body| Some(body.clone()));
    let (second, _) = run.upstream("retry-on", next, |body| Some(body.clone()));
    assert_eq!(first["previousTries"], 4, "{first}");
    assert_eq!(second["previousTries"], 0, "{second}");
    let module = run.module("retry-on");
    assert_eq!(
        (&module["messagesFailed"], &module["messagesSetAside"]),
        (&json!(0), &json!(0))
    );
    run.interrupt().ok();
}

#[test]
fn what_a_handler_sent_goes_out_with_its_message_or_not_at_all() {
    let home = Home::new();
    let run = Run::with_quick_restarts(&home, &deployment(Module::guest("stage"), "stage"));
    run.send(&json!([
        { "properties": { "then": "reject" }, "body": "a" },
        { "properties": { "then": "trap" }, "body": "b" },
    ]));
    // The second one traps at its first try only.
    let (_, next) = run.upstream("stage", 0, |body| Some(body.clone()));
    run.upstream("stage", next, |body| Some(body.clone()));
    let module = run.inspect("stage");
    assert_eq!(
        (&module["restartCount"], &module["messagesSetAside"]),
        (&json!(1), &json!(1)),
        "{module}"
    );
    assert_eq!(module["sent"]["counters"]["taken"], 2, "{module}");
    assert_eq!(run.all_upstream("stage").len(), 2);
    run.interrupt().ok();

    let home = Home::new();
    let run = Run::with_quick_restarts(&home, &deployment(Module::guest("stage"), "stage"));
    run.send(&json!([{ "properties": { "then": "ok" }, "body": "c" }, { "output": "echo", "body": "end" }]));
    run.upstream("echo", 0, |body| Some(body.clone()));
    let (_, next) = run.upstream("stage", 0, |body| Some(body.clone()));
    run.upstream("stage", next, |body| Some(body.clone()));
    let ended = run.interrupt().ok();
    let lines: Vec<String> = ended.stdout.lines().map(str::to_owned).collect();
    assert_eq!(wasm_edge_tests::run::bodies(&lines, "stage").len(), 2);
}

#[test]
fn a_failing_module_backs_off_by_its_policy_and_never_gives_up() {
    let home = Home::new();
    let failing = |name: &str, policy: &str| {
        Module::guest("init-fails")
            .named(name)
            .env("REASON", "told to")
            .set("restartPolicy", policy)
    };
    let manifest = Deployment::new()
        .module(failing("always", "always"))
        .module(failing("on-failure", "on-failure"))
        .module(failing("never", "never"))
        .write(&home);
    let run = RunOptions::new(&manifest)
        .args(["--restart-wait", "20ms"])
        .start(&home);
    for name in ["always", "on-failure"] {
        run.wait_module(name, |module| module["restartCount"].as_u64() >= Some(4));
    }
    let module = run.wait_module("never", |module| module["status"] == "failed");
    assert_eq!(
        (&module["restartCount"], &module["exitCode"]),
        (&json!(0), &json!(1)),
        "{module}"
    );
    let text = module["statusDescription"].as_str().unwrap();
    assert!(text.contains("init failed: told to"), "{text}");
    run.wait_log("always", "starts again in");
    run.interrupt().ok();
}

#[test]
fn under_never_a_trap_ends_the_module_and_the_message_stays_queued() {
    let home = Home::new();
    let guest = Module::guest("trap-on").set("restartPolicy", "never");
    let run = Run::with_quick_restarts(&home, &deployment(guest, "trap-on"));
    run.send(&json!([{ "properties": { "trap": "99" } }]));
    let module = run.wait_module("trap-on", |module| module["status"] == "failed");
    assert_eq!(module["messagesQueued"], 1, "{module}");
    assert_eq!(module["messagesSetAside"], 0, "{module}");
    // Started by hand it goes on from there.
    run.restart("trap-on");
    run.wait_module("trap-on", |module| {
        module["messagesFailed"] == 2 && module["status"] == "failed"
    });
    run.interrupt().ok();
}

#[test]
fn a_handler_that_never_ends_is_ended_at_its_deadline_while_others_go_on() {
    let home = Home::new();
    let guest = Module::guest("slow").wasm("callDeadlineMs", 300);
    let run = Run::with_quick_restarts(&home, &deployment(guest, "slow"));
    run.send(&json!([{ "properties": { "spin": "1" } }, { "output": "echo", "body": 1 }]));
    run.upstream("echo", 0, |body| Some(body.clone()));
    run.wait_log("slow", "deadline exceeded: a call ran longer than 300 ms");
    run.wait_module("slow", |module| module["restartCount"].as_u64() >= Some(1));
    run.interrupt().ok();
}

#[test]
fn a_module_that_the_hub_refuses_holds_up_no_other() {
    let home = Home::new();
    let heartbeat = |name: &str| {
        Module::of(name, &wasm_edge_tests::paths::example("heartbeat"))
            .desired(json!({ "interval_ms": 20 }))
    };
    let manifest = Deployment::new()
        .module(heartbeat("deleted"))
        .module(heartbeat("other"))
        .upstream("deleted")
        .upstream("other")
        .write(&home);
    let run = Run::of(&home, &manifest);
    let beats = |body: &serde_json::Value| body["beats"].as_u64();
    run.upstream("deleted", 0, beats);
    let answer =
        wasm_edge_tests::http::ask(&home.data(), "DELETE", "/devices/d1/modules/deleted", None)
            .unwrap();
    assert_eq!(answer.status, 204, "{answer:?}");
    let (last, next) = run.upstream("other", 0, beats);
    run.upstream("other", next, |body| {
        beats(body).filter(|n| *n > last + 100)
    });
    run.interrupt().ok();
}

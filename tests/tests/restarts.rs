//! How instances end and what follows: each end under each policy, by hand, in place, and under load.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::http::{self, Answer};
use wasm_edge_tests::run::{DEVICE, Run, RunOptions};
use wasm_edge_tests::wait;

const POLICIES: [&str; 4] = ["never", "on-failure", "on-unhealthy", "always"];

/// An end: the method that leads to it, its payload, the exit code, and what the status says.
struct End {
    method: &'static str,
    payload: i32,
    exit_code: i32,
    reason: &'static str,
}

const ENDS: [End; 5] = [
    End {
        method: "exit",
        payload: 0,
        exit_code: 0,
        reason: "exited with code 0",
    },
    End {
        method: "exit",
        payload: 1,
        exit_code: 1,
        reason: "exited with code 1",
    },
    End {
        method: "trap",
        payload: 0,
        exit_code: 1,
        reason: "trapped: wasm trap: wasm `unreachable` instruction executed",
    },
    End {
        method: "spin",
        payload: 0,
        exit_code: 1,
        reason: "deadline exceeded: a call ran longer than 200 ms",
    },
    End {
        method: "hoard",
        payload: 0,
        exit_code: 1,
        reason: "out of memory: more than its limit of 2097152 bytes was wanted",
    },
];

/// Calls a method of a module whose instance ends over it.
fn end(home: &Home, module: &str, end: &End) {
    let body = json!({
        "methodName": end.method, "payload": end.payload,
        "responseTimeoutInSeconds": 30, "connectTimeoutInSeconds": 30,
    });
    let path = format!("/twins/{DEVICE}/modules/{module}/methods");
    let answer = http::ask(&home.data(), "POST", &path, Some(&body)).expect("the run answers");
    assert_ne!(answer.status, 200, "{answer:?}");
}

fn ask_restart(home: &Home, module: &str) -> Answer {
    let path = format!("/v1/modules/{DEVICE}/{module}/restart");
    http::ask(&home.data(), "POST", &path, None).expect("the run answers")
}

#[test]
fn each_end_has_its_status_and_each_policy_its_answer_to_it() {
    let home = Home::new();
    let name = |policy: &str, n: usize| format!("{policy}-{n}");
    let mut deployment = Deployment::new();
    for policy in POLICIES {
        for n in 0..ENDS.len() {
            let module = Module::guest("end-on-method")
                .named(&name(policy, n))
                .set("restartPolicy", policy)
                .wasm("callDeadlineMs", 200)
                .wasm("memoryLimitBytes", 2_097_152);
            deployment = deployment.module(module);
        }
    }
    let run = Run::with_quick_restarts(&home, &deployment);
    for policy in POLICIES {
        for (n, ends) in ENDS.iter().enumerate() {
            let name = name(policy, n);
            end(&home, &name, ends);
            let well = ends.exit_code == 0;
            let again = policy == "always" || (policy != "never" && !well);
            let module = run.wait_module(&name, |module| match again {
                true => module["restartCount"] == 1 && module["ready"] == true,
                false => module["status"] != "running",
            });
            let (status, description, restarts) = match (again, well) {
                (true, _) => ("running", "running", 1),
                (false, true) => ("stopped", ends.reason, 0),
                (false, false) => ("failed", ends.reason, 0),
            };
            let expected = json!([status, description, restarts, ends.exit_code, ends.reason]);
            let keys = [
                "status",
                "statusDescription",
                "restartCount",
                "exitCode",
                "lastExitReason",
            ];
            let seen: Vec<&Value> = keys.iter().map(|key| &module[key]).collect();
            assert_eq!(json!(seen), expected, "{module}");
            assert!(module["lastExitTime"].is_string(), "{module}");
            assert_eq!(module["lastRestartTime"].is_string(), again, "{module}");
        }
    }
    // The one that trapped has said where.
    let log = run.wait_log("never-2", "    at ");
    let text = log["text"].as_str().unwrap();
    assert!(text.contains("end_on_method::fails_here"), "{log}");
    run.interrupt().ok();
}

#[test]
fn a_module_has_its_own_waits_from_its_manifest() {
    let home = Home::new();
    let fails = |name: &str| Module::guest("init-fails").named(name).env("REASON", "no");
    let manifest = Deployment::new()
        .module(
            fails("own")
                .wasm("restartWaitMs", 100)
                .wasm("restartWaitMaxMs", 200),
        )
        .module(fails("device"))
        .write(&home);
    let run = RunOptions::new(&manifest)
        .args(["--restart-wait", "1h"])
        .start(&home);
    let restarts = |module: &Value| module["restartCount"].as_u64();
    run.wait_module("own", |module| restarts(module) >= Some(6));
    let module = run.module("device");
    assert_eq!(
        (&module["status"], restarts(&module)),
        (&json!("backoff"), Some(0)),
        "{module}"
    );
    run.wait_log("device", "starts again in 3600 s");
    run.interrupt().ok();
}

#[test]
fn a_module_that_is_not_to_run_is_not_restarted() {
    let home = Home::new();
    let deployment = Deployment::new()
        .module(Module::guest("echo").set("status", "stopped"))
        .module(Module::guest("say"));
    let run = Run::with_quick_restarts(&home, &deployment);
    let answer = ask_restart(&home, "echo");
    assert_eq!(answer.status, 409, "{answer:?}");
    let error = "module `echo` is not to run: its `status` in the deployment is `stopped`";
    assert_eq!(answer.body["error"], error);
    let module = run.module("echo");
    let seen = (&module["status"], &module["lastStartTime"]);
    assert_eq!(seen, (&json!("stopped"), &Value::Null), "{module}");
    run.interrupt().ok();
}

#[test]
fn an_instance_that_ignores_its_shutdown_is_stopping_and_then_ended() {
    let home = Home::new();
    let deployment = Deployment::new().module(Module::guest("shutdown-slow").env("SPIN", "1"));
    let run = Run::with_quick_restarts(&home, &deployment);
    run.restart("shutdown-slow");
    run.wait_module("shutdown-slow", |module| {
        module["status"] == "running" && module["statusDescription"] == "stopping"
    });
    run.wait_log("shutdown-slow", "did not stop within 5 s, and was ended");
    let module = run.wait_module("shutdown-slow", |module| {
        module["restartCount"] == 1 && module["ready"] == true
    });
    let seen = (&module["lastExitReason"], &module["exitCode"]);
    assert_eq!(seen, (&json!("stopped"), &json!(0)), "{module}");
    run.interrupt().ok();
}

#[test]
fn a_module_restarted_by_hand_under_load_handles_each_message_once_and_in_order() {
    let home = Home::new();
    let deployment = Deployment::new()
        .module(Module::guest("numbers"))
        .module(Module::guest("echo"))
        .module(Module::guest("sequence"))
        .pass("numbers/out", "echo/in")
        .pass("echo/out", "sequence/in");
    let run = Run::with_quick_restarts(&home, &deployment);
    let seen = || run.call("sequence", "seen", &Value::Null).1;
    let next = || seen()["next"].as_u64();
    for n in 1..=20_u64 {
        let before = next();
        run.restart("echo");
        run.wait_module("echo", |module| module["restartCount"] == n);
        // Each instance handles some.
        wait::until_so("the messages to go on", || next() > before);
    }
    let sent = run.call("numbers", "stop", &Value::Null).1["sent"].clone();
    wait::until_so("all messages to arrive", || next() >= sent.as_u64());
    assert_eq!(seen(), json!({ "next": sent, "wrong": null }));
    for module in ["echo", "sequence"] {
        assert_eq!(run.messages(module), json!([sent, 0, 0, 0]), "{module}");
    }
    run.interrupt().ok();
}

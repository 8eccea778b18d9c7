//! The health of modules: who is asked, what is said of the answers, and what follows from them.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{Run, RunOptions};

/// `feed`, and a module `health` for each of these policies, under the policy's name; asked every 100 ms.
fn deployment(policies: &[&str]) -> Deployment {
    let mut deployment = Deployment::new().module(Module::guest("feed"));
    for policy in policies {
        let module = Module::guest("health")
            .named(policy)
            .set("restartPolicy", *policy)
            .wasm("healthIntervalMs", 100);
        deployment = deployment
            .module(module)
            .pass(&format!("feed/{policy}"), &format!("{policy}/in"))
            .upstream(policy);
    }
    deployment
}

/// Tells a module what is wrong with it.
fn tell(run: &Run<'_>, module: &str, wrong: &str) {
    run.send(&json!([{ "output": module, "body": wrong }]));
}

/// The answer of a module to the message that told it: how often it had been asked.
fn checks(body: &Value) -> Option<u64> {
    body["checks"].as_u64()
}

/// The host's lines about a module's checks that failed.
fn failed_checks(run: &Run<'_>, module: &str) -> Vec<String> {
    let lines = run.process.stdout.all();
    let lines = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"));
    lines
        .filter(|line| line["module"] == module && line["stream"] == "host")
        .filter_map(|line| line["text"].as_str().map(str::to_owned))
        .filter(|text| text.starts_with("health check failed"))
        .collect()
}

#[test]
fn three_failed_checks_restart_a_module_whose_policy_says_so() {
    let home = Home::new();
    let policies = ["on-unhealthy", "always"];
    let run = Run::with_quick_restarts(&home, &deployment(&policies));
    for policy in policies {
        tell(&run, policy, "no water");
        let module = run.wait_module(policy, |module| {
            module["restartCount"] == 1 && module["ready"] == true
        });
        let expected: Vec<String> = (1..=3)
            .map(|n| format!("health check failed, {n} of 3: no water"))
            .collect();
        assert_eq!(failed_checks(&run, policy), expected);
        let reason = "unhealthy: no water";
        let seen = (&module["lastExitReason"], &module["exitCode"]);
        assert_eq!(seen, (&json!(reason), &json!(0)), "{module}");
        assert!(module["lastRestartTime"].is_string(), "{module}");
        // The instance was asked to stop and did; the new one knows of nothing wrong.
        run.wait_log(policy, "stopped");
        run.wait_log(policy, "starts again in 1 s");
        assert_eq!(run.module(policy)["status"], "running");
    }
    run.interrupt().ok();
}

#[test]
fn an_unhealthy_module_that_its_policy_leaves_alone_goes_on_and_gets_well() {
    let home = Home::new();
    let policies = ["never", "on-failure"];
    let run = Run::with_quick_restarts(&home, &deployment(&policies));
    for policy in policies {
        tell(&run, policy, "no water");
        let module = run.wait_module(policy, |module| module["status"] == "unhealthy");
        let text = &module["statusDescription"];
        assert_eq!(text, "unhealthy: no water", "{module}");
        assert_eq!(module["ready"], true, "{module}");
        let listed = run.verb(&["list"]).ok();
        listed.says(&[&format!(
            "`{policy}` has status unhealthy: unhealthy: no water"
        )]);
        // It still takes messages, and the last thing that is wrong is told.
        tell(&run, policy, "no air");
        run.wait_module(policy, |module| {
            module["statusDescription"] == "unhealthy: no air"
        });
        tell(&run, policy, "");
        let module = run.wait_module(policy, |module| module["status"] == "running");
        let seen = (&module["restartCount"], &module["statusDescription"]);
        assert_eq!(seen, (&json!(0), &json!("running")), "{module}");
        run.wait_log(policy, "healthy again");
        assert_eq!(failed_checks(&run, policy).len(), 3);
    }
    run.interrupt().ok();
}

#[test]
fn what_a_health_handler_sends_goes_out_only_when_it_is_well() {
    let home = Home::new();
    let run = Run::with_quick_restarts(&home, &deployment(&["never"]));
    let checked = |body: &Value| body["checked"].as_u64();
    let (_, next) = run.upstream("never", 0, checked);
    tell(&run, "never", "no water");
    let (before, next) = run.upstream("never", next, checks);
    run.wait_module("never", |module| module["status"] == "unhealthy");
    tell(&run, "never", "");
    let (after, next) = run.upstream("never", next, checks);
    assert!(after >= before + 3, "{before} {after}");
    let (well, _) = run.upstream("never", next, checked);
    assert!(well > after, "{well} {after}");
    let sent = run.all_upstream("never");
    let meanwhile = sent.iter().filter_map(checked);
    let meanwhile: Vec<u64> = meanwhile
        .filter(|n| (before + 1..=after).contains(n))
        .collect();
    assert!(meanwhile.is_empty(), "{meanwhile:?} of {before} to {after}");
    run.interrupt().ok();
}

#[test]
fn an_instance_that_hangs_in_its_health_is_unhealthy_and_ended() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(
            Module::guest("health-hangs")
                .wasm("healthIntervalMs", 100)
                .wasm("healthTimeoutMs", 200),
        )
        .module(Module::guest("echo"))
        .write(&home);
    let run = RunOptions::new(&manifest)
        .args(["--restart-wait", "50ms"])
        .start(&home);
    let module = run.wait_module("health-hangs", |module| module["status"] == "unhealthy");
    let text = "unhealthy: no answer within 200 ms; stopping";
    assert_eq!(module["statusDescription"], text, "{module}");
    run.wait_log("health-hangs", "did not stop within 5 s, and was ended");
    let module = run.wait_module("health-hangs", |module| module["restartCount"] == 1);
    let reason = "unhealthy: no answer within 200 ms";
    assert_eq!(module["lastExitReason"], reason, "{module}");
    assert_eq!(run.module("echo")["restartCount"], 0);
    run.interrupt().ok();
}

#[test]
fn a_health_handler_that_uses_its_time_for_ever_meets_the_deadline_as_any_other() {
    let home = Home::new();
    let hangs = |policy: &str| {
        Module::guest("health-hangs")
            .named(policy)
            .set("restartPolicy", policy)
            .env("SPIN", "1")
            .wasm("callDeadlineMs", 100)
            .wasm("healthIntervalMs", 100)
    };
    let manifest = Deployment::new()
        .module(hangs("never"))
        .module(hangs("on-failure"))
        .write(&home);
    let run = RunOptions::new(&manifest)
        .args(["--restart-wait", "50ms"])
        .start(&home);
    let text = "deadline exceeded: a call ran longer than 100 ms";
    let module = run.wait_module("never", |module| module["status"] == "failed");
    assert_eq!(module["statusDescription"], text, "{module}");
    let module = run.wait_module("on-failure", |module| {
        module["restartCount"].as_u64() >= Some(2)
    });
    assert_eq!(module["lastExitReason"], text, "{module}");
    run.interrupt().ok();
}

#[test]
fn modules_without_health_and_programs_are_never_asked() {
    let home = Home::new();
    // Were they asked, they would be unhealthy at the first answer that is missing.
    let strict = |guest: &str| {
        Module::guest(guest)
            .set("restartPolicy", "never")
            .wasm("healthIntervalMs", 100)
            .wasm("healthTimeoutMs", 100)
            .wasm("healthFailuresMax", 1)
    };
    let deployment = deployment(&["always"])
        .module(strict("echo"))
        .module(strict("program-loop"));
    let run = Run::with_quick_restarts(&home, &deployment);
    // The one beside them has been asked five times.
    run.upstream("always", 0, |body| {
        body["checked"].as_u64().filter(|n| *n >= 5)
    });
    for name in ["echo", "program-loop"] {
        assert_eq!(run.module(name)["status"], "running");
        assert!(failed_checks(&run, name).is_empty());
    }
    run.interrupt().ok();
}

#[test]
fn the_first_question_comes_after_one_interval() {
    let home = Home::new();
    let deployment = deployment(&["always"]).module(
        Module::guest("health-hangs")
            .env("SPIN", "1")
            .wasm("callDeadlineMs", 100)
            // An hour goes by before it is asked; the other one is asked all the time.
            .wasm("healthIntervalMs", 3_600_000),
    );
    let run = Run::with_quick_restarts(&home, &deployment);
    run.upstream("always", 0, |body| {
        body["checked"].as_u64().filter(|n| *n >= 5)
    });
    let module = run.module("health-hangs");
    let seen = (&module["status"], &module["restartCount"]);
    assert_eq!(seen, (&json!("running"), &json!(0)), "{module}");
    run.interrupt().ok();
}

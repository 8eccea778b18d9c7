//! A daemon without any hub: its deployment is a file, its twins are its own, and what goes upstream waits.

use rustix::process::Signal;
use serde_json::{Value, json};
use wasm_edge_tests::daemon::{Daemon, DaemonOptions};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::Telemetry;
use wasm_edge_tests::{http, wait};

/// The device of these tests.
const DEVICE: &str = "board-1";

fn deployment(x: u64) -> Deployment {
    Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("method-echo"))
        .module(Module::guest("whoami"))
        .module(Module::guest("twin-echo").desired(json!({ "x": x })))
        .pass("feed/out", "twin-echo/in")
        .pass("feed/who", "whoami/in")
        .upstream("twin-echo")
        .upstream("whoami")
}

fn options(home: &Home, deployment: &Deployment) -> DaemonOptions {
    DaemonOptions::of_file(&deployment.write(home)).set("deployment", "device_id", DEVICE)
}

fn start<'a>(home: &'a Home, deployment: &Deployment) -> Daemon<'a> {
    let daemon = options(home, deployment).start(home);
    daemon.wait_running();
    daemon
}

fn twin(daemon: &Daemon<'_>, module: &str) -> Value {
    daemon
        .verb(&["twin", "get", module, "--output", "json"])
        .ok()
        .json()
}

fn wait_reported(daemon: &Daemon<'_>, module: &str, x: &Value) -> Value {
    wait::until("the module to report it", || {
        Some(twin(daemon, module)).filter(|twin| twin["properties"]["reported"]["x"] == *x)
    })
}

fn method(daemon: &Daemon<'_>, module: &str, name: &str, payload: &Value) -> Value {
    let args = [
        "method",
        module,
        name,
        &payload.to_string(),
        "--output",
        "json",
    ];
    daemon.verb(&args).ok().json()
}

fn upstream(daemon: &Daemon<'_>) -> Value {
    daemon.get("/v1/upstream")["upstream"][0].clone()
}

#[test]
fn twins_methods_and_messages_work_without_a_hub() {
    let home = Home::new();
    let daemon = start(&home, &deployment(1));
    assert_eq!(daemon.get("/v1/info")["hub"], "none");
    let first = wait_reported(&daemon, "twin-echo", &json!(1));
    assert_eq!(
        (&first["deviceId"], &first["moduleId"]),
        (&json!(DEVICE), &json!("twin-echo"))
    );
    let version = first["properties"]["desired"]["$version"]
        .as_u64()
        .expect("a version");

    let etag = first["etag"].as_str().expect("an etag");
    let patched = daemon.verb(&[
        "twin",
        "patch",
        "twin-echo",
        r#"{"x": 2}"#,
        "--etag",
        etag,
        "--output",
        "json",
    ]);
    let patched = patched.ok().json();
    assert_eq!(patched["properties"]["desired"]["$version"], version + 1);
    wait_reported(&daemon, "twin-echo", &json!(2));
    daemon
        .verb(&["twin", "patch", "twin-echo", r#"{"x": 3}"#, "--etag", etag])
        .ended_with(6);

    let answer = method(&daemon, "method-echo", "echo", &json!({ "a": 1 }));
    assert_eq!(
        (&answer["status"], &answer["payload"]["payload"]["a"]),
        (&json!(200), &json!(1))
    );
    daemon.verb(&["method", "twin-echo", "any"]).ended_with(4);
    daemon
        .verb(&["method", "method-echo", "fail"])
        .ended_with(8);

    let mut monitor = Telemetry::open(&home.data(), "/v1/telemetry");
    daemon.verb(&["send", "whoami", "--wait"]).ok();
    let who = wasm_edge_tests::run::body(&monitor.next("whoami"));
    assert_eq!(
        (&who["device"], &who["module"]),
        (&json!(DEVICE), &json!("whoami")),
        "{who}"
    );
    daemon.stop().ok();
}

#[test]
fn what_only_a_hub_can_do_is_said() {
    let home = Home::new();
    let daemon = start(&home, &deployment(1));
    let said = |args: &[&str], code: i32, says: &[&str]| {
        drop(daemon.verb(args).ended_with(code).says(says))
    };
    said(
        &["twin", "get"],
        7,
        &["only a hub has the twin of the device itself", "hint: "],
    );
    said(
        &["twin", "get", "twin-echo", "--tags"],
        7,
        &["only a hub has tags"],
    );
    said(
        &["twin", "patch", "--tags", "twin-echo", "{}"],
        7,
        &["only a hub has tags"],
    );
    said(
        &["twin", "patch", "--local", "twin-echo", r#"{"x": 2}"#],
        1,
        &["has no hub", "without `--local`"],
    );
    said(&["twin", "get", "nobody"], 4, &["no module `nobody`"]);
    said(
        &["monitor", "--from", "earliest"],
        7,
        &["from now on", "queue peek"],
    );
    said(
        &[
            "deploy",
            "apply",
            home.path().join("deployment.json").to_str().expect("text"),
        ],
        7,
        &["--hub"],
    );
    daemon.stop().ok();
}

#[test]
fn twins_last_and_the_file_is_applied_when_it_is_another_one() {
    let home = Home::new();
    let daemon = start(&home, &deployment(1));
    daemon
        .verb(&["twin", "patch", "twin-echo", r#"{"x": 5, "extra": true}"#])
        .ok();
    let before = wait_reported(&daemon, "twin-echo", &json!(5));
    daemon.kill();

    // The same file undoes no patch.
    let daemon = start(&home, &deployment(1));
    let after = wait_reported(&daemon, "twin-echo", &json!(5));
    assert_eq!(
        after["properties"]["desired"],
        before["properties"]["desired"]
    );
    daemon.stop().ok();

    let daemon = start(&home, &deployment(7));
    let twin = wait_reported(&daemon, "twin-echo", &json!(7));
    assert_eq!(twin["properties"]["desired"].get("extra"), None, "{twin}");
    daemon.stop().ok();
}

#[test]
fn what_goes_upstream_waits_standing_and_expires() {
    let home = Home::new();
    let deployment = Deployment::new()
        .module(Module::guest("feed"))
        .route("up", json!({ "route": "FROM /messages/modules/feed/outputs/keep INTO $upstream" }))
        .route("brief", json!({ "route": "FROM /messages/modules/feed/outputs/brief INTO $upstream", "timeToLiveSecs": 1 }));
    let daemon = start(&home, &deployment);
    let send = |output: &str| {
        let sent = method(
            &daemon,
            "feed",
            "send",
            &json!([{ "output": output, "body": 1 }]),
        );
        assert_eq!(sent["status"], 200, "{sent}");
    };
    send("brief");
    wait::until_so("the brief message to expire", || {
        upstream(&daemon)["messagesQueued"] == 0
    });
    for _ in 0..3 {
        send("keep");
    }
    let queue = || {
        let queues = daemon.get("/v1/queues");
        let queues = queues["queues"].as_array().expect("a list").clone();
        queues
            .into_iter()
            .find(|queue| queue["endpoint"] == "$upstream")
            .expect("a queue")
    };
    assert_eq!(queue()["counters"]["expired"], 1);
    assert_eq!(
        (&queue()["queuedMessages"], &queue()["inHandMessages"]),
        (&json!(3), &json!(0))
    );
    assert_eq!(
        (
            &upstream(&daemon)["messagesSent"],
            &upstream(&daemon)["messagesReturned"]
        ),
        (&json!(0), &json!(0))
    );
    daemon.kill();

    let daemon = start(&home, &deployment);
    assert_eq!(upstream(&daemon)["messagesQueued"], 3, "they last");
    daemon.verb(&["queue", "purge", "$upstream", "--yes"]).ok();
    assert_eq!(upstream(&daemon)["messagesQueued"], 0);
    daemon.stop().ok();
}

#[test]
fn a_module_that_left_and_came_back_is_another_one() {
    let home = Home::new();
    let daemon = start(&home, &deployment(1));
    let generation = |daemon: &Daemon<'_>| {
        let mut monitor = Telemetry::open(&home.data(), "/v1/telemetry");
        daemon.verb(&["send", "whoami", "--wait"]).ok();
        let who = wasm_edge_tests::run::body(&monitor.next("whoami"));
        daemon.verb(&["queue", "purge", "$upstream", "--yes"]).ok();
        who["generation"].clone()
    };
    let first = generation(&daemon);
    daemon.stop().ok();
    let without = Deployment::new().module(Module::guest("feed"));
    let daemon = start(&home, &without);
    let gone = daemon.process.stderr.find(0, |line| {
        let is_so = line.contains("its identity is deleted") && line.contains("whoami");
        is_so.then_some(())
    });
    assert!(gone.is_some(), "{}", daemon.process.stderr.text());
    daemon.stop().ok();
    let daemon = start(&home, &deployment(1));
    assert_ne!(generation(&daemon), first);
    daemon.stop().ok();
}

#[test]
fn modules_that_do_not_fit_into_the_memory_of_the_policy_are_refused_together() {
    let home = Home::new();
    let module = |name: &str| {
        Module::guest("feed")
            .named(name)
            .wasm("memoryLimitBytes", 33_554_432)
    };
    let both = Deployment::new().module(module("a")).module(module("b"));
    let options = options(&home, &both).set("policy", "memory_max_bytes", 60_000_000);
    let daemon = options.start(&home);
    let state = wait::until("the deployment to be refused", || {
        let state = daemon.get(&format!("/v1/deployments/{DEVICE}"))["state"].clone();
        (state["phase"] == "refused").then_some(state)
    });
    let reasons = state["reasons"].to_string();
    assert!(reasons.contains("60000000"), "{reasons}");
    assert_eq!(daemon.get("/v1/modules")["modules"], json!([]));
    daemon.stop().ok();
    Deployment::new().module(module("a")).write(&home);
    let daemon = options.start(&home);
    daemon.wait_running();
    daemon.stop().ok();
}

#[test]
fn a_module_that_may_come_is_not_called_absent() {
    let home = Home::new();
    let deployment = Deployment::new().module(Module::guest("ready-late"));
    let daemon = options(&home, &deployment)
        .set("deployment", "ready_timeout_secs", 3600)
        .start(&home);
    // The deployment is not applied before its module is ready.
    daemon
        .verb(&["twin", "get", "nobody"])
        .ended_with(9)
        .says(&[
            "prepares its deployment, and has no module `nobody` yet",
            "hint: ",
        ]);
    daemon.wait_module("ready-late", |module| module["status"] == "running");
    daemon.verb(&["twin", "get", "ready-late"]).ok();
    daemon.verb(&["send", "ready-late", "--wait"]).ok();
    let state = || daemon.get(&format!("/v1/deployments/{DEVICE}"))["state"]["settled"].clone();
    wait::until_so("the deployment to be applied", || state() == true);
    daemon.verb(&["twin", "get", "nobody"]).ended_with(4);
    daemon.stop().ok();
}

#[test]
fn a_changed_file_is_taken_over_at_a_hangup_and_one_with_faults_is_not() {
    let home = Home::new();
    let daemon = start(&home, &deployment(1));
    wait_reported(&daemon, "twin-echo", &json!(1));
    let process = daemon.get("/v1/info")["pid"].clone();
    home.write("deployment.json", "{\"modulesContent\": 5}");
    daemon.process.signal(Signal::HUP);
    daemon.wait_says(0, "the deployment's file changes nothing");
    deployment(2).write(&home);
    daemon.process.signal(Signal::HUP);
    wait_reported(&daemon, "twin-echo", &json!(2));
    // The same file undoes no patch.
    daemon
        .verb(&["twin", "patch", "twin-echo", r#"{"x": 3}"#])
        .ok();
    wait_reported(&daemon, "twin-echo", &json!(3));
    daemon.process.signal(Signal::HUP);
    daemon.wait_says(0, "the deployment is the one applied last");
    assert_eq!(twin(&daemon, "twin-echo")["properties"]["desired"]["x"], 3);
    assert_eq!(daemon.get("/v1/info")["pid"], process);
    assert_eq!(daemon.module("twin-echo")["restartCount"], 0);
    daemon.stop().ok();
}

#[test]
fn a_module_that_needs_more_memory_than_its_own_limit_is_refused_before_anything_stops() {
    let home = Home::new();
    let daemon = start(&home, &deployment(1));
    let before = daemon.modules().len();
    let small = deployment(1).module(
        Module::guest("feed")
            .named("small")
            .wasm("memoryLimitBytes", 131_072),
    );
    let manifest = small.write_as(&home, "small.json");
    let manifest = manifest.to_str().expect("text");
    let checked = daemon.verb(&["deploy", "check", manifest, "--output", "json"]);
    let checked = checked
        .ended_with(78)
        .says(&["a device would refuse"])
        .json();
    let needed = checked["modules"]
        .as_array()
        .expect("modules")
        .iter()
        .find(|module| module["module"] == "small")
        .expect("it is there")["neededBytes"]
        .as_u64()
        .expect("the image is at hand");
    assert!(needed > 131_072, "{checked}");
    let path = format!("/v1/deployments/{DEVICE}/check");
    let answer = http::ask(&home.data(), "POST", &path, Some(&small.json())).expect("an answer");
    assert_eq!(answer.status, 422, "{answer:?}");
    let expected = format!(
        "the module `small` needs {needed} bytes of memory at its start, and its limit is 131072"
    );
    let causes = answer.body["causes"].to_string();
    assert!(causes.contains(&expected), "{causes}");
    daemon.stop().ok();

    // A start with it begins with the deployment before.
    small.write(&home);
    let daemon = options(&home, &small).start(&home);
    let state = wait::until("the deployment to be refused", || {
        let state = daemon.get(&format!("/v1/deployments/{DEVICE}"))["state"].clone();
        (state["phase"] == "refused").then_some(state)
    });
    let reasons = state["reasons"].to_string();
    assert!(reasons.contains(&expected), "{reasons}");
    daemon.wait_module("feed", |module| module["ready"] == true);
    assert_eq!(daemon.modules().len(), before);
    daemon.stop().ok();
}

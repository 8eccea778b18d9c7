//! Desired properties that are changed on the device: away from its hub, kept or given up when it is back, and refused.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::http;
use wasm_edge_tests::run::{DEVICE, Run};
use wasm_edge_tests::wait;

/// `twin-echo`, whose desired properties are these.
fn deployment(keeps: bool) -> Deployment {
    let module = Module::guest("twin-echo")
        .desired(json!({ "x": 1, "y": 1 }))
        .wasm("keepLocalChanges", keeps);
    Deployment::new().module(module).upstream("twin-echo")
}

/// The module's twin as the device has it.
fn on_device(run: &Run<'_>) -> Value {
    run.get(&format!("/v1/twins/{DEVICE}/twin-echo"))
}

/// Waits until the module has reported this on the device, whether the hub is there or not.
fn wait_reported(run: &Run<'_>, x: &Value) {
    wait::until_so("the module to report it", || {
        on_device(run)["properties"]["reported"]["x"] == *x
    });
}

fn change(run: &Run<'_>, patch: &Value) {
    run.verb(&["twin", "patch", "--local", "twin-echo", &patch.to_string()])
        .ok();
}

#[test]
fn a_change_made_away_from_the_hub_reaches_the_module_and_is_given_up_when_the_hub_is_back() {
    let home = Home::new();
    let run = Run::of(&home, &deployment(false).write(&home));
    let twin = run.wait_reported("twin-echo", "/x", &json!(1));
    let at_hub = twin["properties"]["desired"].clone();
    run.verb(&["upstream", "disconnect"]).ok();
    let patch = json!({ "x": 5, "y": null });
    let outcome = run.verb(&["twin", "patch", "--local", "twin-echo", &patch.to_string()]);
    let version = &at_hub["$version"];
    assert_eq!(
        outcome.ok().stdout,
        format!("d1/twin-echo: desired changed on the device; the hub's version stays {version}\n")
    );
    wait_reported(&run, &json!(5));

    // What the hub says is there beside it, as it was.
    let twin = run.twin("twin-echo");
    assert_eq!(twin["properties"]["desired"], at_hub);
    assert_eq!(twin["local"]["changes"], patch);
    assert_eq!(twin["local"]["desired"], json!({ "x": 5 }));
    assert_eq!(
        twin["local"]["author"]["uid"],
        rustix::process::getuid().as_raw()
    );
    assert!(twin["local"]["author"]["pid"].is_u64(), "{twin}");
    let shown = run.verb(&["twin", "get", "twin-echo"]).ok().json();
    assert_eq!(shown["local"]["changes"], patch);
    let page = run.verb(&["inspect", "twin-echo"]).ok().stdout;
    assert!(
        page.contains("desired properties were changed on the device"),
        "{page}"
    );
    assert_eq!(run.inspect("twin-echo")["localChanges"]["changes"], patch);

    // The hub's own change, which is not seen yet, is what holds in the end.
    run.patch("twin-echo", &json!({ "x": 3 }));
    run.verb(&["upstream", "connect"]).ok();
    let twin = run.wait_reported("twin-echo", "/x", &json!(3));
    assert_eq!(twin["properties"]["desired"]["y"], 1);
    assert_eq!(
        twin["properties"]["desired"]["$version"],
        json!(version.as_u64().unwrap() + 1)
    );
    assert_eq!(twin.get("local"), None, "{twin}");
    assert_eq!(on_device(&run)["local"], Value::Null);
    let page = run.verb(&["inspect", "twin-echo"]).ok().stdout;
    assert!(!page.contains("changed on the device"), "{page}");
    run.interrupt().ok();
}

#[test]
fn a_change_that_the_manifest_keeps_lasts_over_kill_9_until_it_is_taken_back() {
    let home = Home::new();
    let manifest = deployment(true).write(&home);
    let run = Run::of(&home, &manifest);
    run.wait_reported("twin-echo", "/x", &json!(1));
    // Kept as they are, they may be made while the hub is there, too.
    change(&run, &json!({ "x": 5 }));
    run.kill();

    let run = Run::of(&home, &manifest);
    run.wait_reported("twin-echo", "/x", &json!(5));
    run.patch("twin-echo", &json!({ "x": 2, "y": 2 }));
    wait::until_so("the hub's patch to be on the device", || {
        on_device(&run)["properties"]["desired"]["y"] == 2
    });
    let twin = run.twin("twin-echo");
    assert_eq!(twin["local"]["desired"], json!({ "x": 5, "y": 2 }));
    // What the module sent of its own change may have waited over the kill.
    let (told, _) = run.upstream("twin-echo", 0, |body| {
        let update = &body["update"];
        (body["kind"] == "patch" && !update["y"].is_null()).then(|| update.clone())
    });
    assert_eq!(
        (&told["x"], &told["y"]),
        (&Value::Null, &json!(2)),
        "the key that lies below is not told"
    );

    let outcome = run.verb(&["twin", "reset", "twin-echo"]).ok();
    assert!(
        outcome.stdout.contains("local changes taken back"),
        "{outcome:?}"
    );
    run.wait_reported("twin-echo", "/x", &json!(2));
    let outcome = run.verb(&["twin", "reset", "twin-echo"]).ok();
    assert!(
        outcome.stdout.contains("nothing was changed locally"),
        "{outcome:?}"
    );
    run.interrupt().ok();
}

#[test]
fn a_deployment_that_keeps_changes_no_more_ends_them() {
    let home = Home::new();
    let run = Run::of(&home, &deployment(true).write(&home));
    run.wait_reported("twin-echo", "/x", &json!(1));
    change(&run, &json!({ "x": 5 }));
    run.wait_reported("twin-echo", "/x", &json!(5));
    let before = run.module("twin-echo");
    let manifest = deployment(false).write(&home);
    let manifest = manifest.to_str().expect("text");
    run.verb(&["deploy", "apply", manifest]).ok();
    run.wait_reported("twin-echo", "/x", &json!(1));
    let after = run.module("twin-echo");
    assert_eq!(
        (&after["lastStartTime"], &after["restartCount"]),
        (&before["lastStartTime"], &before["restartCount"]),
        "the module ran on"
    );
    run.interrupt().ok();
}

#[test]
fn what_cannot_be_changed_locally_is_refused_and_changes_nothing() {
    let home = Home::new();
    let run = Run::of(&home, &deployment(false).write(&home));
    run.wait_reported("twin-echo", "/x", &json!(1));
    let refused = |args: &[&str], code: i32, says: &[&str]| {
        let args = [&["twin", "patch", "--local"], args].concat();
        run.verb(&args).ended_with(code).says(says);
    };
    refused(
        &["twin-echo", r#"{"x": 2}"#],
        1,
        &[
            "connected to its hub",
            "hint: ",
            "keepLocalChanges",
            "upstream disconnect",
        ],
    );
    run.verb(&["upstream", "disconnect"]).ok();
    refused(
        &["$edgeAgent", r#"{"x": 2}"#],
        1,
        &["are the deployment", "deploy apply"],
    );
    refused(&[r#"{"x": 2}"#], 7, &["only a hub"]);
    refused(&["nobody", r#"{"x": 2}"#], 4, &["no module `nobody`"]);
    refused(&["twin-echo", r#"{"a.b": 2}"#], 7, &["contains a `.`"]);
    refused(&["--tags", "twin-echo", "{}"], 2, &["--tags"]);
    let large: Value = (0..9)
        .map(|n| (format!("k{n}"), json!("x".repeat(4000))))
        .collect();
    refused(
        &["twin-echo", &large.to_string()],
        7,
        &["rules of twins", "bytes"],
    );
    let twin = on_device(&run);
    assert_eq!(twin["local"], Value::Null, "{twin}");

    // The hub's properties are not the device's to change for good.
    let path = format!("/v1/twins/{DEVICE}/twin-echo");
    let body = json!({ "properties": { "desired": { "x": 2 } } });
    let answer = http::ask(&home.data(), "PATCH", &path, Some(&body)).expect("an answer");
    assert_eq!(
        (answer.status, answer.body["hint"].is_string()),
        (409, true),
        "{answer:?}"
    );
    let answer = http::ask(
        &home.data(),
        "PATCH",
        &format!("{path}?local=true"),
        Some(&json!({ "tags": {} })),
    );
    assert_eq!(answer.expect("an answer").status, 422);
    run.verb(&["upstream", "connect"]).ok();
    run.interrupt().ok();
}

#[test]
fn the_device_answers_for_its_modules_beside_its_hub() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("method-echo"))
        .module(Module::guest("twin-echo").desired(json!({ "x": 1 })))
        .pass("feed/out", "twin-echo/in")
        .upstream("twin-echo")
        .upstream("feed")
        .write(&home);
    let run = Run::of(&home, &manifest);
    assert_eq!(run.get("/v1/info")["hub"], "embedded");
    run.verb(&["upstream", "disconnect"]).ok();

    let call = |module: &str, body: Value| {
        let path = format!("/v1/methods/{DEVICE}/{module}");
        let answer = http::ask(&home.data(), "POST", &path, Some(&body));
        let answer = answer.expect("an answer");
        (answer.status, answer.body)
    };
    let (status, answer) = call(
        "method-echo",
        json!({ "methodName": "echo", "payload": { "a": 1 } }),
    );
    assert_eq!(
        (
            status,
            &answer["status"],
            &answer["payload"]["payload"]["a"]
        ),
        (200, &json!(200), &json!(1)),
        "{answer}"
    );
    assert_eq!(call("twin-echo", json!({ "methodName": "any" })).0, 404);
    assert_eq!(call("nobody", json!({ "methodName": "any" })).0, 404);
    assert_eq!(call("method-echo", json!({})).0, 400);

    let path = "/v1/telemetry?module=feed&where=level%20%3D%20%27high%27";
    let mut telemetry = wasm_edge_tests::run::Telemetry::open(&home.data(), path);
    let messages = json!([
        { "output": "other", "properties": { "level": "low" }, "body": 1 },
        { "output": "other", "properties": { "level": "high" }, "body": 2 },
    ]);
    let sent = call("feed", json!({ "methodName": "send", "payload": messages }));
    assert_eq!(sent.1["status"], 200, "{sent:?}");
    let seen = telemetry.next("feed");
    assert_eq!(
        (
            &wasm_edge_tests::run::body(&seen),
            &seen["output"],
            &seen["device"]
        ),
        (&json!(2), &json!("other"), &json!(DEVICE))
    );
    let before = http::ask(&home.data(), "GET", "/v1/telemetry?from=earliest", None);
    assert_eq!(before.expect("an answer").status, 422);

    let mut lines = wasm_edge_tests::run::Telemetry::open(
        &home.data(),
        &format!("/v1/twins/{DEVICE}/twin-echo/changes"),
    );
    lines.find(|twin| twin["moduleId"] == "twin-echo");
    let more = json!([{ "output": "out", "body": { "more": 7 } }]);
    assert_eq!(
        call("feed", json!({ "methodName": "send", "payload": more })).1["status"],
        200
    );
    lines.find(|twin| twin["properties"]["reported"]["more"] == 7);
    run.verb(&["upstream", "connect"]).ok();
    run.interrupt().ok();
}

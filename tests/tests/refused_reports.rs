//! What a module reports and is not taken: by the device, which tells the module at once, or by its hub.

use serde_json::{Value, json};
use wasm_edge_tests::daemon::{Daemon, DaemonOptions};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::meddler::Meddler;
use wasm_edge_tests::run::body;
use wasm_edge_tests::wait;

/// `twin-echo`, which reports what a message says and answers what came of it.
fn deployment() -> Deployment {
    Deployment::new()
        .module(Module::guest("twin-echo"))
        .upstream("twin-echo")
}

/// Lets the module report a patch; answers what it was told: an error, or null.
fn report(daemon: &Daemon<'_>, hub: &HubServe<'_>, patch: &Value) -> Value {
    let before = hub.get("/wasm-edge/v1/telemetry/status")["next"].clone();
    let patch = patch.to_string();
    daemon.verb(&["send", "twin-echo", &patch, "--wait"]).ok();
    let path = format!("/wasm-edge/v1/telemetry?from={before}");
    let mut telemetry = wasm_edge_tests::run::Telemetry::open(&hub.data(), &path);
    let answer = telemetry.find(|message| body(message).get("error").is_some());
    body(&answer)["error"].clone()
}

fn twin(daemon: &Daemon<'_>) -> Value {
    let args = ["twin", "get", "twin-echo", "--output", "json"];
    daemon.verb(&args).ok().json()
}

fn wait_unsent(daemon: &Daemon<'_>, unsent: &Value) {
    wait::until_so("what is unsent to be so", || {
        twin(daemon)["unsent"] == *unsent
    });
}

#[test]
fn what_is_against_the_rules_is_told_to_the_module_and_goes_nowhere() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let options = DaemonOptions::of_hub(&hub, &hub.make_device("d1"));
    hub.apply("d1", &deployment());
    let daemon = options.start(&home);
    hub.wait_deployed("d1");
    assert_eq!(report(&daemon, &hub, &json!({ "x": 1 })), Value::Null);
    let reported = hub.wait_reported("d1", "twin-echo", "/x", &json!(1));
    let before = reported["properties"]["reported"]["$version"].clone();

    let deep = (0..11).fold(json!(1), |inner, _| json!({ "a": inner }));
    let many: serde_json::Map<_, _> = (0..9)
        .map(|n| (format!("k{n}"), json!("x".repeat(4000))))
        .collect();
    for (patch, says) in [
        (json!({ "deep": deep }), "deeper than 10 levels"),
        (json!({ "long": "x".repeat(4097) }), "more than 4096"),
        (json!({ "a b": 1 }), "a b"),
        (json!({ "n": 4_503_599_627_370_496_u64 }), "out of range"),
        (json!({ "list": [null] }), "a null stands in an array"),
        (Value::Object(many), "32768"),
    ] {
        let told = report(&daemon, &hub, &patch);
        let told = told.as_str().unwrap_or_default();
        assert!(told.contains(says), "{says}: {told}");
    }
    let kept = twin(&daemon);
    assert_eq!(kept["unsent"], Value::Null);
    assert_eq!(kept["properties"]["reported"]["x"], 1);
    assert_eq!(report(&daemon, &hub, &json!({ "x": 2 })), Value::Null);
    let reported = hub.wait_reported("d1", "twin-echo", "/x", &json!(2));
    let after = reported["properties"]["reported"]["$version"].as_u64();
    assert_eq!(after, before.as_u64().map(|before| before + 1));
    daemon.stop().ok();
}

#[test]
fn what_a_stricter_hub_refuses_is_told_and_keeps_nothing_else_away_from_it() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let meddler = Meddler::before(&hub);
    let both = format!("{}{}", hub.ca_pem(), meddler.ca_pem());
    let both = hub_home.write("both.pem", both);
    let options = DaemonOptions::of_hub(&hub, &hub.make_device("d1"))
        .set("hub", "ca_file", both.to_str().expect("the path is text"))
        .set("hub", "mqtt_port", meddler.port());
    hub.apply("d1", &deployment());
    let daemon = options.start(&home);
    hub.wait_deployed("d1");
    meddler.refuse_reports(Some("depths"));

    // For the module it is reported, as when the hub is away.
    let first = json!({ "alarm": 1, "depths": { "a": 1 }, "level": 2, "zone": 3 });
    assert_eq!(report(&daemon, &hub, &first), Value::Null);
    let told = daemon.wait_says(0, "the hub does not take a reported property");
    let line = daemon.process.stderr.all()[told - 1].clone();
    assert!(
        line.contains("depths") && line.contains("too deep for this hub"),
        "{line}"
    );
    hub.wait_reported("d1", "twin-echo", "/zone", &json!(3));
    wait_unsent(&daemon, &json!({ "depths": { "a": 1 } }));
    assert_eq!(twin(&daemon)["properties"]["reported"]["depths"]["a"], 1);
    let at_hub = hub.twin("d1", "twin-echo")["properties"]["reported"].clone();
    assert_eq!((&at_hub["alarm"], &at_hub["level"]), (&json!(1), &json!(2)));
    assert_eq!(at_hub.get("depths"), None, "{at_hub}");

    // Later ones get through beside it, and it is not asked again as it is.
    assert_eq!(report(&daemon, &hub, &json!({ "level": 4 })), Value::Null);
    hub.wait_reported("d1", "twin-echo", "/level", &json!(4));
    assert_eq!(
        daemon
            .process
            .stderr
            .text()
            .matches("does not take")
            .count(),
        1,
        "{}",
        daemon.process.stderr.text()
    );
    // Another value is tried, and taken once the hub takes it.
    meddler.refuse_reports(None);
    assert_eq!(report(&daemon, &hub, &json!({ "depths": 5 })), Value::Null);
    hub.wait_reported("d1", "twin-echo", "/depths", &json!(5));
    wait_unsent(&daemon, &Value::Null);

    // What was refused is tried again over another session.
    meddler.refuse_reports(Some("depths"));
    assert_eq!(report(&daemon, &hub, &json!({ "depths": 6 })), Value::Null);
    daemon.wait_says(told, "the hub does not take a reported property");
    daemon.kill();
    meddler.refuse_reports(None);
    let daemon = options.start(&home);
    hub.wait_reported("d1", "twin-echo", "/depths", &json!(6));
    daemon.stop().ok();
}

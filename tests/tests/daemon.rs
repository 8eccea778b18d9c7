//! `daemon`: a device against a hub in another process, over TLS.

use serde_json::json;
use wasm_edge_tests::daemon::{Daemon, DaemonOptions};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::run::body;

/// `twin-echo`, which reports what is desired of it, and `feed`, whose messages go upstream.
fn deployment() -> Deployment {
    Deployment::new()
        .module(Module::guest("twin-echo").desired(json!({ "x": 5 })))
        .module(Module::guest("feed"))
        .upstream("feed")
}

/// Starts the device `d1` of a hub that has a deployment for it, and waits until it runs.
fn start<'a>(home: &'a Home, hub: &HubServe<'_>, options: &DaemonOptions) -> Daemon<'a> {
    hub.apply("d1", &deployment());
    let daemon = options.start(home);
    hub.wait_deployed("d1");
    daemon
}

#[test]
fn a_device_takes_its_deployment_twins_and_methods_from_its_hub_and_sends_there() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let options = DaemonOptions::of_hub(&hub, &hub.make_device("d1"));
    let daemon = start(&home, &hub, &options);

    let reported = hub.wait_reported("d1", "twin-echo", "/x", &json!(5));
    assert!(reported["properties"]["reported"]["$version"].as_u64() > Some(1));
    hub.patch("d1", "twin-echo", &json!({ "x": 7 }));
    hub.wait_reported("d1", "twin-echo", "/x", &json!(7));

    let mut telemetry = hub.telemetry();
    let sent = hub.call("d1", "feed", "send", &json!([{ "body": { "n": 1 } }]));
    assert_eq!(sent.0, 200, "{sent:?}");
    let message = telemetry.next("feed");
    assert_eq!(message["device"], "d1");
    assert_eq!(body(&message), json!({ "n": 1 }));

    let list = daemon.verb(&["list", "--output", "json"]).ok().json();
    assert_eq!(list["modules"][0]["device"], "d1", "{list}");
    daemon.wait_says(0, "connected to the hub");
    let outcome = daemon.stop().ok();
    assert!(outcome.stderr.contains("ended in order"), "{outcome:?}");
    assert_eq!(outcome.stdout, "");
}

#[test]
fn a_device_without_a_deployment_says_so_once_and_waits_for_one() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let options = DaemonOptions::of_hub(&hub, &hub.make_device("d1"));
    let daemon = options.start(&home);
    daemon.wait_says(0, "connected to the hub");
    hub.wait_twin("d1", "$edgeAgent", |twin| {
        twin["properties"]["reported"]["lastDesiredStatus"].is_object()
    });
    hub.apply("d1", &deployment());
    hub.wait_deployed("d1");
    let said = daemon.stop().ok().stderr;
    assert_eq!(
        said.matches("there is no deployment yet").count(),
        1,
        "{said}"
    );
    assert!(!said.contains("refused"), "{said}");
}

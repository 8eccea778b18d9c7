//! A daemon that starts where there is no network at all, with a hub configured: what it runs, what waits meanwhile, and
//! what goes to the hub when there is one again.

use std::process::Command;

use serde_json::{Value, json};
use wasm_edge_tests::daemon::{Daemon, DaemonOptions};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::http;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::wait;

/// The device of these tests.
const DEVICE: &str = "board-1";

fn deployment() -> Deployment {
    Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("twin-echo").desired(json!({ "x": 1 })))
        .pass("feed/out", "twin-echo/in")
        .upstream("feed")
}

/// The daemon in a network of its own, in which there is nothing: no interface, no route, no name server.
fn without_network(options: &DaemonOptions, home: &Home) -> Command {
    let daemon = options.command(home);
    let mut args = vec!["--user".into(), "--map-root-user".into(), "--net".into()];
    args.push(daemon.get_program().to_owned());
    args.extend(daemon.get_args().map(ToOwned::to_owned));
    home.program("unshare", args)
}

/// Whether this machine lets a user have a network of his own.
fn may_unshare() -> bool {
    let mut command = Command::new("unshare");
    let tried = command
        .args(["--user", "--map-root-user", "--net", "true"])
        .output();
    let may = tried.is_ok_and(|output| output.status.success());
    if !may {
        println!("left out: a user may have no network of his own on this machine");
    }
    may
}

fn on_device(daemon: &Daemon<'_>, module: &str) -> Value {
    daemon.get(&format!("/v1/twins/{DEVICE}/{module}"))
}

fn wait_on_device(daemon: &Daemon<'_>, key: &str, value: &Value) {
    wait::until_so("the module to report it", || {
        on_device(daemon, "twin-echo")["properties"]["reported"][key] == *value
    });
}

fn wait_at_hub(hub: &HubServe<'_>, key: &str, value: &Value) -> Value {
    hub.wait_reported(DEVICE, "twin-echo", &format!("/{key}"), value)
}

/// Lets the module `feed` send these messages, called without the hub.
fn send(home: &Home, messages: &Value) {
    let body = json!({ "methodName": "send", "payload": messages, "connectTimeoutInSeconds": 30 });
    let path = format!("/v1/methods/{DEVICE}/feed");
    let answer = http::ask(&home.data(), "POST", &path, Some(&body)).expect("an answer");
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (200, &json!(200)),
        "{answer:?}"
    );
}

fn version(twin: &Value, section: &str) -> u64 {
    let version = twin["properties"][section]["$version"].as_u64();
    version.unwrap_or_else(|| panic!("no version: {twin}"))
}

#[test]
fn a_device_without_network_runs_what_it_knows_and_sends_one_difference_when_it_is_back() {
    if !may_unshare() {
        return;
    }
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let options = DaemonOptions::of_hub(&hub, &hub.make_device(DEVICE));
    let daemon = options.start(&home);
    hub.apply(DEVICE, &deployment());
    wait_at_hub(&hub, "x", &json!(1));
    hub.patch(DEVICE, "twin-echo", &json!({ "x": 2 }));
    let before = wait_at_hub(&hub, "x", &json!(2));
    daemon.kill();

    let daemon = options.start_command(&home, without_network(&options, &home));
    daemon.wait_running();
    assert_eq!(
        on_device(&daemon, "twin-echo")["properties"]["desired"]["x"],
        2
    );
    for n in 1..=5 {
        send(
            &home,
            &json!([
                { "output": "up", "body": { "number": n } },
                { "output": "out", "body": { "more": n } },
            ]),
        );
    }
    wait_on_device(&daemon, "more", &json!(5));
    // A power cut while away loses none of it.
    daemon.kill();
    let daemon = options.start_command(&home, without_network(&options, &home));
    daemon.wait_running();
    wait_on_device(&daemon, "more", &json!(5));
    send(&home, &json!([{ "output": "out", "body": { "more": 6 } }]));
    wait_on_device(&daemon, "more", &json!(6));
    assert_eq!(
        daemon.get("/v1/upstream")["upstream"][0]["messagesQueued"],
        11
    );
    daemon.stop().ok();

    // Its hub was there all the time, and heard nothing.
    assert_eq!(
        hub.twin(DEVICE, "twin-echo")["properties"]["reported"],
        before["properties"]["reported"]
    );
    let daemon = options.start(&home);
    let after = wait_at_hub(&hub, "more", &json!(6));
    let reported = (version(&before, "reported"), version(&after, "reported"));
    assert_eq!(reported.1, reported.0 + 1, "six reports are one patch");
    wait::until_so("the messages to be at the hub", || {
        daemon.get("/v1/upstream")["upstream"][0]["messagesQueued"] == 0
    });
    let numbers = hub.get("/wasm-edge/v1/telemetry/status");
    assert_eq!(numbers["next"].as_u64(), Some(11), "{numbers}");
    daemon.stop().ok();
    hub.stop();
}

#[test]
fn a_local_change_lasts_as_long_as_the_network_is_away() {
    if !may_unshare() {
        return;
    }
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let options = DaemonOptions::of_hub(&hub, &hub.make_device(DEVICE));
    let daemon = options.start(&home);
    hub.apply(DEVICE, &deployment());
    let before = wait_at_hub(&hub, "x", &json!(1));
    let refused = daemon
        .verb(&["twin", "patch", "twin-echo", r#"{"x": 5}"#])
        .ended_with(1);
    refused.says(&["belong to the hub", "--local"]);
    daemon
        .verb(&["twin", "patch", "--local", "twin-echo", r#"{"x": 5}"#])
        .ended_with(1)
        .says(&["connected to its hub"]);
    daemon.stop().ok();

    let daemon = options.start_command(&home, without_network(&options, &home));
    daemon.wait_running();
    daemon
        .verb(&["twin", "patch", "--local", "twin-echo", r#"{"x": 5}"#])
        .ok();
    wait_on_device(&daemon, "x", &json!(5));
    daemon.kill();
    let daemon = options.start_command(&home, without_network(&options, &home));
    daemon.wait_running();
    let twin = on_device(&daemon, "twin-echo");
    assert_eq!(twin["local"]["changes"], json!({ "x": 5 }), "{twin}");
    assert_eq!(version(&twin, "desired"), version(&before, "desired"));
    daemon.stop().ok();

    let daemon = options.start(&home);
    daemon.wait_running();
    wait::until_so("the local change to be given up", || {
        on_device(&daemon, "twin-echo")["local"] == Value::Null
    });
    wait_on_device(&daemon, "x", &json!(1));
    let after = wait_at_hub(&hub, "x", &json!(1));
    assert_eq!(
        after["properties"]["desired"],
        before["properties"]["desired"]
    );
    daemon.stop().ok();
    hub.stop();
}

#[test]
fn a_change_at_the_hub_is_taken_on_when_the_device_is_back() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let options = DaemonOptions::of_hub(&hub, &hub.make_device(DEVICE));
    let daemon = options.start(&home);
    hub.apply(DEVICE, &deployment());
    wait_at_hub(&hub, "x", &json!(1));
    daemon.kill();
    // Two patches and another deployment, while nobody hears them.
    for patch in [json!({ "x": 2, "y": 1 }), json!({ "x": 3, "y": null })] {
        hub.patch(DEVICE, "twin-echo", &patch);
    }
    let hub = hub.kill_and_restart();
    let daemon = options.start(&home);
    let twin = wait_at_hub(&hub, "x", &json!(3));
    assert_eq!(
        on_device(&daemon, "twin-echo")["properties"]["desired"]["$version"],
        version(&twin, "desired")
    );
    daemon.stop().ok();
    hub.stop();
}

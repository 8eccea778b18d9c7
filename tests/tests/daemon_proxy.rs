//! `daemon` behind a proxy: all that leaves the device goes through it, and nothing else reaches the hub.
//!
//! The hub has a name that the proxy alone knows, so that a device that goes past it finds nobody.

use serde_json::json;
use wasm_edge_tests::daemon::{Daemon, DaemonOptions};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::dps_stand_in::DpsStandIn;
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::{HubOptions, HubServe};
use wasm_edge_tests::proxy::{Proxy, ProxyOptions};
use wasm_edge_tests::run::body;
use wasm_edge_tests::wait;

/// The name of the hub, which no resolver has.
const HUB_NAME: &str = "hub.test";

const LOGIN: (&str, &str) = ("board", "open-sesame");

fn hub(home: &Home) -> HubServe<'_> {
    HubOptions::new()
        .args(["--host-name", HUB_NAME])
        .start(home)
}

/// A proxy that knows the hub and lets in those with [`LOGIN`].
fn proxy_with_login(home: &Home) -> Option<Proxy> {
    let options = ProxyOptions {
        login: Some(LOGIN),
        name: Some(HUB_NAME),
        ..ProxyOptions::default()
    };
    Proxy::start_with(home, options)
}

/// The device `d1` of a hub that has a deployment for it.
fn device(hub: &HubServe<'_>) -> DaemonOptions {
    let options = DaemonOptions::of_hub(hub, &hub.make_device("d1"));
    let deployment = Deployment::new()
        .module(Module::guest("twin-echo").desired(json!({ "x": 5 })))
        .module(Module::guest("feed"))
        .upstream("feed");
    hub.apply("d1", &deployment);
    options
}

/// It runs its deployment, and twins, methods and messages go both ways.
fn works(hub: &HubServe<'_>, x: u64) {
    hub.wait_deployed("d1");
    hub.patch("d1", "twin-echo", &json!({ "x": x }));
    hub.wait_reported("d1", "twin-echo", "/x", &json!(x));
    let sent = hub.call("d1", "feed", "send", &json!([{ "body": x }]));
    assert_eq!(sent.0, 200, "{sent:?}");
    hub.telemetry().find(|message| body(message) == json!(x));
}

/// How often the log of a device names its hub as reached.
fn connected(daemon: &Daemon<'_>) -> usize {
    let said = daemon.process.stderr.text();
    said.matches("connected to the hub").count()
}

#[test]
fn all_that_leaves_the_device_goes_through_the_proxy_with_its_password() {
    let (hub_home, home) = (Home::new(), Home::new());
    let Some(proxy) = proxy_with_login(&home) else {
        return;
    };
    let hub = hub(&hub_home);
    let url = home.write_secret("proxy-url", proxy.url("board:open-sesame@"));
    let url = url.to_str().expect("a path of tests is text");
    let options = device(&hub).set("proxy", "url_file", url);

    let daemon = options.start(&home);
    works(&hub, 6);
    // Each identity has a connection, and those of the two modules were made by HTTPS.
    assert!(proxy.tunnels(hub.mqtt_port()) >= 4);
    assert!(proxy.tunnels(hub.https_port()) >= 1);
    let outcome = daemon.stop().ok();
    assert!(!outcome.stderr.contains("sesame"), "{}", outcome.stderr);

    let over_websocket =
        options
            .set("hub", "transport", "mqtt-ws")
            .set("hub", "mqtt_port", wait::free_port());
    let before = proxy.tunnels(hub.https_port());
    let daemon = over_websocket.start(&home);
    works(&hub, 7);
    assert!(proxy.tunnels(hub.https_port()) >= before + 4);
    daemon.stop().ok();
}

#[test]
fn a_proxy_that_lets_through_one_port_alone_is_used_for_that() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = hub(&hub_home);
    let options = ProxyOptions {
        only_port: Some(hub.https_port()),
        name: Some(HUB_NAME),
        ..ProxyOptions::default()
    };
    let Some(proxy) = Proxy::start_with(&home, options) else {
        return;
    };
    let options = device(&hub).env("https_proxy", &proxy.url(""));
    let daemon = options.start(&home);
    works(&hub, 6);
    let transport = daemon.get("/v1/upstream")["upstream"][0]["transport"].clone();
    assert_eq!(transport, "mqtt-ws");
    daemon.stop().ok();

    // Where that is not allowed either, it is said whose fault it is.
    let daemon = options.set("hub", "transport", "mqtt").start(&home);
    let refused = format!(
        "the proxy `127.0.0.1:{}` did not connect us to `hub.test:{}`",
        proxy.port(),
        hub.mqtt_port()
    );
    daemon.wait_says(0, &refused);
    assert_eq!(connected(&daemon), 0);
    // What the device had from its hub before runs meanwhile.
    daemon.wait_running();
    daemon.stop().ok();
}

#[test]
fn a_device_whose_password_the_proxy_does_not_take_says_so_and_shows_it_to_nobody() {
    let (hub_home, home) = (Home::new(), Home::new());
    let Some(proxy) = proxy_with_login(&home) else {
        return;
    };
    let hub = hub(&hub_home);
    let options = device(&hub).set("hub", "retry_max_secs", 1);
    let wrong = options
        .clone()
        .set("proxy", "url", proxy.url("board:wrong-mellon@"));
    let daemon = wrong.start(&home);
    daemon.wait_says(0, "asks for a user name");
    assert_eq!(connected(&daemon), 0);
    let outcome = daemon.stop().ok();
    assert!(!outcome.stderr.contains("mellon"), "{}", outcome.stderr);

    // Nobody goes past a proxy that is not there.
    let nowhere = format!("http://board:mellon@127.0.0.1:{}", wait::free_port());
    let daemon = options.set("proxy", "url", nowhere).start(&home);
    daemon.wait_says(0, "cannot reach the proxy");
    let outcome = daemon.stop().ok();
    assert!(!outcome.stderr.contains("mellon"), "{}", outcome.stderr);
}

#[test]
fn hosts_that_are_named_are_reached_without_the_proxy_and_the_service_through_it() {
    let (hub_home, home) = (Home::new(), Home::new());
    let Some(proxy) = Proxy::start(&home, None) else {
        return;
    };
    let hub = HubServe::start(&hub_home);
    let options = device(&hub).set("proxy", "url", proxy.url(""));
    let daemon = options
        .clone()
        .set("proxy", "no_proxy", json!(["example.com", "localhost"]))
        .start(&home);
    works(&hub, 6);
    daemon.stop().ok();
    let tunnels = || proxy.tunnels(hub.mqtt_port()) + proxy.tunnels(hub.https_port());
    assert_eq!(tunnels(), 0);

    // What only ends like the host is another one.
    let daemon = options
        .set("proxy", "no_proxy", json!(["host", "calhost"]))
        .start(&home);
    works(&hub, 7);
    daemon.stop().ok();
    assert!(tunnels() >= 4);

    let dps = DpsStandIn::start("0ne00000001", "localhost");
    let key = hub.get("/devices/d1")["authentication"]["symmetricKey"]["primaryKey"].clone();
    let key = key.as_str().expect("a key");
    dps.enrol("d1", key);
    let other_home = Home::new();
    let key = other_home.write_secret("device.key", key);
    let both = other_home.write("ca.pem", format!("{}{}", hub.ca_pem(), dps.ca_pem()));
    let daemon = DaemonOptions::new()
        .at(&hub)
        .set("deployment", "file_images", true)
        .set("hub", "ca_file", both.to_str().expect("text"))
        .set("provisioning", "source", "dps")
        .set("provisioning", "id_scope", "0ne00000001")
        .set("provisioning", "registration_id", "d1")
        .set("provisioning", "key_file", key.to_str().expect("text"))
        .set(
            "provisioning",
            "global_endpoint",
            format!("localhost:{}", dps.port()),
        )
        .set("proxy", "url", proxy.url(""))
        .start(&other_home);
    works(&hub, 8);
    assert_eq!(proxy.tunnels(dps.port()), 1);
    daemon.stop().ok();
}

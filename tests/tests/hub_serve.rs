//! `hub serve`: what listens, with which certificate, and for whom it has time.

use std::net::TcpListener;

use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::{HubOptions, HubServe};

#[test]
fn a_hub_that_started_tells_where_it_is_and_ends_in_order() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    assert_eq!(hub.get("/health/ready")["status"], "ready");
    let info = hub.get("/v1/info");
    assert_eq!(info["pid"], hub.process.id());
    assert_eq!(info["mqtt"], hub.told["mqtt"]);
    assert!(info.get("connectionStrings").is_none(), "{info}");
    let owner = hub.connection_string("iothubowner");
    let expected = format!(
        "HostName=localhost:{};SharedAccessKeyName=iothubowner;",
        hub.https_port()
    );
    assert!(owner.starts_with(&expected), "{owner}");
    let ended = hub.stop().ok();
    assert_eq!(ended.stderr, "");
}

#[test]
fn the_authority_outlives_a_kill_and_the_ports_are_taken_again() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    let (ca, mqtt, owner) = (
        hub.ca_pem(),
        hub.mqtt_port(),
        hub.connection_string("iothubowner"),
    );
    let hub = hub.kill_and_restart();
    assert_eq!((hub.ca_pem(), hub.mqtt_port()), (ca.clone(), mqtt));
    assert_eq!(hub.connection_string("iothubowner"), owner);
    assert_eq!(hub.verb(&["hub", "ca"]).ok().stdout, ca);
}

#[test]
fn a_port_in_use_is_an_error_with_a_way_out() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let ended = HubOptions::new().ports(address.port(), 0).to_end(&home);
    let cannot = format!("cannot listen on `{address}` for MQTT");
    ended
        .ended_with(1)
        .says(&[&cannot, "hint: ", "--mqtt-port PORT"]);
}

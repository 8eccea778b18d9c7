//! `daemon` over time: it is stopped under load, killed and started again, and shares a hub with another device.

use serde_json::{Value, json};
use wasm_edge_tests::daemon::{Daemon, DaemonOptions};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::numbers::{Arrival, Notes, check};
use wasm_edge_tests::run::body;
use wasm_edge_tests::wait;

/// `producer`, which sends numbers upstream as fast as it may, and notes which were taken.
fn numbers() -> Deployment {
    Deployment::new()
        .module(
            Module::guest("producer")
                .env("NOTES", "1")
                .env("BYTES", "64")
                .env("COUNT", "1000000000"),
        )
        .upstream("producer")
}

/// What the hub has of the producer, from the first message on to the one that says that it is the last.
fn arrivals(hub: &HubServe<'_>) -> Vec<Arrival> {
    let mut telemetry = hub.telemetry();
    let mut arrivals = Vec::new();
    loop {
        let message = telemetry.next("producer");
        arrivals.extend(Arrival::of(&message));
        if message["properties"].get("end").is_some() {
            return arrivals;
        }
    }
}

/// Waits until the hub has so many more messages of the producer than before.
fn wait_sent(daemon: &Daemon<'_>, more: u64) {
    let sent = || daemon.get("/v1/upstream")["upstream"][0]["messagesSent"].as_u64();
    let before = sent().expect("a number");
    wait::until_so("messages to be at the hub", || {
        sent().is_some_and(|sent| sent >= before + more)
    });
}

#[test]
fn what_was_taken_is_at_the_hub_after_ends_under_load_by_signal_and_by_kill() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let options = DaemonOptions::of_hub(&hub, &hub.make_device("d1"));
    hub.apply("d1", &numbers());
    let daemon = options.start(&home);
    hub.wait_deployed("d1");
    wait_sent(&daemon, 200);
    let outcome = daemon.stop().ok();
    assert!(outcome.stderr.contains("ended in order"), "{outcome:?}");
    let daemon = options.start(&home);
    wait_sent(&daemon, 200);
    daemon.kill();
    let daemon = options.start(&home);
    wait_sent(&daemon, 200);
    wait::until_so("room for a last message", || {
        hub.call("d1", "producer", "stop", &Value::Null).0 == 200
    });
    let arrivals = arrivals(&hub);
    check(&Notes::of(&home, "producer"), &arrivals).unwrap();
    daemon.stop().ok();
}

#[test]
fn two_devices_of_one_hub_run_the_same_image_with_twins_of_their_own() {
    let (hub_home, homes) = (Home::new(), [Home::new(), Home::new()]);
    let hub = HubServe::start(&hub_home);
    let deployment = Deployment::new()
        .module(Module::guest("twin-echo"))
        .module(Module::guest("feed"))
        .upstream("feed");
    let devices = ["Hannover01", "Hannover02"];
    let daemons: Vec<_> = devices
        .iter()
        .zip(&homes)
        .map(|(device, home)| {
            let options = DaemonOptions::of_hub(&hub, &hub.make_device(device));
            hub.apply(device, &deployment);
            options.start(home)
        })
        .collect();
    let mut telemetry = hub.telemetry();
    for (number, device) in devices.iter().enumerate() {
        hub.wait_deployed(device);
        hub.patch(device, "twin-echo", &json!({ "x": number }));
        let sent = hub.call(device, "feed", "send", &json!([{ "body": number }]));
        assert_eq!(sent.0, 200, "{sent:?}");
        let message = telemetry.next("feed");
        assert_eq!(message["device"], *device, "{message}");
        assert_eq!(body(&message), json!(number));
    }
    for (number, device) in devices.iter().enumerate() {
        hub.wait_reported(device, "twin-echo", "/x", &json!(number));
    }
    for (daemon, device) in daemons.into_iter().zip(devices) {
        let list = daemon.modules();
        assert!(list.iter().all(|module| module["device"] == device));
        daemon.stop().ok();
    }
}

#[test]
fn a_device_reaches_its_hub_over_websocket_where_that_is_asked_for_or_the_other_port_is_closed() {
    let (hub_home, homes) = (Home::new(), [Home::new(), Home::new()]);
    let hub = HubServe::start(&hub_home);
    let closed = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        free.local_addr().expect("it has an address").port()
    };
    for (transport, home) in ["mqtt-ws", "auto"].into_iter().zip(&homes) {
        let options = DaemonOptions::of_hub(&hub, &hub.make_device(transport))
            .set("hub", "transport", transport)
            .set("hub", "mqtt_port", closed);
        let deployment = Deployment::new()
            .module(Module::guest("feed"))
            .upstream("feed");
        hub.apply(transport, &deployment);
        let daemon = options.start(home);
        hub.wait_deployed(transport);
        let sent = hub.call(transport, "feed", "send", &json!([{ "body": transport }]));
        assert_eq!(sent.0, 200, "{sent:?}");
        let message = hub
            .telemetry()
            .find(|message| message["device"] == transport);
        assert_eq!(body(&message), json!(transport));
        daemon.stop().ok();
    }
}

/// The time a month after the one that a daemon has written into its folder.
fn a_month_later(home: &Home) -> String {
    let text = std::fs::read_to_string(home.in_data("clock.json")).expect("it was written");
    let written: Value = serde_json::from_str(&text).expect("JSON");
    let time = written["latestTime"].as_str().expect("a time");
    let (year, month): (u32, u32) = (time[..4].parse().unwrap(), time[5..7].parse().unwrap());
    let (year, month) = match month {
        12 => (year + 1, 1),
        month => (year, month + 1),
    };
    format!("{year}-{month:02}-01T00:00:00Z")
}

#[test]
fn a_clock_that_cannot_be_right_is_waited_for_or_taken_from_the_hub_and_modules_run_meanwhile() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let options = DaemonOptions::of_hub(&hub, &hub.make_device("d1"));
    hub.apply("d1", &Deployment::new().module(Module::guest("echo")));
    let daemon = options.start(&home);
    hub.wait_deployed("d1");
    daemon.stop().ok();
    // The clock of a board without a battery: a later time was seen before.
    let latest = json!({ "version": 1, "latestTime": a_month_later(&home) });
    std::fs::write(home.in_data("clock.json"), latest.to_string()).unwrap();

    let patient = options.clone().set("clock", "from_hub", false);
    let daemon = patient.start(&home);
    daemon.wait_says(0, "the clock is not set: no connection is made until it is");
    daemon.wait_running();
    let way = daemon.get("/v1/upstream")["upstream"][0].clone();
    assert_ne!(way["standing"], "connected", "{way}");
    daemon.stop().ok();

    let daemon = options.set("clock", "wait_secs", 0).start(&home);
    let next = daemon.wait_says(0, "the time is the hub's until the clock is set");
    daemon.wait_says(next, "connected to the hub");
    daemon.stop().ok();
}

//! Kill -9 of the hub under load: what was acknowledged is there, and versions never go back.
//!
//! Devices and modules send telemetry and report properties over MQTT, a service changes desired properties, sends
//! messages and makes identities over HTTPS, all at once and over TLS, while the hub is killed at random moments.
//! `make soak` runs this with hundreds of kills: `WASM_EDGE_SOAK_KILLS`, `WASM_EDGE_SOAK_SEED`.

mod load;
mod wire;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::{HubOptions, HubServe};
use wasm_edge_tests::process::Process;
use wasm_edge_tests::soak::{self, Chance};
use wasm_edge_tests::wait;

use load::{Known, Sent, Shared};
use wire::{Far, Identity};

/// Who sends telemetry, and who reports.
const SENDERS: [&str; 3] = ["sender0", "sender1", "device/modules/sender"];
const REPORTERS: [&str; 2] = ["reporter", "device/modules/reporter"];

/// Whose desired properties are changed.
const DESIRED: &str = "desired";

/// The most that is acknowledged, and milliseconds, after which the hub is killed.
const ACKNOWLEDGED_MAX: u64 = 600;
const STARTING_MAX_MS: u64 = 300;
const SOON_MAX_MS: u64 = 20;

/// Messages that are read at a time.
const PORTION: usize = 1000;

/// Makes an identity and answers its key.
fn make(hub: &HubServe<'_>, path: &str) -> Identity {
    if let Some((device, _)) = path.split_once("/modules/") {
        // It may be there for another module.
        hub.ask(
            "PUT",
            &format!("/devices/{device}"),
            Some(&Value::Object(Default::default())),
        );
    }
    let answer = hub.ask(
        "PUT",
        &format!("/devices/{path}"),
        Some(&Value::Object(Default::default())),
    );
    assert!(matches!(answer.status, 200 | 201), "{path}: {answer:?}");
    Identity {
        path: path.to_owned(),
        key: load::key_of(&answer.body),
    }
}

/// Kills the hub at a random moment, at times also the next one while it starts; answers with one that runs.
fn kill<'a>(
    hub: HubServe<'a>,
    home: &'a Home,
    shared: &Shared,
    chance: &mut Chance,
) -> HubServe<'a> {
    let enough = shared.acknowledged() + 1 + chance.below(ACKNOWLEDGED_MAX);
    wait::until_so("the hub to acknowledge something", || {
        shared.acknowledged() >= enough
    });
    thread::sleep(Duration::from_millis(chance.below(SOON_MAX_MS)));
    let options: HubOptions = hub.kill();
    if chance.below(4) == 0 {
        let mut process = Process::start(home.command(options.command_line(home)));
        // No wait for something: the moment is what is tried.
        thread::sleep(Duration::from_millis(chance.below(STARTING_MAX_MS)));
        process.signal(Signal::KILL);
        process.wait();
    }
    options.start(home)
}

/// All telemetry: for each sender and number, how often it is there.
fn telemetry(far: &Far) -> BTreeMap<String, BTreeMap<u64, u64>> {
    let mut found: BTreeMap<String, BTreeMap<u64, u64>> = BTreeMap::new();
    let mut from = "earliest".to_owned();
    loop {
        let path = format!("/wasm-edge/v1/events?from={from}&max={PORTION}&wait=0");
        let (status, answer) = far.call("GET", &path, "").expect("the hub runs");
        assert_eq!(status, 200, "{answer}");
        let events = answer["events"].as_array().expect("a list of events");
        if events.is_empty() {
            return found;
        }
        for event in events {
            let body = &event["body"];
            let sender = body["from"].as_str().expect("the sender");
            let number = body["number"].as_u64().expect("the number");
            let counts = found.entry(sender.to_owned()).or_default();
            *counts.entry(number).or_default() += 1;
        }
        from = answer["position"].as_str().expect("a position").to_owned();
    }
}

fn check_telemetry(name: &str, sent: &Sent, found: &BTreeMap<u64, u64>) {
    println!(
        "{name}: {} acknowledged, {} sent again, {} there",
        sent.acknowledged.len(),
        sent.again.len(),
        found.len()
    );
    for number in &sent.acknowledged {
        let count = found.get(number).copied().unwrap_or_default();
        assert!(count > 0, "{name}: {number} was acknowledged and is lost");
        let is_once = count == 1 || sent.again.contains(number);
        assert!(
            is_once,
            "{name}: {number} was sent once and is there {count} times"
        );
    }
}

fn check_twin(far: &Far, path: &str, section: &str, known: &Known) {
    let (status, twin) = far
        .call("GET", &format!("/twins/{path}"), "")
        .expect("the hub runs");
    assert_eq!(status, 200, "{twin}");
    let properties = &twin["properties"][section];
    let (number, version) = (&properties["number"], &properties["$version"]);
    println!("{path}: {known:?}, {section} has {number} in version {version}");
    let is_in = |value: &Value, from: u64, to: u64| {
        value
            .as_u64()
            .is_some_and(|value| value >= from && value <= to)
    };
    assert!(is_in(number, known.number, known.sent), "{path}: {twin}");
    assert!(
        is_in(version, known.version, known.sent + 1),
        "{path}: {twin}"
    );
}

#[test]
fn what_the_hub_acknowledged_is_there_after_kill_9_at_any_moment() {
    let kills = soak::amount("WASM_EDGE_SOAK_KILLS", 20);
    let mut chance = Chance::new();
    println!("{kills} kills, seed {}", chance.seed());
    let home = Home::new();
    let hub = HubServe::start(&home);
    let senders = SENDERS.map(|path| make(&hub, path));
    let reporters = REPORTERS.map(|path| make(&hub, path));
    make(&hub, DESIRED);
    let far = Far::new(
        hub.mqtt_port(),
        hub.https_port(),
        &hub.ca_file(),
        &hub.connection_string("iothubowner"),
    );
    let (far, shared) = (&far, &Shared::default());
    let (hub, sent, reported, desired, commands, created) = thread::scope(|scope| {
        let mut hub = hub;
        let senders = senders
            .each_ref()
            .map(|identity| scope.spawn(move || load::send_telemetry(far, identity, shared)));
        let reporters = reporters
            .each_ref()
            .map(|identity| scope.spawn(move || load::report(far, identity, shared)));
        let desired = scope.spawn(move || load::desire(far, DESIRED, shared));
        let commands = scope.spawn(move || load::command(far, shared));
        let created = scope.spawn(move || load::create(far, shared));
        let work = shared.stop_with();
        for round in 1..=kills {
            println!("kill {round}");
            hub = kill(hub, &home, shared, &mut chance);
        }
        drop(work);
        (
            hub,
            senders.map(|it| it.join().expect("a sender works")),
            reporters.map(|it| it.join().expect("a reporter works")),
            desired.join().expect("the service works"),
            commands.join().expect("the service works"),
            created.join().expect("the service works"),
        )
    });
    let hub = hub.kill_and_restart();
    let found = telemetry(far);
    for (identity, sent) in senders.iter().zip(&sent) {
        check_telemetry(&identity.path, sent, &found[&identity.path]);
    }
    for (identity, known) in reporters.iter().zip(&reported) {
        check_twin(far, &identity.path, "reported", known);
    }
    check_twin(far, DESIRED, "desired", &desired);
    println!(
        "{} identities, {} devices with messages",
        created.len(),
        commands.len()
    );
    for (path, key) in created {
        let (status, identity) = far
            .call("GET", &format!("/devices/{path}"), "")
            .expect("the hub runs");
        assert_eq!(status, 200, "{path}: {identity}");
        assert_eq!(load::key_of(&identity), key, "{path}");
    }
    for (identity, numbers) in commands {
        load::take_commands(far, &identity, &numbers).expect("the messages come");
    }
    hub.stop().ok();
}

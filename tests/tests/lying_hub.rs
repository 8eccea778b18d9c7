//! A hub that lies over open sessions: what it says that makes no sense is told in the log and changes nothing, and
//! those to whom it does not lie notice nothing.

use serde_json::{Value, json};
use wasm_edge_tests::daemon::{Daemon, DaemonOptions};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::meddler::{Meddler, publish};
use wasm_edge_tests::rude::Rude;

/// What the device may take for all that it is told, beside what it has at rest: some packets of the largest size.
const GROWTH_MAX_BYTES: u64 = 24 << 20;

const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/";

/// The module that is lied to, the one whose methods are called by nobody, and one that is left alone.
fn deployment() -> Deployment {
    Deployment::new()
        .module(Module::guest("twin-echo"))
        // It may take its time.
        .module(Module::guest("method-echo").wasm("callDeadlineMs", 600_000))
        .module(
            Module::guest("producer")
                .env("EVERY_MS", "10")
                .env("COUNT", "1000000000"),
        )
        .upstream("producer")
}

/// A device that reaches its hub through the meddler alone.
fn options(hub: &HubServe<'_>, meddler: &Meddler) -> DaemonOptions {
    let both = format!("{}{}", hub.ca_pem(), meddler.ca_pem());
    let both = hub.home().write("both.pem", both);
    DaemonOptions::of_hub(hub, &hub.make_device("d1"))
        .set("hub", "ca_file", both.to_str().expect("the path is text"))
        .set("hub", "mqtt_port", meddler.port())
        .set("hub", "retry_max_secs", 1)
        .set("log", "level", "debug")
}

fn start<'a>(home: &'a Home, hub: &HubServe<'_>, options: &DaemonOptions) -> Daemon<'a> {
    hub.apply("d1", &deployment());
    let daemon = options.start(home);
    hub.wait_deployed("d1");
    daemon
}

/// The truth gets through to the module that was lied to.
fn tell_the_truth(hub: &HubServe<'_>, x: usize) {
    hub.patch("d1", "twin-echo", &json!({ "x": x }));
    hub.wait_reported("d1", "twin-echo", "/x", &json!(x));
}

/// Those that were not lied to have had one connection, send, and were never restarted.
fn others_go_on(daemon: &Daemon<'_>, hub: &HubServe<'_>) {
    let way = daemon.get("/v1/upstream")["upstream"][0].clone();
    let sessions = way["sessions"].as_array().expect("a list");
    let of = |module: &str| sessions.iter().find(|session| session["module"] == module);
    assert_eq!(of("producer").expect("it is open")["connections"], 1);
    for module in daemon.modules() {
        assert_eq!(module["restartCount"], 0, "{module}");
    }
    let before = way["messagesSent"].as_u64();
    wasm_edge_tests::wait::until_so("messages to arrive", || {
        daemon.get("/v1/upstream")["upstream"][0]["messagesSent"].as_u64() > before
    });
    hub.wait_deployed("d1");
}

/// How often the log complains at a level that is shown.
fn complaints(daemon: &Daemon<'_>) -> usize {
    let said = daemon.process.stderr.text();
    let warned = |line: &&str| line.contains("WARN") && line.contains("the hub makes no sense");
    said.lines().filter(warned).count()
}

#[test]
fn what_makes_no_sense_on_an_open_session_is_told_once_and_changes_nothing() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let meddler = Meddler::before(&hub);
    let daemon = start(&home, &hub, &options(&hub, &meddler));
    let twin = br#"{"desired":{"x":-1,"$version":99},"reported":{"$version":99}}"#;
    let deep = "[".repeat(100_000);
    let versioned = |version: u64| format!("{DESIRED}?$version={version}");
    let rubbish = "a change of desired properties is no JSON object with a version";
    let unasked = "nobody asked for what it published";
    let lies: &[(Vec<u8>, &str)] = &[
        (vec![0x40, 2, 0x42, 0x42], ""),
        (vec![0x90, 3, 0x42, 0x42, 1], ""),
        (vec![0xb0, 2, 0x42, 0x42], ""),
        (
            publish("$iothub/twin/res/200/?$rid=4242424242424", twin),
            "",
        ),
        (publish("$iothub/twin/res/500/?$rid=x", b"{}"), unasked),
        (publish(&versioned(1), br#"{"x":-2,"$version":1}"#), ""),
        (publish(&versioned(4_000_000_000), br#"{"x":-3}"#), ""),
        (publish(&versioned(u64::MAX), br#"{"x":-4}"#), ""),
        (publish(DESIRED, b"{\"desired\": "), rubbish),
        (publish(&versioned(7), b"[1]"), rubbish),
        (publish(&versioned(7), deep.as_bytes()), rubbish),
        (publish(&versioned(7), b"\xff\xfe"), rubbish),
        (publish("\u{1b}[31m/red", b"x"), unasked),
    ];
    for (x, (lie, says)) in lies.iter().enumerate() {
        let from = daemon.process.stderr.all().len();
        meddler.say("d1/twin-echo", lie);
        tell_the_truth(&hub, x);
        if !says.is_empty() {
            daemon.wait_says(from, says);
        }
    }
    assert_eq!(complaints(&daemon), 2, "{}", daemon.process.stderr.text());
    assert!(!daemon.process.stderr.text().contains('\u{1b}'));
    others_go_on(&daemon, &hub);
    daemon.stop().ok();
}

#[test]
fn packets_that_are_none_end_the_connection_of_one_module_alone() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let meddler = Meddler::before(&hub);
    let daemon = start(&home, &hub, &options(&hub, &meddler));
    let lies: &[(&[u8], &str)] = &[
        (&[0x40, 2, 0, 0], "a packet id of zero"),
        (&[0x30, 0xff, 0xff, 0xff, 0x7f], "a packet above the limit"),
        (&[0x30, 0xff, 0xff, 0xff, 0xff, 0xff], "a wrong length"),
        (&[0x20, 2, 0, 0], "CONNACK again"),
        (&[0x10, 0], "not for clients"),
        (&[0x34, 5, 0, 1, b'a', 0, 1], "exactly once"),
        (&[0x30, 5, 0, 200, b'a', 0, 1], "do not fit its length"),
        (&[0x30, 3, 0, 1, b'#'], "without a proper topic"),
    ];
    for (x, (lie, says)) in lies.iter().enumerate() {
        let from = daemon.process.stderr.all().len();
        meddler.say("d1/twin-echo", lie);
        daemon.wait_says(from, says);
        tell_the_truth(&hub, x);
    }
    assert_eq!(complaints(&daemon), 1, "{}", daemon.process.stderr.text());
    others_go_on(&daemon, &hub);
    daemon.stop().ok();
}

#[test]
fn calls_of_methods_that_are_none_are_answered_and_reach_no_module() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let meddler = Meddler::before(&hub);
    let daemon = start(&home, &hub, &options(&hub, &meddler));
    let call = |name: &str, id: &str| format!("$iothub/methods/POST/{name}/?$rid={id}");
    let long = format!("\"{}\"", "x".repeat(200_000));
    let lies: &[(&str, &str, &[u8])] = &[
        ("method-echo", "echo", b"{\"a\":"),
        ("method-echo", "echo", b"\xff\xff"),
        ("method-echo", "echo", &[b'['; 100_000]),
        ("method-echo", "echo", long.as_bytes()),
        ("$edgeAgent", "ping", b"{"),
        ("$edgeAgent", "GetModuleLogs", b"\0"),
    ];
    for (number, (module, name, payload)) in lies.iter().enumerate() {
        let id = format!("lie{number}");
        let lie = publish(&call(name, &id), payload);
        meddler.say(&format!("d1/{module}"), &lie);
        meddler.wait_published(&format!("$iothub/methods/res/400/?$rid={id}"));
    }
    daemon.wait_says(0, "the payload is not JSON");
    daemon.wait_says(0, "the payload is not UTF-8");
    assert_eq!(complaints(&daemon), 2, "{}", daemon.process.stderr.text());
    // What is no call at all has no answer.
    let from = daemon.process.stderr.all().len();
    meddler.say("d1/method-echo", &publish("$iothub/methods/POST/", b"{}"));
    daemon.wait_says(from, "nobody asked for what it published");

    // The guest counts its calls: none of those before reached it.
    let answer = hub.call("d1", "method-echo", "echo", &Value::Null);
    assert_eq!(answer.1["calls"], 1, "{answer:?}");

    // More calls than may wait: those that do not fit are answered at once.
    let flood: Vec<u8> = (0..500)
        .flat_map(|number| publish(&call("slow", &format!("flood{number}")), b"1"))
        .collect();
    meddler.say("d1/method-echo", &flood);
    meddler.wait_published("$iothub/methods/res/429/?$rid=flood");
    others_go_on(&daemon, &hub);
    daemon.stop().ok();
}

#[test]
fn a_flood_of_lies_takes_no_memory_to_speak_of() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let meddler = Meddler::before(&hub);
    let daemon = start(&home, &hub, &options(&hub, &meddler).unset("log", "level"));
    tell_the_truth(&hub, 1);
    let before = daemon.process.peak_bytes();
    let large = vec![b'['; 250_000];
    let lies = [
        publish(DESIRED, &large),
        publish("somewhere/else", &large),
        publish("$iothub/twin/res/200/?$rid=1", &large),
    ];
    for lie in lies.iter().cycle().take(200) {
        meddler.say("d1/twin-echo", lie);
    }
    // Each is a change that is known already, or one before which others are missing.
    let change = |version: u64| publish(&format!("{DESIRED}?$version={version}"), b"{\"x\":0}");
    let many: Vec<u8> = (0..2000)
        .flat_map(|version| change(version * 1000))
        .collect();
    for _ in 0..20 {
        meddler.say("d1/twin-echo", &many);
    }
    tell_the_truth(&hub, 2);
    let grown = daemon.process.peak_bytes() - before;
    assert!(grown < GROWTH_MAX_BYTES, "{grown}");
    others_go_on(&daemon, &hub);
    let outcome = daemon.stop().ok();
    assert!(outcome.stderr.lines().count() < 40, "{}", outcome.stderr);
}

#[test]
fn answers_about_identities_without_end_or_sense_are_given_up() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let rude = Rude::start();
    let trusted = format!("{}{}", hub.ca_pem(), rude.ca_pem());
    let trusted = hub_home.write("trusted.pem", trusted);
    let trusted = trusted.to_str().expect("the path is text");
    let options = DaemonOptions::of_hub(&hub, &hub.make_device("d1"))
        .set("hub", "ca_file", trusted)
        .set("hub", "retry_max_secs", 1);
    start(&home, &hub, &options).stop().ok();

    // What has an identity goes on; another module has none.
    hub.apply("d1", &deployment().module(Module::guest("feed")));
    let identity = |module: &str, generation: &Value| {
        let keys = json!({ "primaryKey": "AAAAAAAAAAAAAAAAAAAAAA==", "secondaryKey": "AAAAAAAAAAAAAAAAAAAAAA==" });
        let identity = json!({
            "deviceId": "d1", "moduleId": module, "generationId": generation,
            "authentication": { "type": "sas", "symmetricKey": keys },
        });
        let body = identity.to_string();
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let endless_line = "x".repeat(4096);
    let lies = [
        ("HTTP/1.1 200 OK\r\n".to_owned(), "a: b\r\n"),
        ("HTTP/1.1 200 OK\r\na: ".to_owned(), &endless_line),
        (String::new(), "HTTP/1.1 100 Continue\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\n\r\n".to_owned(), &endless_line),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
            "",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a\": [[[".to_owned(),
            "",
        ),
        ("SSH-2.0-no\r\n".to_owned(), ""),
        (identity("other", &json!("1")), ""),
        (identity("feed", &json!(7)), ""),
    ];
    for (begins, goes_on) in lies {
        rude.answer(&begins, goes_on);
        let daemon = options.clone().set("hub", "https_port", rude.port());
        let daemon = daemon.start(&home);
        let before = daemon.process.peak_bytes();
        daemon.wait_says(0, "cannot make the identity of module `feed`");
        tell_the_truth(&hub, begins.len());
        let grown = daemon.process.peak_bytes() - before;
        assert!(grown < GROWTH_MAX_BYTES, "{grown}");
        daemon.stop().ok();
    }
}

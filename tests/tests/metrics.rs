//! Metrics of a device: off unless asked for, sound text while modules come and go, and the names of IoT Edge.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::json;
use wasm_edge_tests::daemon::DaemonOptions;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::run::{DEVICE, Run, RunOptions};
use wasm_edge_tests::wait;

/// A sample: its labels, sorted, and its value.
type Sample = (BTreeMap<String, String>, f64);

/// All samples by the name of their metric.
type Scrape = BTreeMap<String, Vec<Sample>>;

/// A port that nobody listens on.
fn free_port() -> u16 {
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    free.local_addr().expect("it is bound").port()
}

/// A run whose metrics are served, and their port.
fn start<'a>(home: &'a Home, deployment: &Deployment) -> (Run<'a>, u16) {
    let port = free_port();
    let config = format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\n");
    let config = home.write("config.toml", config);
    let options = RunOptions::new(&deployment.write(home)).args(["--config".into(), config]);
    let run = options.start(home);
    run.wait_running();
    (run, port)
}

/// What is answered to a request: the head and the body.
fn ask(port: u16, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(wait::LIMIT)).expect("a limit");
    write!(stream, "{request}\r\nHost: localhost\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

fn scrape(port: u16) -> Scrape {
    let (head, body) = ask(port, "GET /metrics HTTP/1.1");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("Content-Type: text/plain; version=0.0.4"),
        "{head}"
    );
    parse(&body)
}

/// Reads the text form strictly: a description and a type before the samples of each name, which stand together and
/// differ in their labels.
fn parse(text: &str) -> Scrape {
    let mut scrape = Scrape::new();
    let mut lines = text.split_terminator('\n').peekable();
    assert!(text.ends_with('\n'));
    while let Some(line) = lines.next() {
        let help = line
            .strip_prefix("# HELP ")
            .unwrap_or_else(|| panic!("{line}"));
        let (name, told) = help.split_once(' ').expect("a text");
        assert!(!told.is_empty());
        let kind = lines
            .next()
            .and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")));
        assert!(
            matches!(kind, Some("counter" | "gauge")),
            "{name}: {kind:?}"
        );
        let mut samples = Vec::new();
        let mut seen = BTreeSet::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let rest = line.strip_prefix(name).unwrap_or_else(|| panic!("{line}"));
            let (labels, value) = rest.rsplit_once("} ").expect("labels and a value");
            let labels = labels_of(labels.strip_prefix('{').expect("labels"));
            assert!(seen.insert(labels.clone()), "twice: {line}");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(value.is_finite() && value >= 0.0, "{line}");
            samples.push((labels, value));
        }
        assert!(!samples.is_empty(), "{name}");
        assert!(
            scrape.insert(name.to_owned(), samples).is_none(),
            "{name} is told twice"
        );
    }
    scrape
}

fn labels_of(mut rest: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    loop {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("{rest}"));
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
            "{name}"
        );
        let (mut text, mut end) = (String::new(), None);
        let mut characters = value.char_indices();
        while let Some((place, character)) = characters.next() {
            match character {
                '"' => {
                    end = Some(place);
                    break;
                }
                '\\' => match characters.next().expect("an escape").1 {
                    'n' => text.push('\n'),
                    other @ ('\\' | '"') => text.push(other),
                    other => panic!("\\{other}"),
                },
                other => text.push(other),
            }
        }
        assert!(
            labels.insert(name.to_owned(), text).is_none(),
            "{name} twice"
        );
        rest = &value[end.expect("a quote") + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => {
                assert_eq!(rest, "");
                return labels;
            }
        }
    }
}

/// The value of the sample that has these labels.
fn value(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let has = |found: &BTreeMap<String, String>| {
        labels
            .iter()
            .all(|(label, value)| found.get(*label).is_some_and(|found| found == value))
    };
    let mut samples = scrape.get(name)?.iter().filter(|(found, _)| has(found));
    let value = samples.next()?.1;
    assert!(
        samples.next().is_none(),
        "{name} {labels:?} is not one sample"
    );
    Some(value)
}

#[test]
fn what_modules_do_is_counted_under_the_names_of_iot_edge() {
    let home = Home::new();
    let deployment = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("echo").set("version", "1.0 \"beta\"\\x"))
        .pass("feed/out", "echo/in")
        .upstream("echo");
    let (run, port) = start(&home, &deployment);
    run.send(&json!([{ "body": 1 }, { "body": 2 }, { "body": 3 }]));
    assert_eq!(run.call("$edgeAgent", "PING", &json!(null)).0, 200);
    let scrape = wait::until("three messages to be counted", || {
        let scrape = scrape(port);
        let sent = value(&scrape, "wasm_edge_upstream_messages_sent_total", &[]);
        (sent == Some(3.0)).then_some(scrape)
    });
    let check = |name: &str, labels: &[(&str, &str)], expected: f64| {
        assert_eq!(
            value(&scrape, name, labels),
            Some(expected),
            "{name} {labels:?}"
        );
    };
    check("edgehub_messages_received_total", &[("id", "feed")], 3.0);
    check("edgehub_messages_sent_total", &[("to", "echo")], 3.0);
    check("edgehub_messages_sent_total", &[("to", "$upstream")], 3.0);
    check(
        "edgehub_messages_dropped_total",
        &[("reason", "no_route"), ("from", "feed")],
        0.0,
    );
    check("edgehub_queue_length", &[("endpoint", "$upstream")], 0.0);
    check("edgehub_connected_clients", &[], 2.0);
    let version = ("module_version", "1.0 \"beta\"\\x");
    check(
        "edgeAgent_module_start_total",
        &[("module_name", "echo"), version],
        1.0,
    );
    check(
        "edgeagent_direct_method_invocations_count",
        &[("method_name", "ping")],
        1.0,
    );
    check("wasm_edge_module_ready", &[("module_name", "echo")], 1.0);
    check("wasm_edge_session_connected", &[("id", "echo")], 1.0);
    check(
        "wasm_edge_sessions_opened_total",
        &[("id", "$edgeHub")],
        1.0,
    );
    for (name, module) in [
        ("used", "echo"),
        ("used", "host"),
        ("used", "edgeAgent"),
        ("total", "echo"),
    ] {
        let name = format!("edgeAgent_{name}_memory_bytes");
        let bytes = value(&scrape, &name, &[("module_name", module)]);
        assert!(
            bytes.is_some_and(|bytes| bytes >= 65536.0),
            "{name} {module} {bytes:?}"
        );
    }
    for samples in scrape.values() {
        for (labels, _) in samples {
            assert_eq!(labels["iothub"], "localhost");
            assert_eq!(labels["edge_device"], DEVICE);
            assert!(!labels["instance_number"].is_empty());
        }
    }
    // Without a network there is no traffic.
    assert!(!scrape.contains_key("wasm_edge_traffic_sent_bytes_total"));
    run.interrupt().ok();
}

#[test]
fn scrapes_are_sound_while_modules_come_and_go() {
    let home = Home::new();
    let deployment = |count: usize| {
        let feed = Deployment::new()
            .module(Module::guest("feed"))
            .upstream("feed");
        (0..count).fold(feed, |deployment, number| {
            let name = format!("m{number}");
            deployment
                .module(Module::guest("echo").named(&name))
                .pass("feed/out", &format!("{name}/in"))
        })
    };
    let (run, port) = start(&home, &deployment(1));
    let (mut before, mut lowest, mut highest) = (0.0, usize::MAX, 0);
    for count in [6, 0, 4, 2] {
        let file = deployment(count).write_as(&home, &format!("{count}.json"));
        let mut apply = run.verb_process(&["deploy", "apply", file.to_str().expect("UTF-8")]);
        wait::until("the modules to be as deployed", || {
            run.send(&json!([{ "body": count }]));
            let scrape = scrape(port);
            let sent = value(
                &scrape,
                "edgehub_messages_received_total",
                &[("id", "feed")],
            );
            let sent = sent.expect("it has sent");
            assert!(sent > before, "a counter only grows");
            before = sent;
            let modules = scrape["wasm_edge_module_ready"].len();
            (lowest, highest) = (lowest.min(modules), highest.max(modules));
            (modules == count + 1).then_some(())
        });
        apply.wait().ok();
    }
    assert_eq!((lowest, highest), (1, 7));
    run.interrupt().ok();
}

#[test]
fn nothing_listens_unless_it_is_set_and_a_port_that_is_in_use_is_told() {
    let home = Home::new();
    let deployment = Deployment::new().module(Module::guest("echo"));
    let (run, port) = start(&home, &deployment);
    let (head, _) = ask(port, "GET /v1/info HTTP/1.1");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    let (head, _) = ask(port, "DELETE /metrics HTTP/1.1");
    assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
    let (head, body) = ask(port, "HEAD /metrics HTTP/1.1");
    assert!(
        head.starts_with("HTTP/1.1 200 ") && body.is_empty(),
        "{head}"
    );
    run.interrupt().ok();
    assert!(
        TcpStream::connect(("127.0.0.1", port)).is_err(),
        "it has ended"
    );

    let taken = TcpListener::bind(("127.0.0.1", port)).expect("it is free again");
    let config = home.path().join("config.toml");
    let manifest = deployment.write(&home);
    RunOptions::new(&manifest)
        .args(["--config".into(), config])
        .to_end(&home)
        .ended_with(1)
        .says(&[
            &format!("cannot serve metrics on `127.0.0.1:{port}`"),
            "hint: choose another address",
        ]);
    drop(taken);
    // Without a word in the configuration nothing is served.
    let run = Run::of(&home, &manifest);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    run.interrupt().ok();
}

#[test]
fn what_goes_over_the_network_is_counted_for_each_identity() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let port = free_port();
    let options = DaemonOptions::of_hub(&hub, &hub.make_device("d1")).set(
        "metrics",
        "listen",
        format!("127.0.0.1:{port}"),
    );
    let deployment = Deployment::new()
        .module(Module::guest("feed"))
        .upstream("feed");
    hub.apply("d1", &deployment);
    let daemon = options.start(&home);
    hub.wait_deployed("d1");
    let sent = hub.call("d1", "feed", "send", &json!([{ "body": { "n": 1 } }]));
    assert_eq!(sent.0, 200, "{sent:?}");
    assert_eq!(hub.call("d1", "$edgeAgent", "ping", &json!(null)).0, 200);
    let scrape = wait::until("the message to be counted", || {
        let scrape = scrape(port);
        let sent = value(&scrape, "wasm_edge_upstream_messages_sent_total", &[]);
        (sent == Some(1.0)).then_some(scrape)
    });
    let traffic = |what: &str, id: &str| {
        let name = format!("wasm_edge_traffic_{what}_total");
        value(&scrape, &name, &[("id", id)]).unwrap_or_else(|| panic!("{name} {id}"))
    };
    for id in ["$edgeAgent", "$edgeHub", "feed"] {
        assert!(traffic("sent_bytes", id) > 100.0, "{id}");
        assert!(traffic("received_bytes", id) > 100.0, "{id}");
        assert!(traffic("connections", id) >= 1.0, "{id}");
    }
    assert!(traffic("message_bytes", "feed") > 10.0);
    assert_eq!(traffic("message_bytes", "$edgeHub"), 0.0);
    let calls = [("method_name", "ping")];
    let name = "edgeagent_direct_method_invocations_count";
    assert_eq!(value(&scrape, name, &calls), Some(1.0));

    let page = daemon
        .verb(&["inspect", "feed", "--output", "json"])
        .ok()
        .json();
    assert_eq!(page["session"]["connected"], true, "{page}");
    assert!(page["traffic"]["sentBytes"].as_u64() > Some(100), "{page}");
    let page = daemon.verb(&["inspect", "feed"]).ok().stdout;
    assert!(page.contains("\nsession   connected since "), "{page}");
    assert!(page.contains(" sent, "), "{page}");
    let ways = daemon
        .verb(&["upstream", "status", "--output", "json"])
        .ok()
        .json();
    let way = &ways["upstream"][0];
    assert!(
        way["traffic"]["$edgeAgent"]["receivedBytes"].as_u64() > Some(100),
        "{way}"
    );
    daemon.stop().ok();
}

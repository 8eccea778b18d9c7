//! The device's configuration: what is said of a wrong one, and what a right one does.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module, route};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{Run, RunOptions};

fn options(home: &Home, config: &str) -> RunOptions {
    let manifest = Deployment::new().module(Module::guest("echo")).write(home);
    let config = home.write("device.toml", config);
    RunOptions::new(&manifest).args(["--config".into(), config.into_os_string()])
}

#[test]
fn every_fault_of_a_configuration_is_told_and_nothing_is_started() {
    let home = Home::new();
    let config = "[router]\ndurability = \"disk\"\nmax_bytes = 1\nqueue = true\n";
    let outcome = options(&home, config).to_end(&home).ended_with(78);
    for told in [
        "device.toml: line 2, column 14: router.durability: `disk` stands here; expected `none`, `process` or `power`",
        "device.toml: line 3, column 13: router.max_bytes: 1 stands here; expected a whole number from",
        "device.toml: line 4, column 1: router.queue: the key is not known; expected `durability`",
        "has 3 faults",
    ] {
        assert!(outcome.stderr.contains(told), "{told}: {outcome:?}");
    }
    let quiet = options(&home, config).args(["--quiet"]).to_end(&home);
    let told = "line 4, column 1: router.queue: the key is not known";
    assert!(quiet.stderr.contains(told), "{quiet:?}");
    assert!(!home.data().exists(), "nothing was started");
}

#[test]
fn a_configuration_that_is_not_there_is_told() {
    let home = Home::new();
    let manifest = Deployment::new().module(Module::guest("echo")).write(&home);
    let outcome = RunOptions::new(&manifest)
        .args(["--config", "nowhere.toml"])
        .to_end(&home)
        .ended_with(4);
    assert!(outcome.stderr.contains("`nowhere.toml`"), "{outcome:?}");
}

/// `feed`, and `say`, which takes nothing, at the end of a route.
fn piling_up(options: Value) -> Deployment {
    let mut passes = json!({ "route": route("feed/out", "say/in") });
    for (key, value) in options.as_object().expect("an object") {
        passes[key] = value.clone();
    }
    Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("say").set("status", "stopped"))
        .route("passes", passes)
}

fn start<'a>(home: &'a Home, deployment: &Deployment, config: &str) -> Run<'a> {
    let manifest = deployment.write(home);
    let config = home.write("device.toml", config);
    let run = RunOptions::new(&manifest)
        .args(["--config".into(), config.into_os_string()])
        .start(home);
    run.wait_module("feed", |feed| feed["ready"] == true);
    run
}

/// Sends numbered messages, each by itself, and answers how many were taken.
fn send(run: &Run<'_>, numbers: std::ops::Range<u64>) -> usize {
    let sent = numbers.map(|number| run.call("feed", "send", &json!([{ "body": number }])).0);
    sent.filter(|status| *status == 200).count()
}

/// The numbers that wait, and the counters of the queue.
fn waiting(run: &Run<'_>) -> (Vec<u64>, Value) {
    let peeked = run
        .verb(&[
            "queue", "peek", "say/in", "--limit", "100", "--output", "json",
        ])
        .ok();
    let number = |line: &str| {
        let message: Value = serde_json::from_str(line).expect("JSON");
        let body = message["bodyText"].as_str().expect("text").to_owned();
        body.parse::<u64>().expect("a number")
    };
    let numbers = peeked.stdout.lines().map(number).collect();
    (numbers, run.inspect("say")["queues"][0]["counters"].clone())
}

const FEW: &str = "[router]\nendpoint_max_messages = 16\n";

#[test]
fn a_full_queue_refuses_unless_the_configuration_or_the_route_says_otherwise() {
    let home = Home::new();
    let run = start(&home, &piling_up(json!({})), FEW);
    let taken = send(&run, 0..30);
    let (numbers, counters) = waiting(&run);
    assert!(taken < 16, "one sender alone may not fill it: {taken}");
    assert_eq!(numbers, (0..taken as u64).collect::<Vec<_>>());
    assert_eq!(counters["taken"], taken, "{counters}");
    run.interrupt().ok();

    let home = Home::new();
    let config = format!("{FEW}when_full = \"drop-oldest\"\n");
    let run = start(&home, &piling_up(json!({})), &config);
    assert_eq!(send(&run, 0..30), 30);
    let (numbers, counters) = waiting(&run);
    assert_eq!(numbers, (30 - taken as u64..30).collect::<Vec<_>>());
    assert_eq!(counters["droppedOldest"], 30 - taken, "{counters}");
    run.interrupt().ok();

    let home = Home::new();
    let run = start(
        &home,
        &piling_up(json!({ "whenFull": "drop-newest" })),
        &config,
    );
    assert_eq!(send(&run, 0..30), 30);
    let (numbers, counters) = waiting(&run);
    assert_eq!(numbers, (0..taken as u64).collect::<Vec<_>>());
    assert_eq!(counters["droppedNewest"], 30 - taken, "{counters}");
    run.interrupt().ok();
}

#[test]
fn what_a_kill_leaves_is_what_the_durability_of_the_route_promises() {
    for (config, options, left) in [
        ("[router]\n", json!({}), 3),
        ("[router]\ndurability = \"none\"\n", json!({}), 0),
        (
            "[router]\ndurability = \"none\"\n",
            json!({ "durability": "power" }),
            3,
        ),
    ] {
        let home = Home::new();
        let deployment = piling_up(options);
        let run = start(&home, &deployment, config);
        assert_eq!(send(&run, 0..3), 3);
        run.kill();
        let run = start(&home, &deployment, config);
        let numbers = waiting(&run).0;
        assert_eq!(numbers, (0..left).collect::<Vec<_>>(), "{config}");
        run.interrupt().ok();
    }
}

#[test]
fn a_deployment_may_leave_less_of_the_store_to_its_messages() {
    for (limit, all_fit) in [(1 << 20, false), (1 << 30, true)] {
        let home = Home::new();
        let mut manifest = piling_up(json!({})).json();
        let hub = &mut manifest["modulesContent"]["$edgeHub"]["properties.desired"];
        hub["storeAndForwardConfiguration"] =
            json!({ "timeToLiveSecs": 7200, "storeLimits": { "maxSizeBytes": limit } });
        let manifest = home.write("deployment.json", manifest.to_string());
        let run = Run::of(&home, &manifest);
        let large = "x".repeat(60_000);
        let sent = (0..30).map(|_| run.call("feed", "send", &json!([{ "body": large }])).0);
        let taken = sent.filter(|status| *status == 200).count();
        assert_eq!(taken == 30, all_fit, "{taken} of 30 taken with {limit}");
        run.interrupt().ok();
    }
}

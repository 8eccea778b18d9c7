//! Telemetry at the hub of `run`: kept over restarts and kills, and read from any position.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::process::Process;
use wasm_edge_tests::run::{Run, RunOptions, body};

fn deployment() -> Deployment {
    Deployment::new()
        .module(Module::guest("feed"))
        .upstream("feed")
}

fn numbers(range: std::ops::Range<u64>) -> Value {
    let message = |number: u64| json!({ "body": number });
    Value::from_iter(range.map(message))
}

/// Position and body of a line.
fn seen(line: &str) -> (u64, u64) {
    let message: Value = serde_json::from_str(line).expect("each line is JSON");
    let position = message["position"].as_u64();
    let number = body(&message).as_u64();
    position
        .zip(number)
        .unwrap_or_else(|| panic!("no message: {line}"))
}

/// The next so many messages that `monitor` prints after the line `from`.
fn next(monitor: &Process, from: usize, count: usize) -> Vec<(u64, u64)> {
    let mut seen_so_far = Vec::new();
    let mut next = from;
    while seen_so_far.len() < count {
        let found = monitor.stdout.find(next, |line| Some(seen(line)));
        let (message, after) = found.expect("a message is printed");
        seen_so_far.push(message);
        next = after;
    }
    seen_so_far
}

fn monitor(run: &Run<'_>, args: &[&str]) -> Process {
    let all = [&["monitor", "--output", "json"], args].concat();
    run.verb_process(&all)
}

fn with_itself(numbers: std::ops::Range<u64>) -> Vec<(u64, u64)> {
    numbers.map(|number| (number, number)).collect()
}

#[test]
fn a_monitor_reads_from_any_position_also_after_a_restart() {
    let home = Home::new();
    let file = deployment().write(&home);
    let run = Run::of(&home, &file);
    run.send(&numbers(0..5));
    let first = monitor(&run, &["--from", "earliest"]);
    assert_eq!(next(&first, 0, 5), with_itself(0..5));
    run.interrupt().ok();

    let run = Run::of(&home, &file);
    run.send(&numbers(5..7));
    let second = monitor(&run, &["--from", "3"]);
    assert_eq!(next(&second, 0, 4), with_itself(3..7));
    run.verb(&["monitor", "--from", "100"])
        .ended_with(7)
        .says(&["there is no message at position 100 yet; the next one is 7"]);
    run.verb(&["monitor", "--from", "first"])
        .ended_with(2)
        .says(&["expected `earliest`, `latest` or the position of a message"]);
    run.interrupt().ok();
}

#[test]
fn a_monitor_that_reconnects_sees_each_message_once_whatever_happens_to_the_device() {
    let home = Home::new();
    let file = deployment().write(&home);
    let run = Run::of(&home, &file);
    // It sees nothing before the first end, and misses nothing after it.
    let monitor = monitor(&run, &["--reconnect"]);
    let sees = |text| {
        let found = monitor
            .stderr
            .find(0, |line| line.contains(text).then_some(()));
        found.unwrap_or_else(|| panic!("{text} is not said"));
    };
    wasm_edge_tests::wait::until_so("the monitor to read", || {
        let status = run.get("/wasm-edge/v1/telemetry/status");
        // One is the console of the run.
        status["readers"] == 2
    });
    run.kill();
    sees("waiting for it");
    for restart in 0..3 {
        let run = Run::of(&home, &file);
        run.send(&numbers(restart * 10..restart * 10 + 10));
        let expected = with_itself(0..restart * 10 + 10);
        assert_eq!(next(&monitor, 0, expected.len()), expected);
        run.kill();
    }
}

#[test]
fn what_the_device_saw_acknowledged_is_there_after_a_kill() {
    let home = Home::new();
    let file = deployment().write(&home);
    let mut expected = 0;
    let mut sent = 0;
    for round in 0..8 {
        let run = Run::of(&home, &file);
        run.send(&numbers(sent..sent + 100));
        sent += 100;
        // At another moment each time.
        let wanted = 1 + round * 12;
        let acknowledged = wasm_edge_tests::wait::until("some to be acknowledged", || {
            let info = run.get("/v1/info");
            let acknowledged = info["upstream"][0]["messagesSent"].as_u64()?;
            (acknowledged >= wanted).then_some(acknowledged)
        });
        run.kill();
        expected += acknowledged;

        let run = RunOptions::new(&file).start(&home);
        let kept = kept(&run);
        assert!(kept.len() as u64 >= expected, "{} {expected}", kept.len());
        // What was acknowledged is not sent again, so it would leave a hole.
        let bodies: BTreeSet<u64> = kept.iter().map(|(_, number)| *number).collect();
        assert!(
            bodies.iter().copied().eq(0..bodies.len() as u64),
            "{bodies:?}"
        );
        assert!(bodies.len() as u64 >= acknowledged);
        expected = kept.len() as u64;
        run.interrupt().ok();
    }
}

/// All that the hub keeps; positions have no gaps.
fn kept(run: &Run<'_>) -> Vec<(u64, u64)> {
    let status = run.get("/wasm-edge/v1/telemetry/status");
    let next_position = status["next"].as_u64().expect("a number");
    let monitor = monitor(run, &["--from", "earliest"]);
    let kept = next(
        &monitor,
        0,
        usize::try_from(next_position).expect("a few messages"),
    );
    for (index, (position, _)) in kept.iter().enumerate() {
        assert_eq!(*position, index as u64);
    }
    kept
}

#[test]
fn a_bound_is_kept_and_what_is_gone_is_told() {
    const BODY_BYTES: usize = 100_000;
    let home = Home::new();
    let file = deployment().write(&home);
    let run = RunOptions::new(&file)
        .args(["--telemetry-max-bytes", "8388608"])
        .start(&home);
    run.wait_running();
    let mut telemetry = run.telemetry();
    for number in 0..120 {
        let message = json!({ "body": "x".repeat(BODY_BYTES) });
        run.send(&json!([message]));
        let message = telemetry.next("feed");
        assert_eq!(message["position"], number);
    }
    let folder = home.in_data("hub/telemetry");
    let sizes = std::fs::read_dir(folder).expect("the folder is there");
    let size: u64 = sizes
        // A file may be longer than what was written to it.
        .map(|entry| {
            entry
                .expect("an entry")
                .metadata()
                .expect("a file")
                .blocks()
                * 512
        })
        .sum();
    assert!(size <= 8 * 1024 * 1024, "{size}");
    let late = monitor(&run, &["--from", "0"]);
    let lost = late.stdout.find(0, |line| {
        let line: Value = serde_json::from_str(line).expect("each line is JSON");
        line["lost"].as_u64()
    });
    let (lost, after) = lost.expect("it is told");
    assert!((36..60).contains(&lost), "{lost}");
    let first = late.stdout.find(after, |line| {
        let line: Value = serde_json::from_str(line).expect("each line is JSON");
        line["position"].as_u64()
    });
    assert_eq!(first.expect("a message").0, lost);
    run.interrupt().ok();
}

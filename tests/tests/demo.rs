//! The demo as the repository has it, looked at and changed from a second terminal.

use std::path::PathBuf;

use serde_json::{Value, json};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::paths;
use wasm_edge_tests::run::{Run, RunOptions};

fn demo() -> PathBuf {
    paths::repository().join("examples/deployments/demo.json")
}

/// The readings of this machine that a module passes on, from line `from` of the output on.
fn reading(run: &Run<'_>, module: &str, from: usize) -> (f64, usize) {
    run.upstream(module, from, |body| body["memory_used_percent"].as_f64())
}

#[test]
fn real_readings_are_filtered_and_a_patch_changes_what_passes() {
    let home = Home::new();
    let run = Run::of(&home, &demo());
    let names: Vec<Value> = run
        .modules()
        .iter()
        .map(|it| it["module"].clone())
        .collect();
    assert_eq!(names, ["alarm", "heartbeat", "notice", "sensor"]);
    let (percent, _) = reading(&run, "notice", 0);
    assert!((0.0..=100.0).contains(&percent), "{percent}");
    run.upstream("heartbeat", 0, |body| body["beats"].as_u64());
    let twin = run.verb(&["twin", "get", "alarm", "--desired"]).ok().json();
    assert_eq!(twin["threshold"], 80);

    // The alarm passes everything now, the notice nothing that there can be.
    run.patch("sensor", &json!({ "interval_ms": 50 }));
    run.patch("notice", &json!({ "threshold": 1000 }));
    run.wait_log("notice", "above 1000");
    let silent_from = run.all_upstream("notice").len();
    run.patch("alarm", &json!({ "threshold": 0 }));
    run.wait_log("alarm", "above 0");
    let mut next = run.process.stdout.all().len();
    for _ in 0..3 {
        next = reading(&run, "alarm", next).1;
    }
    let still_sent = run.all_upstream("notice").len() - silent_from;
    // One that was on its way while the patch came may follow it.
    assert!(still_sent <= 1, "{still_sent} messages above 1000 percent");
    run.interrupt().ok();
}

#[test]
fn logs_and_monitor_follow_until_the_device_ends() {
    let home = Home::new();
    let run = Run::of(&home, &demo());
    run.patch("sensor", &json!({ "interval_ms": 50 }));
    let mut logs = run.verb_process(&["logs", "-f", "sensor", "--output", "json"]);
    let mut monitor = run.verb_process(&["monitor", "--module", "notice", "--output", "json"]);
    let (line, _) = logs.find_json("what the sensor has said", 0, |line| {
        (line["stream"] == "log").then(|| line.clone())
    });
    assert_eq!(line["module"], "sensor", "{line}");
    let (message, _) = monitor.find_json("a reading", 0, |message| Some(message.clone()));
    assert_eq!(
        (&message["module"], &message["output"]),
        (&json!("notice"), &json!("alerts"))
    );
    assert_eq!(message["properties"]["threshold"], "0.1", "{message}");
    // Only a module's own lines and messages are shown.
    run.patch("sensor", &json!({ "interval_ms": 60 }));
    logs.find_json("the line of the change", 0, |line| {
        assert_eq!(line["module"], "sensor");
        (line["fields"]["interval_ms"] == "60").then_some(())
    });
    let tail = run.verb(&["logs", "sensor", "--tail", "1"]).ok();
    assert_eq!(tail.stdout.lines().count(), 1, "{tail:#?}");
    run.interrupt().ok();
    logs.wait().ok();
    monitor.wait().ok();
}

#[test]
fn the_demo_ends_by_itself_in_one_gigabyte_of_address_space() {
    let home = Home::new();
    let options = RunOptions::new(&demo()).args(["--for", "3s"]);
    let mut command = home.program("sh", ["-c", r#"ulimit -v 1048576 && exec "$0" "$@""#]);
    command
        .arg(paths::binary())
        .args(options.command_line(&home));
    let run = options.start_command(&home, command);
    reading(&run, "notice", 0);
    let mut run = run;
    let ended = run.process.wait().ok();
    assert!(!ended.stderr.contains("error"), "{}", ended.stderr);
}

#[test]
fn the_examples_deployments_are_valid() {
    let home = Home::new();
    for name in ["demo.json", "canonical.json"] {
        let file = paths::repository().join("examples/deployments").join(name);
        home.verb(&["deploy", "check", file.to_str().expect("UTF-8")])
            .ok();
    }
}

//! The demo as the repository has it, looked at and changed from a second terminal.

use std::path::PathBuf;

use serde_json::{Value, json};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::paths;
use wasm_edge_tests::run::{Run, RunOptions, Telemetry, bodies, body};
use wasm_edge_tests::wait;

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
    assert_eq!(
        names,
        [
            "alarm",
            "averages",
            "heartbeat",
            "notice",
            "relay",
            "sensor",
            "thermometer",
            "watchdog"
        ]
    );
    let (percent, _) = reading(&run, "notice", 0);
    assert!((0.0..=100.0).contains(&percent), "{percent}");
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

/// The temperatures of the next window: how many there were, and the greatest.
fn temperatures(telemetry: &mut Telemetry) -> (u64, f64) {
    let window = body(&telemetry.next("averages"));
    let figures = &window["fields"]["machine.temperature"];
    let count = figures["count"].as_u64().expect("a window with readings");
    (count, figures["max"].as_f64().expect("a number"))
}

#[test]
fn temperatures_flow_to_the_averages_and_a_method_makes_the_machine_cold() {
    let home = Home::new();
    let run = Run::of(&home, &demo());
    let mut telemetry = run.telemetry();
    run.patch("thermometer", &json!({ "SendInterval": 0.02 }));
    run.wait_log("thermometer", "each 0.02 s");
    run.patch("averages", &json!({ "window_ms": 500 }));
    // At half a degree a reading, it is warm soon.
    while temperatures(&mut telemetry).1 < 40.0 {}
    // So that nothing is warmed up between the method and the look at it.
    run.patch("thermometer", &json!({ "SendInterval": 3600 }));
    run.wait_log("thermometer", "each 3600 s");
    assert_eq!(run.call("thermometer", "reset", &Value::Null).0, 200);
    let (status, answer) = run.call("thermometer", "status", &Value::Null);
    assert_eq!(status, 200);
    assert_eq!(answer["machine"]["temperature"], 21.0, "{answer}");
    run.interrupt().ok();
}

#[test]
fn the_watchdog_sees_the_sensor_well_and_raises_an_alarm_when_it_is_not() {
    let home = Home::new();
    let run = Run::of(&home, &demo());
    let mut telemetry = run.telemetry();
    run.patch("watchdog", &json!({ "interval_ms": 50 }));
    run.wait_reported("watchdog", "/state", &json!("well"));
    run.patch("watchdog", &json!({ "method": "explode" }));
    let alarm = body(&telemetry.next("watchdog"));
    let cause = "`explode` is answered with 404";
    assert_eq!(
        alarm,
        json!({ "module": "thermometer", "event": "failing", "details": { "failures": 3, "cause": cause } })
    );
    run.wait_reported("watchdog", "/state", &json!("failing"));
    run.patch("watchdog", &json!({ "method": "status" }));
    assert_eq!(body(&telemetry.next("watchdog"))["event"], "back");
    run.wait_reported("watchdog", "/state", &json!("well"));
    run.interrupt().ok();
}

#[test]
fn beats_are_gathered_and_the_last_of_them_at_the_end() {
    let home = Home::new();
    let run = Run::of(&home, &demo());
    run.upstream("relay", 0, |batch| batch.as_array().map(Vec::len));
    let ended = run.interrupt().ok();
    let lines: Vec<String> = ended.stdout.lines().map(str::to_owned).collect();
    let batches = bodies(&lines, "relay");
    let beats: Vec<Option<u64>> = batches
        .iter()
        .flat_map(|batch| batch.as_array().expect("an array"))
        .map(|beat| beat["beats"].as_u64())
        .collect();
    // None twice, and none left out up to the end.
    assert_eq!(beats, (0..beats.len() as u64).map(Some).collect::<Vec<_>>());
    let said = format!("ends after {} beats", beats.len());
    assert!(ended.stdout.contains(&said), "{said}: {ended:#?}");
}

#[test]
fn a_window_goes_on_after_kill_9() {
    let home = Home::new();
    let run = Run::of(&home, &demo());
    run.patch("averages", &json!({ "window_ms": 3_600_000 }));
    run.patch("thermometer", &json!({ "SendInterval": 0.02 }));
    let file = home.in_data("devices/d1/modules/averages/data/window.json");
    let stored = || {
        let text = std::fs::read(&file).ok()?;
        let stored: Value = serde_json::from_slice(&text).expect("always whole");
        stored["window"]["fields"]["machine.temperature"]["count"].as_u64()
    };
    wait::until("30 readings on disk", || {
        stored().filter(|count| *count >= 30)
    });
    run.kill();
    let before = stored().expect("a window");

    // With the manifest's own settings there is a reading each second: only the old window can have so many.
    let run = RunOptions::new(&demo()).args(["--reapply"]).start(&home);
    let mut telemetry = run.telemetry();
    run.wait_log("averages", "goes on with window");
    let (count, _) = temperatures(&mut telemetry);
    assert!(count >= before, "{count} after {before}");
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

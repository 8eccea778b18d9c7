//! The hub is taken away from a running device and given back.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{Run, RunOptions, Telemetry, body};
use wasm_edge_tests::wait;

const SENDERS: [&str; 2] = ["left", "right"];

fn deployment() -> Deployment {
    SENDERS.iter().fold(Deployment::new(), |deployment, name| {
        deployment
            .module(Module::guest("echo").named(name))
            .upstream(name)
    })
}

/// Lets each module send these numbers, past the hub.
fn send(home: &Home, run: &Run<'_>, numbers: std::ops::Range<u64>) {
    let lines: Vec<Value> = numbers.map(|number| json!({ "body": number })).collect();
    let file = home.write_lines("messages.ndjson", &lines);
    for sender in SENDERS {
        let file = file.display().to_string();
        run.verb(&["send", sender, "--file", &file]).ok();
    }
}

/// Sees that these numbers come next of each sender, in order.
fn arrive(telemetry: &mut Telemetry, numbers: std::ops::Range<u64>) {
    let mut next = SENDERS.map(|_| numbers.start);
    while next.iter().any(|next| *next < numbers.end) {
        let message = telemetry.find(|_| true);
        let sender = SENDERS.iter().position(|name| message["module"] == *name);
        let sender = sender.unwrap_or_else(|| panic!("nobody's: {message}"));
        assert_eq!(body(&message), next[sender], "{message}");
        next[sender] += 1;
    }
}

fn way(run: &Run<'_>) -> Value {
    let status = run.verb(&["upstream", "status", "--output", "json"]).ok();
    status.json()["upstream"][0].clone()
}

fn wait_queued(run: &Run<'_>, messages: u64) {
    wait::until_so("the queue to have so many", || {
        way(run)["messagesQueued"] == messages
    });
}

#[test]
fn what_two_modules_send_waits_while_the_hub_is_away_and_arrives_in_order() {
    let home = Home::new();
    let run = Run::of(&home, &deployment().write(&home));
    let mut telemetry = run.telemetry();
    send(&home, &run, 0..5);
    arrive(&mut telemetry, 0..5);
    wait_queued(&run, 0);
    assert_eq!(way(&run)["disconnected"], false);

    // Twice is as good as once.
    for _ in 0..2 {
        let said = run.verb(&["upstream", "disconnect"]).ok();
        assert_eq!(said.stdout, "d1: disconnected\n");
    }
    send(&home, &run, 5..30);
    wait_queued(&run, 50);
    let way_now = way(&run);
    assert_eq!(
        (&way_now["disconnected"], &way_now["messagesSent"]),
        (&json!(true), &json!(10))
    );
    let page = run.verb(&["inspect", "left"]).ok().stdout;
    let said = "upstream  taken away by `wasm-edge upstream disconnect`";
    assert!(page.contains(said), "{page}");
    assert_eq!(
        run.get("/wasm-edge/v1/telemetry/status")["next"],
        10,
        "nothing arrives"
    );
    let twin = run.twin("left");
    assert_eq!(twin["connectionState"], "Disconnected", "{twin}");

    let said = run.verb(&["upstream", "connect"]).ok();
    assert_eq!(said.stdout, "d1: connected\n");
    arrive(&mut telemetry, 5..30);
    send(&home, &run, 30..32);
    arrive(&mut telemetry, 30..32);
    wait_queued(&run, 0);
    assert_eq!(way(&run)["messagesSent"], 64);
    run.interrupt().ok();
}

#[test]
fn a_device_is_taken_from_the_hub_and_the_others_are_not() {
    let home = Home::new();
    let file = deployment().write(&home);
    let run = RunOptions::new(&file).devices(&["d1", "d2"]).start(&home);
    run.wait_running();
    run.verb(&["upstream", "disconnect"])
        .ended_with(5)
        .says(&["hint: choose one with `--device ID`: d1, d2"]);
    run.verb(&["upstream", "disconnect", "--device", "d2"]).ok();
    let status = run.verb(&["upstream", "status"]).ok().stdout;
    let states: Vec<Vec<&str>> = status
        .lines()
        .map(|line| line.split_whitespace().take(2).collect())
        .collect();
    assert_eq!(
        states,
        [
            ["DEVICE", "UPSTREAM"],
            ["d1", "connected"],
            ["d2", "disconnected"]
        ]
    );
    let only = run.verb(&["upstream", "status", "--device", "d1", "--output", "json"]);
    let only = only.ok().json();
    assert_eq!(only["upstream"].as_array().map(Vec::len), Some(1));
    run.interrupt().ok();
}

#[test]
fn a_change_of_a_twin_reaches_the_device_once_the_hub_is_back() {
    let home = Home::new();
    let deployment = Deployment::new().module(Module::guest("twin-echo"));
    let run = Run::of(&home, &deployment.write(&home));
    run.verb(&["upstream", "disconnect"]).ok();
    run.patch("twin-echo", &json!({ "x": 7 }));
    run.verb(&["upstream", "connect"]).ok();
    run.wait_reported("twin-echo", "/x", &json!(7));
    run.interrupt().ok();
}

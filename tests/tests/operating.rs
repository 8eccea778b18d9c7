//! The verbs that act on one module: `method`, `send`, `restart`.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::run::{Run, RunOptions};

fn start<'a>(home: &'a Home, guests: &[Module]) -> Run<'a> {
    let mut manifest = Deployment::new();
    for guest in guests {
        manifest = manifest.module(guest.clone());
    }
    for name in ["echo", "retry-on"] {
        manifest = manifest.upstream(name);
    }
    let config = home.write("device.toml", "[router]\nendpoint_max_messages = 4096\n");
    let run = RunOptions::new(&manifest.write(home))
        .args(["--config".into(), config.into_os_string()])
        .start(home);
    run.wait_running();
    run
}

/// The values of an output that is one JSON value per line.
fn lines(outcome: &Outcome) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {line}"));
    outcome.stdout.lines().map(parse).collect()
}

#[test]
fn a_method_prints_the_payload_and_ends_by_the_status() {
    let home = Home::new();
    let run = start(
        &home,
        &[Module::guest("method-echo"), Module::guest("echo")],
    );
    let payload = home.write("payload.json", "{\"from\": \"a file\"}\n");
    let payload = format!("@{}", payload.display());

    let answered = run
        .verb(&["method", "method-echo", "echo", "[1, \"ä\"]"])
        .ok();
    assert_eq!(answered.json(), json!({ "calls": 1, "payload": [1, "ä"] }));
    assert_eq!(answered.stderr, "");
    let answered = run.verb(&["method", "method-echo", "echo", &payload]).ok();
    assert_eq!(answered.json()["payload"]["from"], "a file");
    let answered = run
        .verb(&["method", "method-echo", "echo", "--output", "json"])
        .ok();
    assert_eq!(
        answered.json(),
        json!({ "status": 200, "payload": { "calls": 3, "payload": null } })
    );

    let declined = run.verb(&["method", "method-echo", "fail"]).ended_with(8);
    assert_eq!(declined.json(), json!({ "error": "told to" }));
    assert_eq!(
        declined.stderr,
        "method-echo answered `fail` with status 500\n"
    );
    let declined = run
        .verb(&["method", "method-echo", "fail", "--output", "json"])
        .ended_with(8);
    assert_eq!(declined.json()["status"], 500);
    assert_eq!(declined.stderr, "");
    run.interrupt().ok();
}

#[test]
fn a_method_without_an_answer_says_why() {
    let home = Home::new();
    let guest = Module::guest("method-echo").wasm("callDeadlineMs", 60_000);
    let run = start(&home, &[guest, Module::guest("echo")]);
    run.verb(&["method", "echo", "x"]).ended_with(4).says(&[
        "error: cannot call `x` of the module `echo`\n",
        "caused by: the hub answered 404: ",
        "is not online or takes no direct methods",
        "\n\nhint: ",
    ]);
    run.verb(&["method", "$edgeHub", "ping"])
        .ended_with(4)
        .says(&["cannot call `ping` of the module `$edgeHub`"]);
    run.verb(&["method", "absent", "x"])
        .ended_with(4)
        .says(&["there is no `/devices/d1/modules/absent`"]);
    let late = ["method", "method-echo", "slow", "--timeout", "5s"];
    run.verb(&late)
        .ended_with(9)
        .says(&["did not answer the direct method within 5 s"]);
    run.restart("method-echo");
    run.verb(&["method", "method-echo", "trap", "--connect-timeout", "30s"])
        .ended_with(9)
        .says(&["ended, or threw the call away, before it answered"]);
    run.verb(&["method", "method-echo", "echo", "--timeout", "4s"])
        .ended_with(7)
        .says(&["`responseTimeoutInSeconds` is not from 5 to 300"]);
    run.verb(&["method", "method-echo", "echo", "on"])
        .ended_with(7)
        .says(&[
            "error: the payload is not JSON",
            "hint: a text is JSON with its quotes",
        ]);
    run.verb(&["method", "method-echo", "echo", "--timeout", "1500ms"])
        .ended_with(2)
        .says(&["must be a whole number of seconds"]);
    run.interrupt().ok();
}

#[test]
fn a_message_arrives_as_it_was_given() {
    let home = Home::new();
    let run = start(&home, &[Module::guest("echo")]);
    let mut telemetry = run.telemetry();
    let bytes = home.write("bytes", [0xff, 0x00, 0x0a]);
    let sent = run
        .verb(&[
            "send",
            "echo",
            "{\"n\": 1.50}",
            "--input",
            "some",
            "--property",
            "a=b=c",
            "--property",
            "d=",
            "--content-type",
            "application/json",
        ])
        .ok();
    assert_eq!(sent.stdout, "d1/echo: accepted\n");
    let message = telemetry.next("echo");
    assert_eq!(message["body"], json!({ "n": 1.5 }));
    assert_eq!(
        message["properties"],
        json!({ "a": "b=c", "d": "", "echoed": "echo" })
    );
    let sent = run
        .verb(&[
            "send",
            "echo",
            &format!("@{}", bytes.display()),
            "--wait",
            "--output",
            "json",
        ])
        .ok();
    assert_eq!(
        sent.json(),
        json!({ "device": "d1", "module": "echo", "outcome": "completed" })
    );
    assert_eq!(telemetry.next("echo")["bodyBase64"], "/wAK");
    run.verb(&["send", "echo"]).ok();
    assert!(telemetry.next("echo").get("bodyText").is_none());
    run.interrupt().ok();
}

#[test]
fn a_wait_tells_what_became_of_the_message() {
    let home = Home::new();
    let guests = ["echo", "reject-on", "retry-on", "trap-on"];
    let run = start(&home, &guests.map(Module::guest));
    let sent = run.verb(&[
        "send",
        "reject-on",
        "--property",
        "reject=not mine",
        "--wait",
    ]);
    let sent = sent.ended_with(8);
    assert_eq!(sent.stdout, "d1/reject-on: put aside, rejected: not mine\n");
    let hour = "retry_ms=3600000";
    let sent = run
        .verb(&[
            "send",
            "retry-on",
            "--property",
            hour,
            "--wait",
            "--timeout",
            "300ms",
        ])
        .ended_with(9);
    assert_eq!(
        sent.stdout,
        "d1/retry-on: accepted, and not dealt with within 0.3 s; it goes on waiting\n"
    );
    // An instance that ends over a message is not its end: the next try completes it.
    let sent = run
        .verb(&["send", "trap-on", "--property", "trap=1", "--wait"])
        .ok();
    assert_eq!(sent.stdout, "d1/trap-on: completed\n");
    run.interrupt().ok();
}

#[test]
fn a_file_is_sent_line_by_line_up_to_the_first_that_is_not_taken() {
    let home = Home::new();
    let run = start(
        &home,
        &[Module::guest("retry-on"), Module::guest("reject-on")],
    );
    let mut telemetry = run.telemetry();
    let file = home.write(
        "messages.ndjson",
        "{\"body\": 1}\n\n{\"input\": \"other\", \"bodyText\": \"2\"}\n{\"body\": 3, \"output\": \"x\"}\n",
    );
    let file = file.display().to_string();
    let sent = run.verb(&["send", "retry-on", "--file", &file]).ok();
    assert_eq!(sent.stdout, "d1/retry-on: 3 messages accepted\n");
    for body in ["1", "2", "3"] {
        let message = telemetry.next("retry-on");
        assert_eq!(wasm_edge_tests::run::body(&message)["body"], body);
    }
    let bad = home.write(
        "bad.ndjson",
        "{\"properties\": {\"reject\": \"no\"}}\n{\"body\": 2}\n{\"bodi\": 3}\n{\"body\": 4}\n",
    );
    let bad = bad.display().to_string();
    let sent = run
        .verb(&[
            "send",
            "reject-on",
            "--file",
            &bad,
            "--wait",
            "--output",
            "json",
        ])
        .ended_with(7)
        .says(&[
            "error: line 3 was not sent, nor what follows it; 2 messages before it accepted",
            "unknown field `bodi`",
        ]);
    let lines = lines(&sent);
    assert_eq!(lines.len(), 2, "{sent:?}");
    assert_eq!(
        lines[0],
        json!({
            "device": "d1", "module": "reject-on", "line": 1,
            "outcome": "set-aside", "reason": "rejected", "detail": "no",
        })
    );
    assert_eq!(
        (&lines[1]["line"], &lines[1]["outcome"]),
        (&json!(2), &json!("completed"))
    );
    // Without a fault, the message that was put aside decides.
    let mixed = home.write(
        "mixed.ndjson",
        "{\"properties\": {\"reject\": \"no\"}}\n{}\n",
    );
    let mixed = mixed.display().to_string();
    let sent = run
        .verb(&["send", "reject-on", "--file", &mixed, "--wait"])
        .ended_with(8);
    assert_eq!(
        sent.stdout,
        "d1/reject-on, line 1: put aside, rejected: no\nd1/reject-on, line 2: completed\n"
    );
    run.interrupt().ok();
}

#[test]
fn what_cannot_be_taken_is_refused_loudly() {
    let home = Home::new();
    let stopped = Module::guest("say").set("status", "stopped");
    let run = start(
        &home,
        &[stopped, Module::guest("method-echo"), Module::guest("echo")],
    );
    run.verb(&["send", "absent", "x"]).ended_with(4).says(&[
        "the module `absent` was sent nothing",
        "no module `absent`",
        "wasm-edge list",
    ]);
    run.verb(&["send", "method-echo", "x"])
        .ended_with(1)
        .says(&["module `method-echo` takes no messages"]);
    let large = home.write("large", "x".repeat(262_145));
    run.verb(&["send", "echo", &format!("@{}", large.display())])
        .ended_with(7)
        .says(&["has more than 262144 bytes"]);
    run.verb(&[
        "send",
        "echo",
        "x",
        "--property",
        &format!("{}=1", "n".repeat(129)),
    ])
    .ended_with(7)
    .says(&["the message cannot be sent"]);
    run.verb(&[
        "send",
        "echo",
        "x",
        "--property",
        "a=1",
        "--property",
        "a=2",
    ])
    .ended_with(7)
    .says(&["`a` is given twice"]);
    run.verb(&["send", "echo", "x", "--input", "a/b"])
        .ended_with(2);
    run.verb(&["send", "echo", "x", "--file", "y"])
        .ended_with(2);

    // A module that does not run takes messages until its queue is full.
    let many = home.write("many.ndjson", "{\"body\": 1}\n".repeat(5_000));
    let many = many.display().to_string();
    let sent = run
        .verb(&["send", "say", "--file", &many, "--output", "json"])
        .ended_with(9)
        .says(&[
            "was not sent, nor what follows it",
            "no room at `/modules/say/inputs/input`",
            "wasm-edge inspect say",
        ]);
    let accepted = lines(&sent).len();
    assert!((1_000..5_000).contains(&accepted), "{accepted}");
    let said = format!("line {} was not sent", accepted + 1);
    assert!(sent.stderr.contains(&said), "{}", sent.stderr);
    assert_eq!(run.module("say")["messagesQueued"], accepted);
    run.interrupt().ok();
}

#[test]
fn a_restart_gives_a_new_instance_and_keeps_what_waits() {
    let home = Home::new();
    let run = start(
        &home,
        &[Module::guest("counter-state"), Module::guest("retry-on")],
    );
    let before = run.module("retry-on");
    let hour = ["send", "retry-on", "--property", "retry_ms=3600000"];
    run.verb(&hour).ok();
    let restarted = run.verb(&["restart", "retry-on"]).ok();
    assert_eq!(restarted.stdout, "d1/retry-on: restarting\n");
    let after = run.wait_module("retry-on", |module| {
        module["restartCount"] == 1 && module["ready"] == true
    });
    assert_ne!(before["lastStartTime"], after["lastStartTime"]);
    assert_eq!(after["messagesQueued"], 1);
    let restarted = run
        .verb(&["restart", "counter-state", "--output", "json"])
        .ok();
    assert_eq!(
        restarted.json(),
        json!({ "device": "d1", "module": "counter-state" })
    );
    run.verb(&["restart", "absent"]).ended_with(4).says(&[
        "error: cannot restart the module `absent`",
        "wasm-edge list",
    ]);
    run.interrupt().ok();
}

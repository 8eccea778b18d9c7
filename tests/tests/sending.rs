//! The limits of what a module sends: each refusal has its name, and one flooding module stops no other.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{Run, RunOptions, Telemetry, body};

/// `feed` orders, `sender` sends; what it sends on `stuck` waits for a module that does not run.
fn start(home: &Home) -> Run<'_> {
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("sender"))
        .module(Module::guest("echo"))
        .module(Module::guest("say").set("status", "stopped"))
        .pass("feed/out", "sender/in")
        .pass("feed/echo", "echo/in")
        .pass("feed/stuck", "say/in")
        .pass("sender/stuck", "say/in")
        .route(
            "answers",
            "FROM /messages/modules/sender/outputs/out INTO $upstream",
        )
        .upstream("echo")
        .write(home);
    let config = home.write("device.toml", "[router]\nendpoint_max_messages = 4096\n");
    let run = RunOptions::new(&manifest)
        .args(["--config".into(), config.into_os_string()])
        .start(home);
    run.wait_running();
    run
}

/// What `sender` answers to an order: how many were taken, and the name of the first error.
fn ordered(run: &Run<'_>, telemetry: &mut Telemetry, order: Value) -> (u64, Value) {
    run.send(&json!([{ "body": order }]));
    let answer = body(&telemetry.next("sender"));
    (answer["sent"].as_u64().unwrap(), answer["error"][0].clone())
}

#[test]
fn what_cannot_be_a_message_is_refused_by_name() {
    let home = Home::new();
    let run = start(&home);
    let mut telemetry = run.telemetry();
    let mut check = |order: Value, sent: u64, error: Value| {
        assert_eq!(
            ordered(&run, &mut telemetry, order.clone()),
            (sent, error),
            "{order}"
        );
    };
    // The property `n` = `0` counts two bytes.
    check(json!({ "bytes": 262_142 }), 1, Value::Null);
    check(json!({ "bytes": 262_143 }), 0, json!("too-large"));
    check(json!({ "name": "k".repeat(128) }), 1, Value::Null);
    check(json!({ "name": "k".repeat(129) }), 0, json!("invalid"));
    check(json!({ "name": "" }), 0, json!("invalid"));
    check(json!({ "name": "$.cmid" }), 0, json!("invalid"));
    check(json!({ "output": "o".repeat(129) }), 0, json!("invalid"));
    check(json!({ "output": "a/b" }), 0, json!("invalid"));
    check(json!({ "output": "" }), 1, Value::Null);
    check(json!({ "input_name": "forged" }), 0, json!("invalid"));
    check(json!({ "message_id": "id" }), 1, Value::Null);
    run.interrupt().ok();
}

#[test]
fn a_full_queue_is_an_error_that_the_module_sees_and_another_sender_finds_room() {
    let home = Home::new();
    let run = start(&home);
    let mut telemetry = run.telemetry();
    let (first, _) = ordered(
        &run,
        &mut telemetry,
        json!({ "output": "stuck", "count": 900 }),
    );
    assert_eq!(first, 900);
    let (second, error) = ordered(
        &run,
        &mut telemetry,
        json!({ "output": "stuck", "count": 3000 }),
    );
    assert_eq!(error, "would-block");
    assert!(second < 3000, "{second}");
    let queued = run.module("say")["messagesQueued"].as_u64().unwrap();
    assert_eq!(queued, first + second);
    // The flooder has its share; another module's message still finds a place in the same queue.
    run.send(&json!([{ "output": "stuck" }]));
    assert_eq!(run.module("say")["messagesQueued"], queued + 1);
    run.interrupt().ok();
}

#[test]
fn what_one_handler_has_sent_and_not_completed_counts_against_its_module() {
    let home = Home::new();
    let run = start(&home);
    let mut telemetry = run.telemetry();
    let (sent, error) = ordered(
        &run,
        &mut telemetry,
        json!({ "output": "nowhere", "count": 40, "bytes": 200_000 }),
    );
    assert_eq!(error, "over-limit");
    assert!(
        (15..=20).contains(&sent),
        "4 MiB take {sent} messages of 200,000 bytes"
    );
    // What was sent went out, and the allowance is whole again.
    let again = ordered(
        &run,
        &mut telemetry,
        json!({ "output": "nowhere", "count": 15, "bytes": 200_000 }),
    );
    assert_eq!(again, (15, Value::Null));
    run.interrupt().ok();
}

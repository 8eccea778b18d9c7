//! What an operator sees of the queues and does about them.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module, route};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::Run;
use wasm_edge_tests::wait;

/// One queue of `queue list`.
fn queue(run: &Run<'_>, endpoint: &str) -> Value {
    let list = run.verb(&["queue", "list", "--output", "json"]).ok().json();
    let queues = list["queues"].as_array().expect("a list").iter();
    let mut found = queues.filter(|queue| queue["endpoint"] == endpoint);
    found
        .next()
        .unwrap_or_else(|| panic!("{endpoint}: {list}"))
        .clone()
}

/// The messages that `queue peek` prints.
fn peek(run: &Run<'_>, args: &[&str]) -> Vec<Value> {
    let args = [&["queue", "peek", "--output", "json"], args].concat();
    let outcome = run.verb(&args).ok();
    let lines = outcome.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

const POISON: &str = "/modules/reject-on/inputs/in";

#[test]
fn a_message_put_aside_is_seen_tried_again_and_thrown_away() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("reject-on"))
        .pass("feed/out", "reject-on/in")
        .write(&home);
    let run = Run::of(&home, &manifest);
    run.send(&json!([
        { "properties": { "reject": "not mine" }, "body": { "n": 1 } },
        { "properties": { "reject": "nor this" }, "body": 2 },
        { "body": 3 },
    ]));
    wait::until_so("both to be put aside", || {
        queue(&run, POISON)["asideMessages"] == 2
    });

    let aside = peek(&run, &["reject-on/in", "--aside"]);
    assert_eq!(aside.len(), 2, "{aside:?}");
    let first = &aside[0];
    assert_eq!(first["reason"], "rejected", "{first}");
    assert_eq!(first["detail"], "not mine", "{first}");
    assert_eq!(first["module"], "feed", "{first}");
    assert_eq!(first["output"], "out", "{first}");
    assert_eq!(first["properties"]["reject"], "not mine", "{first}");
    assert_eq!(first["bodyText"], "{\"n\":1}", "{first}");
    let id = first["id"].as_str().expect("an id");
    let text = run.verb(&["queue", "peek", "reject-on/in", "--aside"]).ok();
    assert!(
        text.stdout.contains(&format!("{id}  from feed out"))
            && text.stdout.contains(": rejected: not mine"),
        "{text:?}"
    );

    // It is as poisonous as before, and the same message.
    let retried = run
        .verb(&["queue", "retry", "reject-on/in", "--id", id])
        .ok();
    assert_eq!(retried.stdout, "1 message waits again\n");
    wait::until_so("it to be put aside again", || {
        queue(&run, POISON)["counters"]["rejected"] == 3
    });
    let ids = |aside: &[Value]| -> Vec<Value> {
        let mut ids: Vec<_> = aside.iter().map(|message| message["id"].clone()).collect();
        ids.sort_by_key(Value::to_string);
        ids
    };
    assert_eq!(ids(&peek(&run, &["reject-on/in", "--aside"])), ids(&aside));
    let counters = queue(&run, POISON)["counters"].clone();
    assert_eq!(
        (&counters["retried"], &counters["delivered"]),
        (&json!(1), &json!(1))
    );

    let refused = run
        .verb(&["queue", "purge", "reject-on/in", "--aside"])
        .ended_with(2);
    assert!(refused.stderr.contains("--yes"), "{refused:?}");
    assert_eq!(queue(&run, POISON)["asideMessages"], 2);
    let purged = run
        .verb(&["queue", "purge", "reject-on/in", "--aside", "--yes"])
        .ok();
    assert_eq!(purged.stdout, "2 messages were thrown away\n");
    assert_eq!(queue(&run, POISON)["asideMessages"], 0);
    run.interrupt().ok();
}

#[test]
fn what_waits_is_seen_in_its_order_and_thrown_away() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("say").set("status", "stopped"))
        .route("low", route("feed/out", "say/in"))
        .route(
            "high",
            json!({ "route": route("feed/high", "say/in"), "priority": 1 }),
        )
        .write(&home);
    let run = Run::of(&home, &manifest);
    run.send(&json!([
        { "body": 1 }, { "body": 2 }, { "body": 3 }, { "output": "high", "body": 4 },
    ]));
    let waiting = peek(&run, &["say/in"]);
    let bodies: Vec<_> = waiting
        .iter()
        .map(|message| message["bodyText"].clone())
        .collect();
    assert_eq!(bodies, ["4", "1", "2", "3"]);
    assert_eq!(waiting[0]["priority"], 1);
    assert!(
        waiting[0]["expiresInMs"]
            .as_u64()
            .is_some_and(|left| left <= 7_200_000)
    );
    assert_eq!(peek(&run, &["say/in", "--limit", "2"]).len(), 2);
    // It was only looked at.
    assert_eq!(run.module("say")["messagesQueued"], 4);

    let listed = run.verb(&["queue", "list"]).ok();
    assert!(listed.stdout.contains("\nsay/in "), "{listed:?}");
    assert!(listed.stdout.contains("\n  priority 1 "), "{listed:?}");
    assert!(listed.stdout.contains("\nstore: "), "{listed:?}");

    let purged = run
        .verb(&["queue", "purge", "say/in", "--yes", "--output", "json"])
        .ok();
    assert_eq!(purged.json(), json!({ "messages": 4 }));
    let say = queue(&run, "/modules/say/inputs/in");
    assert_eq!(
        (&say["queuedMessages"], &say["counters"]["purged"]),
        (&json!(0), &json!(4))
    );
    let listed = run.verb(&["queue", "list"]).ok();
    assert!(listed.stdout.contains("4 purged"), "{listed:?}");
    run.interrupt().ok();
}

#[test]
fn a_queue_or_message_that_is_not_there_is_told() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("echo"))
        .upstream("echo")
        .write(&home);
    let run = Run::of(&home, &manifest);
    for (args, status, told) in [
        (
            &["peek", "echo/nope"][..],
            4,
            "has no queue `/modules/echo/inputs/nope`",
        ),
        (&["peek", "echo"], 7, "`echo` names no queue"),
        (&["retry", "upstream", "--id", "x"], 7, "`x` is no id"),
        (
            &["retry", "upstream", "--id", "00000000-0000000000000001"],
            4,
            "no message `00000000-0000000000000001` was put aside at `$upstream`",
        ),
    ] {
        let outcome = run.verb(&[&["queue"], args].concat()).ended_with(status);
        assert!(outcome.stderr.contains(told), "{outcome:?}");
        assert!(
            outcome.stderr.contains("wasm-edge queue list"),
            "{outcome:?}"
        );
    }
    let retried = run.verb(&["queue", "retry", "$upstream", "--all"]).ok();
    assert_eq!(retried.stdout, "0 messages wait again\n");
    run.interrupt().ok();
}

//! Where messages go: sources, several routes, priority, time to live, and those that no route takes.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module, route};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{Run, body};
use wasm_edge_tests::wait;

/// `feed`, and an `echo` whose answers go upstream.
fn deployment() -> Deployment {
    Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("echo"))
        .upstream("echo")
}

/// The bodies of the next messages of `echo` upstream.
fn next_bodies(telemetry: &mut wasm_edge_tests::run::Telemetry, count: usize) -> Vec<Value> {
    (0..count).map(|_| body(&telemetry.next("echo"))).collect()
}

#[test]
fn several_routes_to_one_input_deliver_once_and_two_inputs_deliver_twice() {
    let home = Home::new();
    let manifest = deployment()
        .route("by-output", route("feed/out", "echo/in"))
        .route("by-module", "FROM /messages/modules/feed/* INTO BrokeredEndpoint(\"/modules/echo/inputs/in\")")
        .route("other", "FROM /messages/modules/FEED/outputs/* INTO BrokeredEndpoint(\"/modules/echo/inputs/second\")")
        .write(&home);
    let run = Run::of(&home, &manifest);
    let mut telemetry = run.telemetry();
    run.send(&json!([{ "body": 1 }, { "body": 2 }]));
    let mut bodies = next_bodies(&mut telemetry, 4);
    bodies.sort_by_key(Value::as_u64);
    assert_eq!(bodies, [1, 1, 2, 2]);
    assert_eq!(run.module("echo")["messagesHandled"], 4);
    run.interrupt().ok();
}

#[test]
fn a_higher_priority_goes_first_and_order_is_kept_within_one() {
    let home = Home::new();
    let with_priority = |output: &str, priority: u64| json!({ "route": route(&format!("feed/{output}"), "echo/in"), "priority": priority, "timeToLiveSecs": 60 });
    let manifest = deployment()
        .route("low", with_priority("low", 5))
        .route("high", with_priority("high", 0))
        .route("none", route("feed/none", "echo/in"))
        .write(&home);
    let run = Run::of(&home, &manifest);
    let mut telemetry = run.telemetry();
    // One method call, and so one commit: all of them are there when the first is taken.
    run.send(&json!([
        { "output": "none", "body": 1 },
        { "output": "low", "body": 2 },
        { "output": "low", "body": 3 },
        { "output": "high", "body": 4 },
        { "output": "high", "body": 5 },
    ]));
    assert_eq!(next_bodies(&mut telemetry, 5), [4, 5, 2, 3, 1]);
    run.interrupt().ok();
}

#[test]
fn a_message_waits_for_a_stopped_module_until_its_time_is_over() {
    let home = Home::new();
    let manifest = deployment()
        .module(Module::guest("say").set("status", "stopped"))
        .route(
            "short",
            json!({ "route": route("feed/short", "say/in"), "timeToLiveSecs": 1 }),
        )
        .route("long", route("feed/long", "say/in"))
        .write(&home);
    let run = Run::of(&home, &manifest);
    run.send(&json!([{ "output": "short" }, { "output": "long" }]));
    assert_eq!(run.module("say")["messagesQueued"], 2);
    wait::until_so("the short-lived message to expire", || {
        run.module("say")["messagesQueued"] == 1
    });
    let counters = run.inspect("say")["queues"][0]["counters"].clone();
    assert_eq!(
        (&counters["taken"], &counters["expired"]),
        (&json!(2), &json!(1)),
        "{counters}"
    );
    run.interrupt().ok();
}

#[test]
fn what_no_route_takes_is_counted() {
    let home = Home::new();
    let run = Run::of(&home, &deployment().write(&home));
    run.send(&json!([{ "output": "nowhere" }, { "output": "nowhere" }]));
    let counters = run.inspect("feed")["sent"]["counters"].clone();
    assert_eq!(
        (&counters["taken"], &counters["noRoute"]),
        (&json!(2), &json!(2)),
        "{counters}"
    );
    run.interrupt().ok();
}

#[test]
fn the_sender_of_a_message_is_who_sent_it_whatever_it_says() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("describe"))
        .pass("feed/out", "describe/in")
        .upstream("describe")
        .write(&home);
    let run = Run::of(&home, &manifest);
    let mut telemetry = run.telemetry();
    let properties = json!({ "connectionModuleId": "admin", "$.cmid": "admin" });
    let (status, _) = run.call("feed", "send", &json!([{ "properties": properties }]));
    assert_eq!(
        status, 500,
        "a property that could pass for a system property is refused"
    );
    run.send(&json!([{ "properties": { "connectionModuleId": "admin" }, "body": 1 }]));
    let message = telemetry.next("describe");
    let seen = body(&message);
    assert_eq!(seen["system"]["connectionModuleId"], "feed", "{seen}");
    assert_eq!(seen["system"]["connectionDeviceId"], "d1", "{seen}");
    assert_eq!(
        message["systemProperties"]["connectionModuleId"], "describe",
        "{message}"
    );
    run.interrupt().ok();
}

#[test]
fn a_change_of_a_twin_is_told_to_whom_its_route_says() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("twin-echo"))
        .module(Module::guest("describe"))
        .pass("feed/out", "twin-echo/in")
        .upstream("describe")
        .route(
            "changes",
            "FROM /twinChangeNotifications INTO BrokeredEndpoint(\"/modules/describe/inputs/changes\")",
        )
        .route("changes-up", "FROM /twinChangeNotifications INTO $upstream")
        .write(&home);
    let run = Run::of(&home, &manifest);
    let (mut telemetry, mut of_hub) = (run.telemetry(), run.telemetry());
    // The second changes nothing, and is not told.
    let (set, removed) = (json!({ "a": { "b": 1 } }), json!({ "a": { "b": null } }));
    for patch in [&set, &set, &removed] {
        run.send(&json!([{ "body": patch }]));
    }
    for patch in [&set, &removed] {
        let message = telemetry.next("describe");
        let seen = body(&message);
        assert_eq!(seen["body"], patch.to_string(), "{seen}");
        assert_eq!(seen["input"], "changes", "{seen}");
        let system = &seen["system"];
        assert_eq!(system["connectionModuleId"], "twin-echo", "{seen}");
        assert_eq!(system["connectionDeviceId"], "d1", "{seen}");
        assert_eq!(system["messageSchema"], "twinChangeNotification", "{seen}");
        assert_eq!(system["contentType"], "application/json", "{seen}");
    }
    assert_eq!(body(&of_hub.next("$edgeHub")), set);
    assert_eq!(body(&of_hub.next("$edgeHub")), removed);
    run.interrupt().ok();
}

//! What a handler or a delivery sends goes out with the completion of its message, or not at all, whatever ends the try.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module, route};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{Run, RunOptions, Telemetry, body};

fn start<'a>(home: &'a Home, manifest: &Deployment) -> Run<'a> {
    // So few that a handler can fill a queue.
    let config = home.write("device.toml", "[router]\nendpoint_max_messages = 200\n");
    let run = RunOptions::new(&manifest.write(home))
        .args(["--restart-wait", "50ms"])
        .args(["--config".into(), config.into_os_string()])
        .start(home);
    run.wait_running();
    run
}

fn bodies(telemetry: &mut Telemetry, module: &str, count: usize) -> Vec<Value> {
    (0..count).map(|_| body(&telemetry.next(module))).collect()
}

#[test]
fn no_way_to_fail_lets_out_what_a_handler_has_sent() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("stage").wasm("callDeadlineMs", 500))
        .pass("feed/out", "stage/in")
        .upstream("stage");
    let run = start(&home, &manifest);
    let mut telemetry = run.telemetry();
    let mut taken = 0;
    for then in ["reject", "retry", "trap", "panic", "spin", "memory"] {
        run.send(&json!([{ "properties": { "then": then } }, { "properties": { "then": "ok" } }]));
        // Those of the message that ends well at its second try, and those of the one behind it.
        let expected = if then == "reject" { 2 } else { 4 };
        let found = bodies(&mut telemetry, "stage", expected);
        let pairs = ["first", "second"].repeat(expected / 2);
        assert_eq!(found, pairs, "{then}");
        taken += expected;
        let module = run.wait_module("stage", |module| module["messagesQueued"] == 0);
        assert_eq!(module["messagesSetAside"], 1, "{then}: {module}");
    }
    // What a try had staged has not entered any queue.
    let module = run.inspect("stage");
    assert_eq!(module["sent"]["counters"]["taken"], taken, "{module}");
    assert_eq!(module["sent"]["messages"], 0, "{module}");
    assert_eq!(module["restartCount"], 4, "{module}");
    run.interrupt().ok();
}

#[test]
fn no_way_to_fail_lets_out_what_a_delivery_has_staged() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("program-loop").wasm("callDeadlineMs", 500))
        .pass("feed/out", "program-loop/in")
        .upstream("program-loop");
    let run = start(&home, &manifest);
    let mut telemetry = run.telemetry();
    for order in ["drop", "retry", "trap-once", "spin-once", "leave-once"] {
        run.send(&json!([{ "properties": { "do": order } }, { "properties": { "do": "mark" } }]));
        let mut staged = Vec::new();
        while staged.last() != Some(&json!("mark")) {
            let found = telemetry.find(|message| {
                message["bodyText"]
                    .as_str()
                    .is_some_and(|text| text.contains("staged"))
            });
            staged.push(body(&found)["staged"].clone());
        }
        assert_eq!(staged, [order, "mark"]);
    }
    run.interrupt().ok();
}

#[test]
fn several_messages_find_room_everywhere_or_none_of_them_goes_out() {
    let home = Home::new();
    let stuck = json!({ "route": route("stage/stuck", "say/in"), "timeToLiveSecs": 6 });
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("stage"))
        .module(Module::guest("echo"))
        .module(Module::guest("say").set("status", "stopped"))
        .pass("feed/out", "stage/in")
        .pass("feed/other", "stage/other")
        .pass("stage/near", "echo/in")
        .route("stuck", stuck)
        .route(
            "up",
            "FROM /messages/modules/stage/outputs/out INTO $upstream",
        )
        .upstream("echo");
    let run = start(&home, &manifest);
    let mut telemetry = run.telemetry();
    run.send(&json!([
        { "properties": { "then": "fill" } },
        { "properties": { "outputs": "out,near,stuck" } },
    ]));
    run.wait_log("stage", "no room on stuck");
    let mut passed = run.telemetry();
    // At another input meanwhile: had something of the first gone out, it would be before this.
    run.send(&json!([{ "output": "other", "properties": { "outputs": "near,out" } }]));
    let near = |telemetry: &mut Telemetry| body(&telemetry.next("echo"));
    assert_eq!(body(&telemetry.next("stage")), "second");
    // Once there is room again, all three go out.
    assert_eq!(body(&telemetry.next("stage")), "first");
    assert_eq!(near(&mut passed), "first");
    assert_eq!(near(&mut passed), "second");
    run.wait_module("say", |module| module["messagesQueued"] == 1);
    run.interrupt().ok();
}

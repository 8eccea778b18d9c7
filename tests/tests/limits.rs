//! What one module may take: memory, time and stack. Others go on, whatever it does.

use std::path::PathBuf;

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::paths;
use wasm_edge_tests::run::{Run, RunOptions, Telemetry, body};

const MIB: u64 = 1 << 20;

/// A component of the tests in text form, as a binary.
fn text_guest(home: &Home, name: &str) -> PathBuf {
    let bytes = wat::parse_file(paths::text_component(name)).expect("the text is a component");
    home.write(&format!("{name}.wasm"), bytes)
}

/// `feed` hands messages to the guest and to `echo`; what both say goes upstream.
fn start(home: &Home, guest: Module, name: &str) -> PathBuf {
    Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("echo"))
        .module(guest)
        .pass("feed/out", &format!("{name}/in"))
        .pass("feed/echo", "echo/in")
        .upstream(name)
        .upstream("echo")
        .write(home)
}

/// `echo` answers now.
fn echo_answers(run: &Run, telemetry: &mut Telemetry) {
    run.send(&json!([{ "output": "echo", "body": "are you there?" }]));
    assert_eq!(body(&telemetry.next("echo")), "are you there?");
}

fn take(run: &Run, telemetry: &mut Telemetry, bytes: u64) -> u64 {
    let properties = json!({ "bytes": bytes.to_string(), "mode": "try" });
    run.send(&json!([{ "properties": properties }]));
    let given = body(&telemetry.next("alloc"))["bytes"].as_u64();
    given.expect("it answers how much it was given")
}

#[test]
fn a_module_gets_its_memory_and_no_more() {
    let home = Home::new();
    let manifest = start(&home, Module::guest("alloc"), "alloc");
    let run = Run::of(&home, &manifest);
    let mut telemetry = run.telemetry();
    assert_eq!(take(&run, &mut telemetry, 12 * MIB), 12 * MIB);
    let most = take(&run, &mut telemetry, 64 * MIB);
    assert!((12 * MIB..16 * MIB).contains(&most), "{most}");
    let seen = run.module("alloc");
    assert_eq!(seen["memoryLimitBytes"], 16 * MIB);
    let used = seen["memoryBytes"].as_u64().expect("a number");
    assert!((12 * MIB..=16 * MIB).contains(&used), "{seen}");

    // It does not ask first: that ends it, and another one takes its place.
    run.send(&json!([{ "properties": { "bytes": (64 * MIB).to_string() } }]));
    run.wait_log(
        "alloc",
        "out of memory: more than its limit of 16777216 bytes was wanted",
    );
    echo_answers(&run, &mut telemetry);
    run.wait_module("alloc", |module| {
        module["status"] == "running" && module["restartCount"].as_u64() >= Some(1)
    });
    run.interrupt().ok();
}

#[test]
fn the_manifest_sets_how_much_memory_a_module_gets() {
    let home = Home::new();
    let small = Module::guest("alloc").wasm("memoryLimitBytes", 4 * MIB);
    let manifest = start(&home, small, "alloc");
    let run = Run::of(&home, &manifest);
    let mut telemetry = run.telemetry();
    let most = take(&run, &mut telemetry, 64 * MIB);
    assert!((MIB..4 * MIB).contains(&most), "{most}");
    run.interrupt().ok();
}

#[test]
fn sixty_four_memories_share_one_limit() {
    let home = Home::new();
    let file = text_guest(&home, "many-memories");
    let manifest = start(&home, Module::of("many", &file), "many");
    let run = RunOptions::new(&manifest).start(&home);
    // 64 pages make 4 MiB at the start; 12 of the 64 memories get the MiB that each wants.
    let seen = run.wait_module("many", |module| module["status"] == "backoff");
    assert_eq!(seen["statusDescription"], "init failed: grown: 12");
    run.interrupt().ok();
}

#[test]
fn endless_recursion_ends_the_module_and_not_the_host() {
    let home = Home::new();
    let file = text_guest(&home, "recursion");
    let manifest = start(&home, Module::of("deep", &file), "deep");
    let run = RunOptions::new(&manifest).start(&home);
    let mut telemetry = run.telemetry();
    let seen = run.wait_module("deep", |module| module["status"] == "backoff");
    assert_eq!(
        seen["statusDescription"],
        "trapped: wasm trap: call stack exhausted"
    );
    for name in ["feed", "echo"] {
        run.wait_module(name, |module| module["ready"] == true);
    }
    echo_answers(&run, &mut telemetry);
    run.interrupt().ok();
}

#[test]
fn a_panic_s_text_is_in_the_log() {
    let home = Home::new();
    let manifest = start(&home, Module::guest("panic"), "panic");
    let run = Run::of(&home, &manifest);
    run.send(&json!([{ "body": "the floor is lava" }]));
    let line = run.wait_log("panic", "the floor is lava");
    assert_eq!(line["level"], "error");
    let trap = run.wait_log("panic", "trapped: wasm trap");
    assert_eq!(
        (&trap["stream"], &trap["level"]),
        (&json!("host"), &json!("error"))
    );
    run.interrupt().ok();
}

#[test]
fn a_call_has_ten_seconds_of_its_own_time_and_what_it_waits_for_is_none_of_it() {
    let home = Home::new();
    // The caller has little time of its own, and waits much longer than that for the other's answer.
    let caller = Module::guest("method-caller").wasm("callDeadlineMs", 100);
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("echo"))
        .module(caller)
        .module(Module::guest("method-echo"))
        .pass("feed/out", "method-caller/in")
        .pass("feed/echo", "echo/in")
        .upstream("method-caller")
        .upstream("echo")
        .write(&home);
    let run = Run::of(&home, &manifest);
    let mut telemetry = run.telemetry();
    let call = json!({ "module": "method-echo", "method": "slow", "payload": Value::Null });
    run.send(&json!([{ "body": call }]));
    // The other one computes for ever; meanwhile the rest goes on.
    for _ in 0..20 {
        echo_answers(&run, &mut telemetry);
    }
    let answer = body(&telemetry.next("method-caller"));
    assert_eq!(answer, json!({ "error": "timeout" }));
    assert_eq!(run.module("method-caller")["restartCount"], 0);
    run.wait_log(
        "method-echo",
        "deadline exceeded: a call ran longer than 10000 ms",
    );
    echo_answers(&run, &mut telemetry);
    run.interrupt().ok();
}

#[test]
fn a_share_of_the_processor_slows_a_module_and_ends_nothing() {
    let home = Home::new();
    let slow = Module::guest("slow")
        .wasm("cpuLimitMillis", 50)
        .wasm("callDeadlineMs", 30);
    let manifest = start(&home, slow, "slow");
    let run = Run::of(&home, &manifest);
    let mut telemetry = run.telemetry();
    for count in 1..=20 {
        run.send(&json!([{ "body": Value::Null }]));
        assert_eq!(body(&telemetry.next("slow")), json!({ "count": count }));
    }
    run.send(&json!([{ "properties": { "spin": "yes" } }]));
    run.wait_log("slow", "deadline exceeded: a call ran longer than 30 ms");
    run.interrupt().ok();
}

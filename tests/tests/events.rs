//! Programs that wait by WASI's pollables, as asyncio does in Python components, and timers that their handlers cannot keep up with.

use std::fs;

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{Run, Telemetry, body};

fn start(home: &Home) -> (Run<'_>, Telemetry) {
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("poll-loop").desired(json!({ "x": 1 })))
        .pass("feed/out", "poll-loop/in")
        .upstream("poll-loop")
        .write(home);
    let run = Run::of(home, &manifest);
    let telemetry = run.telemetry();
    (run, telemetry)
}

/// Why `poll` has returned so far.
fn counts(run: &Run<'_>) -> Value {
    let (status, counts) = run.call("poll-loop", "counts", &Value::Null);
    assert_eq!(status, 200, "{counts}");
    counts
}

fn number(value: &Value, name: &str) -> u64 {
    value[name]
        .as_u64()
        .unwrap_or_else(|| panic!("`{name}` of {value}"))
}

/// Waits for a beat of the program's own clock, which comes each second; answers their number.
fn beats(telemetry: &mut Telemetry) -> u64 {
    let found = telemetry.find(|message| body(message).get("beats").is_some());
    number(&body(&found), "beats")
}

/// Processor time that the run has used, in the kernel's ticks of 10 ms.
fn processor_ticks(run: &Run<'_>) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", run.process.id())).expect("it runs");
    // Behind the name, which may hold anything: utime and stime are the 14th and 15th field.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let field = |place: usize| fields[place].parse::<u64>().expect("a number");
    field(12) + field(13)
}

#[test]
fn a_loop_of_pollables_hears_of_everything_and_wakes_for_nothing_else() {
    let home = Home::new();
    let (run, mut telemetry) = start(&home);
    let next = |telemetry: &mut Telemetry, key: &str| {
        let found = telemetry.find(|message| body(message).get(key).is_some());
        body(&found)[key].clone()
    };
    run.patch("poll-loop", &json!({ "x": 2 }));
    assert_eq!(next(&mut telemetry, "patch")["x"], 2);
    for n in 0..20 {
        run.send(&json!([{ "body": { "n": n } }]));
        assert_eq!(next(&mut telemetry, "n"), n);
    }
    // Many at once, taken one per wait: what is left is no reason to fall asleep.
    run.send(&json!([{ "properties": { "do": "single" }, "body": { "n": "single" } }]));
    assert_eq!(next(&mut telemetry, "n"), "single");
    let many: Vec<Value> = (100..400).map(|n| json!({ "body": { "n": n } })).collect();
    run.send(&json!(many));
    for n in 100..400 {
        assert_eq!(next(&mut telemetry, "n"), n);
    }
    // The last one is completed after it was answered.
    run.wait_module("poll-loop", |module| module["messagesHandled"] == 321);
    let counts = counts(&run);
    assert_eq!(counts["spurious"], 0, "{counts}");
    // Each time that it woke there was something, so that it never went round for nothing.
    let reasons = number(&counts, "beats") + number(&counts, "events");
    assert!(number(&counts, "polls") <= reasons, "{counts}");
    let ended = run.interrupt().ok();
    assert!(ended.stdout.contains("shutdown"), "{}", ended.stdout);
}

#[test]
fn subscriptions_may_come_and_go_before_and_after_what_they_wait_for() {
    let home = Home::new();
    let (run, mut telemetry) = start(&home);
    for order in ["deaf", "twice", "deaf", "twice"] {
        // The second one arrives while the first is being dealt with.
        run.send(&json!([
            { "properties": { "do": order }, "body": { "first": order } },
            { "body": { "second": order } },
        ]));
        for key in ["first", "second"] {
            let found = telemetry.find(|message| body(message).get(key).is_some());
            assert_eq!(body(&found)[key], order);
        }
    }
    let counts = counts(&run);
    let reasons =
        number(&counts, "beats") + number(&counts, "events") + number(&counts, "spurious");
    assert!(number(&counts, "polls") <= reasons, "{counts}");
    run.interrupt().ok();
}

#[test]
fn a_loop_of_pollables_that_waits_uses_no_processor() {
    let home = Home::new();
    let (run, mut telemetry) = start(&home);
    let begun = beats(&mut telemetry);
    let (before, counts_before) = (processor_ticks(&run), counts(&run));
    let mut ended = begun;
    while ended < begun + 60 {
        ended = beats(&mut telemetry);
    }
    let used = processor_ticks(&run) - before;
    let counts = counts(&run);
    // Three seconds at least have gone by; a loop that goes round would have used all of them.
    assert!(
        used < 60,
        "{used} ticks of 10 ms in {} beats",
        ended - begun
    );
    let polls = number(&counts, "polls") - number(&counts_before, "polls");
    let reasons = |counts: &Value| number(counts, "beats") + number(counts, "events");
    assert!(
        polls <= reasons(&counts) - reasons(&counts_before),
        "{counts}"
    );
    run.interrupt().ok();
}

#[test]
fn no_tick_is_lost_or_early_however_long_its_handler_takes() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("timer-grid"))
        .upstream("timer-grid")
        .write(&home);
    let run = Run::of(&home, &manifest);
    let mut ticks = Vec::new();
    let mut once = Vec::new();
    let mut from = 0;
    while ticks.len() < 30 {
        let (told, next) = run.upstream("timer-grid", from, |body| Some(body.clone()));
        from = next;
        match told["once"].as_str() {
            Some(name) => {
                assert_eq!(told["missed"], 0, "{told}");
                once.push(name.to_owned());
            }
            None => ticks.push(told),
        }
    }
    // Each once, though all were due while the module was busy, and in the order in which they were due.
    assert_eq!(once, ["b", "a", "c"]);
    for tick in &ticks {
        let periods = number(tick, "periods");
        assert!(number(tick, "least") <= periods, "lost: {tick}");
        assert!(periods <= number(tick, "most"), "early: {tick}");
    }
    // A handler lasts for three periods and more, so that some of them always fall into the one before.
    let missed: u64 = ticks.iter().map(|tick| number(tick, "missed")).sum();
    assert!(missed >= 2 * 29, "{missed}");
    run.interrupt().ok();
}

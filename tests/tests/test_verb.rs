//! `wasm-edge test`: components over messages and steps, on virtual time, against expectations.

use std::path::Path;

use serde_json::{Value, json};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::paths::{example, guest, text_component};

/// Tests a component over these lines.
fn test(home: &Home, component: &Path, lines: &[Value], args: &[&str]) -> Outcome {
    let messages = home.write_lines("messages.ndjson", lines);
    let mut all = vec![
        "test",
        component.to_str().unwrap(),
        "--messages",
        messages.to_str().unwrap(),
    ];
    all.extend(args);
    home.verb(&all)
}

/// What was printed, one value a line, without the log.
fn came_out(outcome: &Outcome) -> Vec<Value> {
    let lines = outcome.stdout.lines();
    let values = lines.map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"));
    values.filter(|value| value.get("log").is_none()).collect()
}

/// What was printed of one kind.
fn of_kind(outcome: &Outcome, kind: &str) -> Vec<Value> {
    let lines = came_out(outcome).into_iter();
    lines
        .filter_map(|mut line| line.get_mut(kind).map(Value::take))
        .collect()
}

/// The JSON bodies of the guests' answers, which are texts.
fn bodies(outcome: &Outcome) -> Vec<Value> {
    let texts = of_kind(outcome, "bodyText").into_iter();
    texts
        .map(|text| serde_json::from_str(text.as_str().unwrap()).expect("a guest answers JSON"))
        .collect()
}

fn text(body: &str) -> Value {
    json!({ "bodyText": body })
}

#[test]
fn what_comes_out_can_be_expected_of_the_next_run() {
    let home = Home::new();
    let lines = [text("Ann"), text("Bob")];
    let first = test(&home, &example("hello"), &lines, &[]).ok();
    assert_eq!(of_kind(&first, "bodyText"), ["Hello, Ann!", "Hello, Bob!"]);
    assert!(first.stderr.contains("compiled hello"), "{first:?}");
    let expect = home.write("expect.ndjson", &first.stdout);
    let args = ["--expect", expect.to_str().unwrap(), "--exact"];
    let second = test(&home, &example("hello"), &lines, &args).ok();
    assert_eq!(
        second.stdout,
        "passed: 2 messages in, 4 lines expected, all as expected\n"
    );
    assert_eq!(second.stderr, "", "its code was kept");
}

#[test]
fn a_difference_is_shown_and_fails() {
    let home = Home::new();
    let expected = [
        json!({ "output": "greetings", "bodyText": "Hello, Ann!" }),
        json!({ "output": "greetings", "bodyText": "Hello, Bert!" }),
        json!({ "output": "greetings", "bodyText": "Hello, Cleo!" }),
        json!({ "log": { "level": "info", "text": "greeting Bob, number 2" } }),
    ];
    let expect = home.write_lines("expect.ndjson", &expected);
    let lines = [text("Ann"), text("Bob")];
    let args = ["--expect", expect.to_str().unwrap()];
    let ended = test(&home, &example("hello"), &lines, &args).ended_with(1);
    for shown in [
        "expect.ndjson:2: output `greetings`, number 2",
        "at `bodyText`: expected \"Hello, Bert!\", got \"Hello, Bob!\"",
        "expect.ndjson:3: output `greetings`, number 3",
    ] {
        assert!(ended.stdout.contains(shown), "{shown}\n{ended:?}");
    }
    assert!(!ended.stdout.contains("number 1"), "{ended:?}");
    let ended = ended.says(&["2 differences", "--bless"]);
    drop(ended);
    let args = [args[0], args[1], "--output", "json"];
    let judged = test(&home, &example("hello"), &lines, &args)
        .ended_with(1)
        .json();
    assert_eq!(judged["passed"], false);
    assert_eq!(judged["differences"][0]["path"], "bodyText");
    assert_eq!(judged["differences"][1]["kind"], "missing");
    assert_eq!(judged["differences"][1]["line"], 3);
}

#[test]
fn an_empty_file_expects_that_nothing_comes_out() {
    let home = Home::new();
    let expect = home.write("expect.ndjson", "");
    let args = ["--expect", expect.to_str().unwrap()];
    let ended = test(&home, &example("hello"), &[text("Ann")], &args).ended_with(1);
    assert!(ended.stdout.contains("expected: nothing"), "{ended:?}");
    test(&home, &example("hello"), &[], &args).ok();
}

#[test]
fn bless_writes_what_came_out_without_the_log() {
    let home = Home::new();
    let expect = home.path().join("expect.ndjson");
    let args = ["--expect", expect.to_str().unwrap()];
    let lines = [text("Ann")];
    test(&home, &example("hello"), &lines, &args).ended_with(4);
    let blessing = [args[0], args[1], "--bless"];
    test(&home, &example("hello"), &lines, &blessing).ok();
    let written = std::fs::read_to_string(&expect).unwrap();
    assert_eq!(written.lines().count(), 1, "{written}");
    test(&home, &example("hello"), &lines, &args).ok();
}

#[test]
fn an_hour_of_a_timer_passes_at_once_and_methods_are_answered() {
    let home = Home::new();
    let lines = [
        json!({ "advance": "1h" }),
        json!({ "method": { "name": "ping" } }),
        json!({ "method": { "name": "pong" } }),
    ];
    let ended = test(&home, &example("heartbeat"), &lines, &[]).ok();
    let beats = of_kind(&ended, "body");
    assert_eq!(beats.len(), 360);
    assert_eq!(beats[359], json!({ "beats": 359, "uptime_ms": 3_600_000 }));
    let answers = of_kind(&ended, "answer");
    assert_eq!(answers[0]["payload"]["beats"], 360);
    assert_eq!(answers[1]["status"], 404);
    assert_eq!(
        ended.stdout,
        test(&home, &example("heartbeat"), &lines, &[]).ok().stdout
    );
}

#[test]
fn desired_properties_change_and_state_ends_with_a_restart() {
    let home = Home::new();
    let twin = home.write("twin.json", r#"{ "field": "x", "threshold": 1 }"#);
    let value = |x: f64| json!({ "body": { "x": x } });
    let lines = [
        value(3.0),
        json!({ "desired": { "threshold": 5 } }),
        value(3.0),
        json!({ "advance": "10s" }),
        json!({ "restart": true }),
        json!({ "body": "no object" }),
        value(9.5),
    ];
    let args = ["--twin", twin.to_str().unwrap()];
    let ended = test(&home, &example("threshold-filter"), &lines, &args).ok();
    assert_eq!(
        of_kind(&ended, "body"),
        [json!({ "x": 3.0 }), json!({ "x": 9.5 })]
    );
    let properties = of_kind(&ended, "properties");
    assert_eq!(
        properties,
        [json!({ "threshold": "1" }), json!({ "threshold": "5" })]
    );
    let counts: Vec<Value> = of_kind(&ended, "reported")
        .into_iter()
        .filter_map(|mut reported| reported.get_mut("counts").map(Value::take))
        .collect();
    assert_eq!(
        counts,
        [
            json!({ "passed": 1, "held_back": 1, "rejected": 0 }),
            json!({ "passed": 1, "held_back": 0, "rejected": 1 }),
        ]
    );
    let aside = of_kind(&ended, "aside");
    assert_eq!(
        aside,
        [json!({ "message": 3, "reason": "rejected", "detail": "no number in `x`" })]
    );
}

#[test]
fn an_instance_that_dies_over_a_message_sends_nothing_of_it_and_gets_it_again() {
    let home = Home::new();
    let lines = [text("a"), text("b"), text("c")];
    let faults = ["--fault", "trap-on=2", "--fault", "deadline-on=3"];
    let ended = test(&home, &guest("stage"), &lines, &faults).ok();
    let each = ["first", "second", "first", "second", "first", "second"];
    assert_eq!(bodies(&ended), each, "both or neither");
    let reasons = of_kind(&ended, "ended");
    assert!(
        reasons[0]["reason"]
            .as_str()
            .unwrap()
            .starts_with("trapped")
    );
    assert!(
        reasons[1]["reason"]
            .as_str()
            .unwrap()
            .starts_with("deadline exceeded")
    );
    assert_eq!(reasons.len(), 2);

    let ended = test(
        &home,
        &guest("counter-state"),
        &lines,
        &["--fault", "trap-on=2"],
    )
    .ok();
    let plain = test(&home, &guest("counter-state"), &lines, &[]).ok();
    assert_ne!(bodies(&ended), bodies(&plain), "the state is lost");

    let lines = [json!({ "fault": "trap-on=1" }), text("a")];
    let ended = test(&home, &guest("program-loop"), &lines, &[]).ok();
    assert_eq!(of_kind(&ended, "ended").len(), 1, "{ended:?}");
    let forwarded = came_out(&ended)
        .into_iter()
        .filter(|line| line["bodyText"] == "a");
    assert_eq!(forwarded.count(), 1, "{ended:?}");
}

#[test]
fn a_message_that_always_traps_is_put_aside_after_its_tries() {
    let home = Home::new();
    let lines = [
        json!({ "bodyText": "bad", "properties": { "trap": "9" } }),
        text("good"),
    ];
    let ended = test(&home, &guest("trap-on"), &lines, &[]).ok();
    assert_eq!(of_kind(&ended, "ended").len(), 5);
    assert_eq!(of_kind(&ended, "aside")[0]["reason"], "tries-exhausted");
    assert_eq!(bodies(&ended).len(), 1, "the next one is handled");
}

#[test]
fn waits_of_messages_are_on_virtual_time_and_end_with_their_time_to_live() {
    let home = Home::new();
    let line = |times: &str| json!({ "bodyText": "x", "properties": { "retry_ms": "3000000", "times": times } });
    let ended = test(&home, &guest("retry-on"), &[line("2")], &[]).ok();
    let retry = json!({ "message": 1, "afterMs": 3_000_000 });
    assert_eq!(of_kind(&ended, "retry"), [retry.clone(), retry]);
    assert_eq!(bodies(&ended)[0]["previousTries"], 2);
    let ended = test(&home, &guest("retry-on"), &[line("9")], &[]).ok();
    assert_eq!(of_kind(&ended, "expired"), [json!({ "message": 1 })]);
}

#[test]
fn offline_keeps_what_is_sent_and_a_full_queue_lets_messages_wait() {
    let home = Home::new();
    let lines = [
        json!({ "fault": "offline" }),
        text("Ann"),
        json!({ "method": { "name": "any" } }),
        json!({ "fault": "none" }),
        json!({ "fault": "queue-full=greetings" }),
        text("Bob"),
        text("Cleo"),
        json!({ "fault": "none" }),
    ];
    let ended = test(&home, &example("hello"), &lines, &[]).ok();
    let lines: Vec<String> = came_out(&ended)
        .iter()
        .filter(|line| line.get("retry").is_none())
        .map(|line| match line["answer"]["error"].as_str() {
            Some(error) => error.to_owned(),
            None => line["bodyText"].as_str().unwrap().to_owned(),
        })
        .collect();
    assert_eq!(
        lines,
        ["not-found", "Hello, Ann!", "Hello, Bob!", "Hello, Cleo!"]
    );

    let ended = test(
        &home,
        &example("hello"),
        &[text("Ann")],
        &["--fault", "offline"],
    )
    .ok();
    assert!(came_out(&ended).is_empty(), "{ended:?}");
    let ended = test(
        &home,
        &example("hello"),
        &[text("Ann")],
        &["--fault", "queue-full"],
    )
    .ok();
    assert_eq!(of_kind(&ended, "waiting"), [json!({ "messages": 1 })]);
}

#[test]
fn methods_that_the_module_calls_are_answered_by_a_file_or_fail() {
    let home = Home::new();
    let methods = home.write_lines(
        "methods.ndjson",
        &[
            json!({ "module": "o", "name": "m", "status": 201, "payload": [1], "after": "4s" }),
            json!({ "module": "o", "name": "slow", "after": "6s" }),
        ],
    );
    let call = |method: &str| json!({ "body": { "module": "o", "method": method } });
    let lines = [
        call("m"),
        call("slow"),
        call("none"),
        json!({ "fault": "method-failure=503" }),
        call("m"),
        json!({ "fault": "method-failure=busy" }),
        call("m"),
    ];
    let args = ["--methods", methods.to_str().unwrap()];
    let ended = test(&home, &guest("method-caller"), &lines, &args).ok();
    assert_eq!(
        bodies(&ended),
        [
            json!({ "status": 201, "payload": [1] }),
            json!({ "error": "timeout" }),
            json!({ "error": "not-found" }),
            json!({ "status": 503, "payload": null }),
            json!({ "error": "busy" }),
        ]
    );
    let invoked = of_kind(&ended, "invoked");
    assert_eq!(invoked.len(), 5);
    assert_eq!(invoked[0]["module"], "o");
    assert_eq!(invoked[0]["answer"]["status"], 201);
}

#[test]
fn timers_fire_in_order_and_the_environment_is_that_of_the_arguments() {
    let home = Home::new();
    let lines = [
        json!({ "desired": { "every": { "a": 1000 }, "once": { "b": 2500 } } }),
        json!({ "advance": "3s" }),
    ];
    let ended = test(&home, &guest("timer-count"), &lines, &[]).ok();
    let ticks: Vec<Value> = bodies(&ended)
        .into_iter()
        .map(|mut tick| tick["timer"].take())
        .collect();
    assert_eq!(ticks, ["a", "a", "b", "a"]);
    let args = ["--name", "m", "--env", "K=V", "--arg", "-x"];
    let ended = test(&home, &guest("whoami"), &[text("?")], &args).ok();
    let seen = &bodies(&ended)[0];
    assert_eq!(seen["module"], "m");
    assert_eq!(seen["environment"], json!({ "K": "V" }));
}

#[test]
fn faults_of_the_files_are_told_with_their_places_before_anything_runs() {
    let home = Home::new();
    let component = example("hello");
    let lines = home.write(
        "bad.ndjson",
        "{\"bodyText\": \"a\"}\n{\"bodee\": 1}\n{\"advance\": 5}\n\n{\"fault\": \"flood\"}\n",
    );
    let component = component.to_str().unwrap();
    let lines = lines.to_str().unwrap();
    let ended = home.verb(&["test", component, "--messages", lines]);
    let ended = ended.ended_with(7).says(&[
        "bad.ndjson:2:8: ",
        "`bodee`",
        "bad.ndjson:3:13: ",
        "bad.ndjson:5: `fault`",
        "has 3 faults, and nothing was run",
    ]);
    assert_eq!(ended.stdout, "");
    let expect = home.write("expect.ndjson", "{\"otput\": \"a\"}\n");
    let args = ["--expect", expect.to_str().unwrap()];
    let ended = test(&home, Path::new(component), &[], &args).ended_with(7);
    ended.says(&["expect.ndjson:1: ", "found `otput`"]);
    let ended = home.verb(&["test", component, "--messages", "none.ndjson"]);
    ended.ended_with(4).says(&["none.ndjson"]);
    test(&home, Path::new(component), &[], &["--fault", "trap-on=x"])
        .ended_with(2)
        .says(&["`x` is not the number of a message"]);
}

#[test]
fn what_a_device_would_refuse_is_refused() {
    let home = Home::new();
    let nothing = text_component("no-exports");
    test(&home, &nothing, &[], &[]).ended_with(78);
    test(&home, &guest("both-kinds"), &[], &[])
        .ended_with(78)
        .says(&["a device would not take the component", "wasi:cli/run"]);
    let text_file = home.write("x.wasm", "no component");
    test(&home, &text_file, &[], &[])
        .ended_with(78)
        .says(&["not WebAssembly"]);
    test(&home, Path::new("nowhere.wasm"), &[], &[]).ended_with(4);
}

#[test]
fn a_message_that_the_module_never_takes_fails_the_test() {
    let home = Home::new();
    let expect = home.write("expect.ndjson", "");
    let args = ["--expect", expect.to_str().unwrap()];
    let lines = [json!({ "advance": "1s" }), text("x")];
    let ended = test(&home, &guest("timer-count"), &lines, &args).ended_with(1);
    let ended = ended.says(&["messages.ndjson:2: the module takes no messages"]);
    assert!(!ended.stdout.contains("passed"), "{ended:?}");
}

#[test]
fn nothing_is_left_behind_but_compiled_code() {
    let home = Home::new();
    test(&home, &example("hello"), &[text("Ann")], &[]).ok();
    let ours = home.path().join(".cache/wasm-edge/test");
    let left = std::fs::read_dir(ours.join("runs")).unwrap();
    assert_eq!(left.count(), 0);
    assert!(ours.join("precompiled").exists());
}

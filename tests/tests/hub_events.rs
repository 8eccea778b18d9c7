//! Telemetry for named consumers: positions that outlast restarts and kills, and only what is wanted.

use rustix::process::Signal;
use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::http::{self, Answer};
use wasm_edge_tests::run::{DEVICE, Run, body};

fn deployment() -> Deployment {
    Deployment::new()
        .module(Module::guest("feed"))
        .upstream("feed")
}

fn numbers(range: std::ops::Range<u64>) -> Value {
    let message = |number: u64| {
        let parity = if number.is_multiple_of(2) {
            "even"
        } else {
            "odd"
        };
        let properties = json!({ "parity": parity, "number": number.to_string() });
        json!({ "body": number, "properties": properties })
    };
    Value::from_iter(range.map(message))
}

fn ask(home: &Home, method: &str, path: &str, body: Option<Value>) -> Answer {
    let path = format!("/wasm-edge/v1/{path}");
    http::ask(&home.data(), method, &path, body.as_ref()).expect("the hub answers")
}

/// The numbers of a portion, and the position behind it.
fn portion(home: &Home, query: &str) -> (Vec<u64>, String) {
    let answer = ask(home, "GET", &format!("events?{query}"), None);
    assert_eq!(answer.status, 200, "{answer:?}");
    let events = answer.body["events"].as_array().expect("a list");
    let numbers = events
        .iter()
        .map(|event| body(event).as_u64().expect("a number"));
    let position = answer.body["position"].as_str().expect("a position");
    (numbers.collect(), position.to_owned())
}

fn put(home: &Home, consumer: &str, position: &str) {
    let answer = ask(
        home,
        "PUT",
        &format!("consumers/{consumer}"),
        Some(json!({ "position": position })),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Waits until the hub has so many messages.
fn wait_for(run: &Run<'_>, count: u64) {
    wasm_edge_tests::wait::until_so("the telemetry to arrive", || {
        run.get("/wasm-edge/v1/telemetry/status")["next"] == count
    });
}

#[test]
fn a_position_outlasts_a_kill_and_what_was_not_put_comes_again() {
    let home = Home::new();
    let file = deployment().write(&home);
    let run = Run::of(&home, &file);
    put(&home, "archive", "earliest");
    run.send(&numbers(0..10));
    wait_for(&run, 10);
    let (first, position) = portion(&home, "consumer=archive&max=4");
    assert_eq!((first, position.as_str()), (vec![0, 1, 2, 3], "4"));
    put(&home, "archive", &position);
    assert_eq!(portion(&home, "consumer=archive&max=2").0, [4, 5]);
    run.process.signal(Signal::KILL);
    drop(run);

    let run = Run::of(&home, &file);
    assert_eq!(
        portion(&home, "consumer=archive&max=100").0,
        [4, 5, 6, 7, 8, 9]
    );
    let listed = ask(&home, "GET", "consumers", None).body;
    assert_eq!(listed[0]["name"], "archive");
    assert_eq!(listed[0]["position"], "4");
    let gone = ask(&home, "DELETE", "consumers/archive", None);
    assert_eq!(gone.status, 204);
    assert_eq!(
        ask(&home, "GET", "events?consumer=archive", None).status,
        404
    );
    run.interrupt().ok();
}

#[test]
fn a_request_waits_for_the_first_message_and_takes_only_what_is_wanted() {
    let home = Home::new();
    let run = Run::of(&home, &deployment().write(&home));
    put(&home, "c", "latest");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| portion(&home, "consumer=c&wait=60"));
        run.send(&numbers(0..1));
        assert_eq!(waiting.join().expect("it does not panic").0, [0]);
    });
    run.send(&numbers(1..6));
    wait_for(&run, 6);
    let odd = portion(&home, "consumer=c&property=parity%3Dodd");
    assert_eq!(odd, (vec![1, 3, 5], "6".to_owned()));
    let large = portion(
        &home,
        "from=earliest&where=parity%20%3D%20%27even%27&device=d1&module=feed",
    );
    assert_eq!(large.0, [0, 2, 4]);
    assert_eq!(
        portion(&home, "from=earliest&module=other").0,
        Vec::<u64>::new()
    );
    run.interrupt().ok();
}

#[test]
fn wrong_requests_say_what_is_wrong() {
    let home = Home::new();
    let run = Run::of(&home, &deployment().write(&home));
    put(&home, "c", "latest");
    let check = |method: &str, path: &str, body: Option<Value>, status: u16, expected: &str| {
        let answer = ask(&home, method, path, body);
        let message = answer.body["Message"].as_str().unwrap_or_default();
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(message.contains(expected), "{path}: {message}");
    };
    check("GET", "events", None, 400, "one of `consumer` and `from`");
    check(
        "GET",
        "events?consumer=c&from=1",
        None,
        400,
        "one of `consumer` and `from`",
    );
    check(
        "GET",
        "events?consumer=c&max=0",
        None,
        400,
        "`max` is not a number from 1 to 1000",
    );
    check("GET", "events?consumer=c&max=1001", None, 400, "`max`");
    check(
        "GET",
        "events?consumer=c&wait=61",
        None,
        400,
        "`wait` is not a number from 0 to 60",
    );
    check("GET", "events?consumer=c&wait=x", None, 400, "`wait`");
    check(
        "GET",
        "events?consumer=a%20b",
        None,
        400,
        "is no name of a consumer",
    );
    check(
        "GET",
        "events?consumer=c&where=level%20%3D",
        None,
        400,
        "`where`: column ",
    );
    check(
        "GET",
        "events?consumer=c&property=x",
        None,
        400,
        "`name=value`",
    );
    check(
        "GET",
        "events?from=999",
        None,
        400,
        "there is no message at position 999 yet",
    );
    check(
        "PUT",
        "consumers/c",
        Some(json!({ "position": "999" })),
        400,
        "position 999",
    );
    check(
        "PUT",
        "consumers/c",
        Some(json!({ "position": -1 })),
        400,
        "is no position",
    );
    check(
        "PUT",
        "consumers/c",
        Some(json!({ "position": [] })),
        400,
        "neither a text nor a number",
    );
    check(
        "PUT",
        "consumers/c",
        Some(json!({})),
        400,
        "missing field `position`",
    );
    check(
        "PUT",
        "consumers/$own",
        Some(json!({ "position": "latest" })),
        400,
        "no name of a consumer",
    );
    check(
        "GET",
        "consumers/none",
        None,
        404,
        "ErrorCode:ConsumerNotFound;",
    );
    check("POST", "events", Some(json!({})), 405, "");
    run.interrupt().ok();
}

#[test]
fn a_follower_goes_on_where_it_was_interrupted() {
    let home = Home::new();
    let file = deployment().write(&home);
    let run = Run::of(&home, &file);
    let events = |more: &[&str]| {
        let args = [
            &["hub", "events", "--consumer", "c", "--output", "json"],
            more,
        ]
        .concat();
        run.verb(&args)
    };
    events(&[])
        .ended_with(4)
        .says(&["the consumer `c` is not known yet", "`--from earliest`"]);
    run.send(&numbers(0..3));
    wait_for(&run, 3);
    let seen = |text: &str| -> Vec<u64> {
        let number = |line: &str| {
            let event: Value = serde_json::from_str(line).expect("each line is JSON");
            body(&event).as_u64().expect("a number")
        };
        text.lines().map(number).collect()
    };
    assert_eq!(
        seen(&events(&["--from", "earliest"]).ok().stdout),
        [0, 1, 2]
    );
    assert_eq!(seen(&events(&[]).ok().stdout), Vec::<u64>::new());
    let follower = run.verb_process(&[
        "hub",
        "events",
        "--consumer",
        "c",
        "--follow",
        "--output",
        "json",
    ]);
    run.send(&numbers(3..5));
    let found = follower
        .stdout
        .find(0, |line| seen(line).contains(&4).then_some(()));
    assert!(found.is_some(), "{}", follower.stderr.text());
    // What it printed it notes at once.
    wasm_edge_tests::wait::until_so("the position to be noted", || {
        run.get("/wasm-edge/v1/consumers/c")["position"] == "5"
    });
    drop(follower);
    run.send(&numbers(5..7));
    wait_for(&run, 7);
    assert_eq!(
        seen(&events(&["--where", "parity = 'odd'"]).ok().stdout),
        [5]
    );
    let table = run.verb(&["hub", "consumer", "list"]).ok().stdout;
    assert!(
        table.starts_with("CONSUMER  POSITION  MOVED\nc                7  "),
        "{table}"
    );
    run.verb(&["hub", "consumer", "delete", "c"]).ok();
    run.verb(&["hub", "consumer", "delete", "c"]).ended_with(4);
    run.interrupt().ok();
}

#[test]
fn monitor_shows_only_what_is_wanted() {
    let home = Home::new();
    let run = Run::of(&home, &deployment().write(&home));
    run.send(&numbers(0..6));
    wait_for(&run, 6);
    let first = |args: &[&str]| {
        let monitor = run
            .verb_process(&[&["monitor", "--from", "earliest", "--output", "json"], args].concat());
        let (found, _) = monitor.find_json("a message", 0, |event| body(event).as_u64());
        found
    };
    assert_eq!(first(&["--property", "parity=odd"]), 1);
    assert_eq!(
        first(&["--where", "parity = 'odd' AND as_number(number) > 2"]),
        3
    );
    assert_eq!(first(&["--device", DEVICE, "--module", "feed"]), 0);
    run.verb(&["monitor", "--where", "parity ="])
        .ended_with(7)
        .says(&["the condition of `--where` does not compile", "parity ="]);
    run.interrupt().ok();
}

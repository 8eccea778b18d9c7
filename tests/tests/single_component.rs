//! `run COMPONENT.wasm` with its options.

use std::path::Path;

use serde_json::{Value, json};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::paths::guest;
use wasm_edge_tests::run::{RunOptions, bodies, body};

/// Runs a guest as the module `m` over messages, to its end.
fn run(guest_name: &str, messages: &Path, args: &[&str], home: &Home) -> Outcome {
    RunOptions::new(&guest(guest_name))
        .args(["--name", "m", "--input"])
        .args([messages])
        .args(args)
        .to_end(home)
}

/// What a module sent upstream.
fn sent(outcome: &Outcome, module: &str) -> Vec<Value> {
    let lines: Vec<String> = outcome.stdout.lines().map(str::to_owned).collect();
    bodies(&lines, module)
}

#[test]
fn all_three_forms_of_a_body_are_handed_over_and_come_out_upstream() {
    let home = Home::new();
    let messages = [
        json!({ "body": { "a": [1, "ü"] } }),
        json!({ "bodyText": "plain text" }),
        json!({ "bodyBase64": "AAEC" }),
    ];
    let ended = run("echo", &home.write_lines("in", &messages), &[], &home).ok();
    assert_eq!(
        sent(&ended, "m"),
        [
            json!({ "a": [1, "ü"] }),
            json!("plain text"),
            json!("\u{0}\u{1}\u{2}")
        ]
    );
}

#[test]
fn inputs_and_properties_are_those_of_the_line() {
    let home = Home::new();
    let mut run = RunOptions::new(&guest("describe"))
        .fed()
        .args(["--name", "m"])
        .start(&home);
    run.wait_running();
    let mut telemetry = run.telemetry();
    run.feed(&json!({
        "input": "second", "body": 5, "properties": { "k": "v" },
        "systemProperties": { "messageId": "id-1", "contentType": "text/plain" },
    }));
    run.feed(&json!({ "bodyText": "" }));
    let seen = body(&telemetry.next("m"));
    assert_eq!(seen["input"], "second");
    assert_eq!(seen["body"], "5");
    assert_eq!(seen["properties"], json!([["k", "v"]]));
    assert_eq!(seen["system"]["messageId"], "id-1");
    assert_eq!(seen["system"]["contentType"], "text/plain");
    let seen = body(&telemetry.next("m"));
    assert_eq!(
        seen["input"], "input",
        "the input of a line that names none"
    );
    assert_eq!(seen["properties"], json!([]));
    run.process.close_input();
    run.process.wait().ok();
}

#[test]
fn name_environment_and_arguments_reach_the_module() {
    let home = Home::new();
    let messages = home.write_lines("in", &[json!({ "bodyText": "?" })]);
    let args = ["--env", "K=V", "--env", "EMPTY=", "--arg", "-x"];
    let ended = run("whoami", &messages, &args, &home).ok();
    let [seen] = &sent(&ended, "m")[..] else {
        panic!("{ended:#?}")
    };
    assert_eq!(seen["device"], "d1");
    assert_eq!(seen["module"], "m");
    assert_eq!(seen["environment"], json!({ "K": "V", "EMPTY": "" }));
    let arguments = seen["arguments"].as_array().unwrap();
    assert_eq!(arguments.last(), Some(&json!("-x")), "{seen}");
}

#[test]
fn without_a_name_the_module_is_called_after_its_file() {
    let home = Home::new();
    let messages = home.write_lines("in", &[json!({ "body": 1 })]);
    let options = RunOptions::new(&guest("echo")).args(["--input"]);
    let ended = options.args([messages]).to_end(&home).ok();
    assert_eq!(sent(&ended, "echo"), [json!(1)]);
}

#[test]
fn the_desired_properties_come_from_a_file() {
    let home = Home::new();
    let twin = home.write("twin.json", r#"{ "x": [1, 2] }"#);
    let messages = home.write_lines("in", &[json!({ "bodyText": "" })]);
    let args = ["--twin", twin.to_str().unwrap()];
    let ended = run("twin-echo", &messages, &args, &home).ok();
    let [full, seen] = &sent(&ended, "m")[..] else {
        panic!("{ended:#?}")
    };
    assert_eq!(
        (&full["kind"], &full["update"]["x"]),
        (&json!("full"), &json!([1, 2]))
    );
    let section =
        |name: &str| -> Value { serde_json::from_str(seen[name].as_str().unwrap()).unwrap() };
    assert_eq!(section("desired")["x"], json!([1, 2]));
    assert_eq!(section("reported")["x"], json!([1, 2]));
}

#[test]
fn a_faulty_line_is_named_by_its_number_and_the_others_are_handled() {
    let home = Home::new();
    let messages = home.write(
        "in.ndjson",
        "{\"body\": 1}\n\n{\"bodee\": 2}\nnot json\n{\"body\": 3, \"bodyText\": \"3\"}\n{\"body\": 4}\n",
    );
    let ended = run("echo", &messages, &[], &home).ended_with(7);
    assert_eq!(sent(&ended, "m"), [json!(1), json!(4)]);
    let faults: Vec<&str> = ended
        .stderr
        .lines()
        .filter(|line| line.contains("in.ndjson:"))
        .collect();
    for (fault, number) in faults.iter().zip([3, 4, 5]) {
        let place = format!("in.ndjson:{number}: ");
        assert!(fault.contains(&place), "{place} {faults:#?}");
    }
    assert_eq!(faults.len(), 3, "{faults:#?}");
    ended.says(&["bodee", "`body`, `bodyText` and `bodyBase64`"]);
}

#[test]
fn messages_that_are_put_aside_make_it_fail() {
    let home = Home::new();
    let messages = [
        json!({ "bodyText": "bad", "properties": { "reject": "no good" } }),
        json!({ "bodyText": "good" }),
    ];
    let messages = home.write_lines("in", &messages);
    let ended = run("reject-on", &messages, &[], &home)
        .ended_with(1)
        .says(&["1 message was put aside"]);
    assert_eq!(sent(&ended, "m"), [json!({ "body": "good" })]);
    assert!(
        ended.stdout.contains("no good"),
        "the log says why: {ended:#?}"
    );
}

#[test]
fn files_that_are_not_there_are_named() {
    let home = Home::new();
    let nowhere = home.path().join("nowhere");
    run("echo", &nowhere, &[], &home)
        .ended_with(4)
        .says(&["nowhere", "No such file"]);
    let messages = home.write_lines("in", &[]);
    let ended = run("echo", &messages, &["--twin", "no-twin.json"], &home);
    ended.ended_with(4).says(&["no-twin.json", "No such file"]);
    let ended = RunOptions::new(&home.path().join("none.wasm")).to_end(&home);
    ended.ended_with(4).says(&["none.wasm"]);
}

#[test]
fn options_of_a_component_are_refused_for_a_manifest() {
    let home = Home::new();
    let manifest = home.write("d.json", "{}");
    let ended = RunOptions::new(&manifest)
        .args(["--name", "m"])
        .to_end(&home);
    ended.ended_with(2).says(&["`--name`", "d.json"]);
}

//! `run COMPONENT.wasm` with its options.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::paths::guest;
use wasm_edge_tests::run::{RunOptions, bodies};

/// What the module `m` sent upstream.
fn sent(stdout: &str) -> Vec<Value> {
    let lines: Vec<String> = stdout.lines().map(str::to_owned).collect();
    bodies(&lines, "m")
}

#[test]
fn all_forms_of_a_body_reach_the_inputs_they_name() {
    let home = Home::new();
    let input = home.write_lines(
        "in.ndjson",
        &[
            json!({ "body": {"a": [1, "ü"]} }),
            json!({ "input": "second", "bodyText": "plain text", "properties": {"k": "v"} }),
            json!({ "input": "third", "bodyBase64": "AAEC" }),
        ],
    );
    let ended = RunOptions::new(&guest("echo"))
        .args(["--name", "m", "--input", input.to_str().unwrap()])
        .to_end(&home)
        .ok();
    assert_eq!(
        sent(&ended.stdout),
        [
            json!({"a": [1, "ü"]}),
            json!("plain text"),
            json!("\u{0}\u{1}\u{2}")
        ]
    );
}

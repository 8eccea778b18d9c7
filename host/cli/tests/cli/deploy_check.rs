//! `deploy check`: every fault with its place, or a summary.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::invocation::{Ending, Home};

const VALID: &str = r#"{
  "modulesContent": {
    "$edgeAgent": {
      "properties.desired": {
        "schemaVersion": "1.1",
        "modules": {
          "sensor": {
            "type": "wasm",
            "startupOrder": 1,
            "settings": {
              "image": "file:sensor.wasm",
              "wasm": { "grants": [ { "file": "/proc/loadavg" } ] }
            }
          },
          "filter": {
            "version": "1.0",
            "type": "docker",
            "status": "stopped",
            "restartPolicy": "always",
            "settings": {
              "image": "registry.example.com/filter:1",
              "createOptions": "{\"wasm\":{\"memoryLimitBytes\":33554432},\"Hostname\":\"x\"}"
            }
          }
        }
      }
    },
    "$edgeHub": {
      "properties.desired": {
        "schemaVersion": "1.1",
        "routes": {
          "sensor-to-filter": "FROM /messages/modules/sensor/* INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")",
          "up": "FROM /messages/modules/filter/outputs/high INTO $upstream"
        },
        "storeAndForwardConfiguration": { "timeToLiveSecs": 7200 }
      }
    }
  }
}
"#;

fn check(manifest: &str, options: &[&str]) -> Ending {
    let home = Home::new();
    fs::write(home.path().join("d.json"), manifest).unwrap();
    let mut args = vec!["deploy", "check", "d.json"];
    args.extend(options);
    home.run(&args)
}

#[test]
fn a_valid_manifest_gives_its_warnings_and_a_summary() {
    let ending = check(VALID, &[]);
    assert_eq!(
        (ending.code, ending.stderr.as_str()),
        (
            Some(0),
            "hint: name the data folder of a device with `--data-dir DIR`, and the images that it has are looked at\n"
        ),
        "{}",
        ending.stdout
    );
    let (warning, summary) = ending.stdout.split_once('\n').unwrap();
    assert!(warning.starts_with("d.json:2"), "{warning}");
    assert!(
        warning.contains(": warning: $.modulesContent['$edgeAgent']"),
        "{warning}"
    );
    assert!(warning.contains("Hostname"), "{warning}");
    let expected = "\
d.json: valid, 2 modules, 2 routes, 1 warning

MODULE  DESIRED  ORDER  NEEDS    MEMORY      HOST  GRANTS  IMAGE
filter  stopped      -      -  32.0 MiB  4.00 MiB       0  registry.example.com/filter:1
sensor  running      1      -  16.0 MiB  4.00 MiB       1  file:sensor.wasm

memory: 20.0 MiB at most
sensor: no file `sensor.wasm`

ROUTE             FROM                                    TO
sensor-to-filter  /messages/modules/sensor/*              filter/in
up                /messages/modules/filter/outputs/high   $upstream
";
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeezed(summary), squeezed(expected), "{summary}");
}

#[test]
fn every_fault_is_a_line_with_its_place() {
    let manifest = VALID
        .replace("\"status\": \"stopped\"", "\"status\": \"asleep\"")
        .replace("INTO $upstream", "IN $up");
    let ending = check(&manifest, &[]);
    assert_eq!(
        (ending.code, ending.stderr.as_str()),
        (Some(78), "error: `d.json` has 2 faults\n"),
        "{}",
        ending.stdout
    );
    let lines: Vec<_> = ending.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ending.stdout);
    let path = "$.modulesContent['$edgeAgent']['properties.desired'].modules.filter.status";
    assert!(
        lines[0].starts_with("d.json:18:23: ") && lines[0].contains(path),
        "{}",
        lines[0]
    );
    assert!(
        lines[0].contains("; expected `running` or `stopped`"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].starts_with("d.json:33:") && lines[1].contains(".routes.up: "),
        "{}",
        lines[1]
    );
}

#[test]
fn text_that_is_no_json_is_a_fault_too() {
    let ending = check("{\n  \"modulesContent\": {,}\n}", &[]);
    assert_eq!(
        (ending.code, ending.stderr.as_str()),
        (Some(78), "error: `d.json` has 1 fault\n")
    );
    assert!(
        ending.stdout.starts_with("d.json:2:22: $"),
        "{}",
        ending.stdout
    );
}

#[test]
fn faults_cannot_act_on_the_terminal() {
    let ending = check("{\"modulesContent\": {\"a\\u001b[2J\\u202e\": 5}}", &[]);
    assert_eq!(ending.code, Some(78));
    assert!(
        !ending.stdout.contains(['\u{1b}', '\u{202e}']),
        "{:?}",
        ending.stdout
    );
}

#[test]
fn json_output_has_the_documented_shape() {
    let report: Value = serde_json::from_str(&check(VALID, &["--output", "json"]).stdout).unwrap();
    assert_eq!(
        (&report["file"], &report["valid"]),
        (&Value::from("d.json"), &Value::from(true))
    );
    assert_eq!(report["modules"][0]["desiredStatus"], "stopped");
    assert_eq!(report["modules"][1]["memoryLimitBytes"], 16_777_216);
    assert_eq!(report["routes"][1]["to"], "$upstream");
    let ending = check("[]", &["--output", "json"]);
    assert_eq!(ending.code, Some(78));
    let report: Value = serde_json::from_str(&ending.stdout).unwrap();
    assert_eq!(report["valid"], false);
    for key in ["path", "line", "column", "problem", "expected"] {
        assert!(!report["faults"][0][key].is_null(), "{key} in {report}");
    }
}

#[test]
fn a_manifest_comes_from_standard_input_too() {
    let ending = Home::new().run_with_input(&["deploy", "check", "-"], VALID);
    assert_eq!(ending.code, Some(0), "{}", ending.stderr);
    assert!(
        ending.stdout.contains("-: valid, 2 modules"),
        "{}",
        ending.stdout
    );
}

#[test]
fn a_file_that_cannot_be_read_is_told_apart_from_a_bad_one() {
    let home = Home::new();
    let stderr =
        "error: cannot read `none.json`\ncaused by: No such file or directory (os error 2)\n";
    home.run(&["deploy", "check", "none.json"])
        .is(4, "", stderr);
    fs::write(home.path().join("bytes.json"), b"{\"a\": \"\xff\"}").unwrap();
    let stderr = "error: `bytes.json` is not UTF-8 text: byte 7 starts no character\n";
    home.run(&["deploy", "check", "bytes.json"])
        .is(78, "", stderr);
}

/// The manifests that the check of the model is tested with, and what it says of each in the file beside it.
fn golden(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../model/tests/golden/manifests")
        .join(folder);
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    // Those of a hub are read by other rules than a file that a person checks.
    let is_case = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.ends_with(".json") && !name.starts_with("hub-")
    };
    let with_text = |path: PathBuf| {
        let text = fs::read_to_string(path.with_extension("txt")).unwrap();
        (path, text)
    };
    files.filter(is_case).map(with_text).collect()
}

#[test]
fn golden_faults_are_printed_as_editors_read_them() {
    let cases = golden("invalid");
    assert!(cases.len() >= 20, "only {} cases", cases.len());
    for (manifest, faults) in cases {
        let file = manifest.to_str().unwrap();
        let expected: String = faults
            .lines()
            .map(|fault| at_place(file, fault) + "\n")
            .collect();
        let ending = Home::new().run(&["deploy", "check", file]);
        assert_eq!((ending.code, ending.stdout), (Some(78), expected), "{file}");
    }
}

#[test]
fn golden_manifests_without_faults_are_valid() {
    let cases = golden("valid");
    assert!(cases.len() >= 5, "only {} cases", cases.len());
    for (manifest, form) in cases {
        let file = manifest.to_str().unwrap();
        let ending = Home::new().run(&["deploy", "check", file]);
        assert_eq!(ending.code, Some(0), "{file}:\n{}", ending.stdout);
        let count = |text: &str, of: &str| text.lines().filter(|line| line.contains(of)).count();
        let warnings = form
            .lines()
            .filter(|line| line.starts_with("warning: "))
            .count();
        assert_eq!(
            count(&ending.stdout, ": warning: "),
            warnings,
            "{file}:\n{}",
            ending.stdout
        );
    }
}

/// `line 3, column 7: text` as `FILE:3:7: text`.
fn at_place(file: &str, fault: &str) -> String {
    let place = fault
        .strip_prefix("line ")
        .and_then(|rest| rest.split_once(", column "));
    match place.and_then(|(line, rest)| Some((line, rest.split_once(": ")?))) {
        Some((line, (column, text))) => format!("{file}:{line}:{column}: {text}"),
        None => format!("{file}: {fault}"),
    }
}

#[test]
fn the_examples_are_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/deployments");
    let mut checked = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let ending = Home::new().run(&["deploy", "check", file.to_str().unwrap()]);
            assert_eq!(ending.code, Some(0), "{}", ending.stdout);
            checked += 1;
        }
    }
    assert!(checked >= 2, "only {checked} examples");
}

#[test]
fn routes_that_are_hardly_meant_are_warned_of() {
    let back = r#""up": "FROM /messages/modules/filter/* WHERE status = hot INTO BrokeredEndpoint(\"/modules/sensor/inputs/in\")""#;
    let up = r#""up": "FROM /messages/modules/filter/outputs/high INTO $upstream""#;
    let manifest = VALID.replace(up, back);
    assert_ne!(manifest, VALID);
    let ending = check(&manifest, &[]);
    assert_eq!(ending.code, Some(0), "{}", ending.stdout);
    for expected in [
        "messages may go in a circle: `filter` → `sensor` → `filter`, by `up`, `sensor-to-filter`",
        "column 10 of the condition: `hot` is read as a property; a text is `'hot'`",
    ] {
        assert!(ending.stdout.contains(expected), "{}", ending.stdout);
    }
    let wrong = VALID.replace(up, r#""up": "FROM /messages/* WHERE a > 1 INTO $upstream""#);
    let ending = check(&wrong, &[]);
    assert_eq!(ending.code, Some(78));
    let place =
        "$.modulesContent['$edgeHub']['properties.desired'].routes.up: column 24 of the route: ";
    assert!(ending.stdout.contains(place), "{}", ending.stdout);
    assert!(
        ending.stdout.contains("write `as_number(a) > 1`"),
        "{}",
        ending.stdout
    );
}

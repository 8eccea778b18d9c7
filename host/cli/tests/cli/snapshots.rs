//! What each command prints, to the letter: exit code, standard output, standard error.
//!
//! A case is a file in `tests/snapshots`; with `UPDATE_SNAPSHOTS=1` in the environment the files are written anew, and
//! the difference is looked at before it is committed. What differs from run to run has a filter: see [`Filters`].

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex_lite::Regex;

use crate::fake_device::FakeDevice;
use crate::invocation::{Ending, Home};

/// Checks of what the tests' machine is like.
const OF_MACHINE: &str = "configuration,clock,disk,memory,address-space,open-files,kernel";

/// The most lines of a stream that a file has; scripts and manual pages are longer, and change with every option.
const LINES_MAX: usize = 80;

/// What a command runs beside.
#[derive(Clone, Copy)]
enum Beside {
    /// No device.
    Nothing,
    /// A process with the device `d1`.
    OneDevice,
    /// A process with the devices `d1` and `d2`.
    TwoDevices,
    /// Two processes.
    TwoProcesses,
}

/// A command line under the name of its file.
struct Case {
    name: &'static str,
    beside: Beside,
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
}

const fn case(name: &'static str, beside: Beside, args: &'static [&'static str]) -> Case {
    Case {
        name,
        beside,
        args,
        env: &[],
    }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("list", Beside::OneDevice, &["list"]),
    case("list-json", Beside::OneDevice, &["list", "--output", "json"]),
    case("list-quiet", Beside::OneDevice, &["list", "--quiet"]),
    case("list-colour", Beside::OneDevice, &["list", "--color", "always"]),
    case("list-two-devices", Beside::TwoDevices, &["list"]),
    case("list-not-running", Beside::Nothing, &["list"]),
    case("list-not-running-json", Beside::Nothing, &["list", "--output", "json"]),
    case("list-not-running-colour", Beside::Nothing, &["list", "--color", "always"]),
    Case {
        name: "list-not-running-no-colour",
        beside: Beside::Nothing,
        args: &["list"],
        env: &[("NO_COLOR", "1")],
    },
    case("list-no-such-folder", Beside::Nothing, &["list", "--data-dir", "missing"]),
    case("list-two-processes", Beside::TwoProcesses, &["list"]),
    case("inspect", Beside::OneDevice, &["inspect", "filter"]),
    case("inspect-colour", Beside::OneDevice, &["inspect", "filter", "--color", "always"]),
    case("inspect-json", Beside::OneDevice, &["inspect", "filter", "--output", "json"]),
    case("inspect-not-found", Beside::OneDevice, &["inspect", "filtr"]),
    case("inspect-ambiguous", Beside::TwoDevices, &["inspect", "filter"]),
    case("inspect-no-such-device", Beside::OneDevice, &["inspect", "filter", "--device", "d9"]),
    case("logs", Beside::OneDevice, &["logs"]),
    case("logs-json", Beside::OneDevice, &["logs", "--output", "json"]),
    case("logs-two-devices", Beside::TwoDevices, &["logs"]),
    case("twin-get", Beside::OneDevice, &["twin", "get", "filter"]),
    case("twin-get-json", Beside::OneDevice, &["twin", "get", "filter", "--output", "json"]),
    case("twin-get-desired", Beside::OneDevice, &["twin", "get", "filter", "--desired"]),
    case("twin-get-not-found", Beside::OneDevice, &["twin", "get", "none"]),
    case("twin-patch", Beside::OneDevice, &["twin", "patch", "filter", "{\"threshold\": 7}"]),
    case("twin-patch-tags", Beside::OneDevice, &["twin", "patch", "filter", "--tags", "{\"site\": \"north\"}"]),
    case("twin-patch-json", Beside::OneDevice, &["twin", "patch", "filter", "{}", "--output", "json"]),
    case("twin-patch-no-json", Beside::OneDevice, &["twin", "patch", "filter", "threshold=7"]),
    case("twin-patch-key-twice", Beside::OneDevice, &["twin", "patch", "filter", "{\"a\": 1, \"a\": 2}"]),
    case("twin-patch-old-etag", Beside::OneDevice, &["twin", "patch", "filter", "{}", "--etag", "AAAAAAAAAAM="]),
    case("twin-watch", Beside::OneDevice, &["twin", "watch", "filter"]),
    case("twin-watch-json", Beside::OneDevice, &["twin", "watch", "filter", "--output", "json"]),
    case("monitor", Beside::OneDevice, &["monitor"]),
    case("monitor-json", Beside::OneDevice, &["monitor", "--output", "json"]),
    case("deploy-check", Beside::Nothing, &["deploy", "check", "valid.json"]),
    case("deploy-check-json", Beside::Nothing, &["deploy", "check", "valid.json", "--output", "json"]),
    case("deploy-check-faults", Beside::Nothing, &["deploy", "check", "faults.json"]),
    case("deploy-check-faults-json", Beside::Nothing, &["deploy", "check", "faults.json", "--output", "json"]),
    case("deploy-check-no-file", Beside::Nothing, &["deploy", "check", "missing.json"]),
    case("check", Beside::OneDevice, &["check", "--dont-run", OF_MACHINE]),
    case("check-colour", Beside::OneDevice, &["check", "--dont-run", OF_MACHINE, "--color", "always"]),
    case("check-json", Beside::OneDevice, &["check", "--dont-run", OF_MACHINE, "--output", "json"]),
    case("check-nothing-there", Beside::Nothing, &["check", "--dont-run", OF_MACHINE, "--data-dir", "missing"]),
    case("check-foreign-folder", Beside::Nothing, &["check", "--dont-run", OF_MACHINE, "--data-dir", "."]),
    case("check-two-processes", Beside::TwoProcesses, &["check"]),
    case("check-list", Beside::Nothing, &["check", "--list"]),
    case("check-list-json", Beside::Nothing, &["check", "--list", "--output", "json"]),
    case("check-unknown-id", Beside::Nothing, &["check", "--dont-run", "clok"]),
    case("completions", Beside::Nothing, &["completions", "bash"]),
    case("completions-unknown", Beside::Nothing, &["completions", "tcsh"]),
    case("man", Beside::Nothing, &["man"]),
    case("man-dir", Beside::Nothing, &["man", "--dir", "man"]),
    case("man-dir-closed", Beside::Nothing, &["man", "--dir", "valid.json"]),
    case("method", Beside::OneDevice, &["method", "filter", "reset", "{\"to\": 1}"]),
    case("method-json", Beside::OneDevice, &["method", "filter", "reset", "--output", "json"]),
    case("method-declined", Beside::OneDevice, &["method", "filter", "refuse"]),
    case("method-not-there", Beside::OneDevice, &["method", "none", "reset"]),
    case("method-no-json", Beside::OneDevice, &["method", "filter", "reset", "{"]),
    case("send", Beside::OneDevice, &["send", "filter", "hello", "--property", "unit=celsius"]),
    case("send-wait-json", Beside::OneDevice, &["send", "filter", "hello", "--wait", "--output", "json"]),
    case("send-set-aside", Beside::OneDevice, &["send", "filter", "hello", "--input", "odd", "--wait"]),
    case("send-full", Beside::OneDevice, &["send", "filter", "hello", "--input", "full"]),
    case("restart", Beside::OneDevice, &["restart", "filter"]),
    case("queue-list", Beside::OneDevice, &["queue", "list"]),
    case("queue-list-json", Beside::OneDevice, &["queue", "list", "--output", "json"]),
    case("queue-peek", Beside::OneDevice, &["queue", "peek", "filter/in"]),
    case("queue-peek-aside-json", Beside::OneDevice, &["queue", "peek", "filter/in", "--aside", "--output", "json"]),
    case("queue-peek-not-found", Beside::OneDevice, &["queue", "peek", "filtr/in"]),
    case("queue-retry", Beside::OneDevice, &["queue", "retry", "filter/in", "--id", "7e5a01c4-0000020000000007"]),
    case("queue-retry-no-room", Beside::OneDevice, &["queue", "retry", "filter/in", "--all"]),
    case("queue-retry-which", Beside::OneDevice, &["queue", "retry", "filter/in"]),
    case("queue-purge", Beside::OneDevice, &["queue", "purge", "$upstream", "--yes"]),
    case("queue-purge-not-sure", Beside::OneDevice, &["queue", "purge", "filter/in", "--aside"]),
    case("queue-purge-json", Beside::OneDevice, &["queue", "purge", "filter/in", "--waiting", "--yes", "--output", "json"]),
    case("restart-json", Beside::OneDevice, &["restart", "filter", "--output", "json"]),
    case("restart-not-to-run", Beside::OneDevice, &["restart", "sensor"]),
    case("restart-not-found", Beside::OneDevice, &["restart", "none"]),
    case("deploy-apply", Beside::OneDevice, &["deploy", "apply", "valid.json"]),
    case("deploy-apply-json", Beside::OneDevice, &["deploy", "apply", "valid.json", "--output", "json"]),
    case("deploy-apply-no-wait", Beside::OneDevice, &["deploy", "apply", "valid.json", "--no-wait"]),
    case("deploy-apply-faults", Beside::OneDevice, &["deploy", "apply", "faults.json"]),
    case("deploy-apply-rolled-back", Beside::TwoDevices, &["deploy", "apply", "valid.json", "--device", "d2"]),
    case("deploy-show", Beside::OneDevice, &["deploy", "show"]),
    case("deploy-show-json", Beside::OneDevice, &["deploy", "show", "--output", "json"]),
    case("deploy-show-no-last-good", Beside::OneDevice, &["deploy", "show", "--last-good"]),
    case("new", Beside::Nothing, &["new", "greeter"]),
    case("new-json", Beside::Nothing, &["new", "greeter", "--template", "program", "--output", "json"]),
    case("new-name", Beside::Nothing, &["new", "Greeter"]),
    case("build-no-crate", Beside::Nothing, &["build", "."]),
    case("test-no-component", Beside::Nothing, &["test", "missing.wasm", "--messages", "valid.json"]),
    case("run-no-file", Beside::Nothing, &["run", "missing.json"]),
    case("run-faults", Beside::Nothing, &["run", "faults.json", "--device", "d1"]),
    case("run-no-image", Beside::Nothing, &["run", "valid.json", "--device", "d1"]),
    case("bench-list", Beside::Nothing, &["bench", "--list"]),
    case("bench-no-components", Beside::Nothing, &["bench"]),
    case("bench-unknown-row", Beside::Nothing, &["bench", "--components", ".", "speed"]),
    case("support-bundle-closed", Beside::OneDevice, &["support-bundle", "-o", "missing/bundle.zip"]),
    case("version", Beside::Nothing, &["--version"]),
    case("unknown-command", Beside::Nothing, &["monitr"]),
];

const VALID: &str = r#"{"modulesContent": {
  "$edgeAgent": {"properties.desired": {"schemaVersion": "1.1", "modules": {
    "sensor": {"type": "wasm", "startupOrder": 1, "settings": {"image": "file:sensor.wasm",
      "wasm": {"grants": [{"file": "/proc/loadavg"}]}}}}}},
  "$edgeHub": {"properties.desired": {"schemaVersion": "1.1", "routes": {
    "up": "FROM /messages/modules/sensor/* INTO $upstream"}}}}}"#;

const FAULTS: &str = r#"{"modulesContent": {
  "$edgeAgent": {"properties.desired": {"schemaVersion": "1.1", "modules": {
    "sensor": {"type": "wasm", "settings": {"image": 5}}}}},
  "$edgeHub": {"properties.desired": {"schemaVersion": "1.1", "routes": {
    "up": "FROM /messages/modules/none/* INTO $upstram"}}}}}"#;

/// Puts names in the place of what differs from run to run.
struct Filters {
    /// Texts, longer ones before those that they hold.
    texts: Vec<(String, &'static str)>,
    patterns: Vec<(Regex, &'static str)>,
}

impl Filters {
    fn new(home: &Home, devices: &[FakeDevice]) -> Self {
        let mut texts = Vec::new();
        for (device, name) in devices.iter().zip(["[DATA]", "[DATA-2]"]) {
            texts.push((device.canonical_data_folder().display().to_string(), name));
            texts.push((device.data_folder().display().to_string(), name));
        }
        texts.push((home.path().display().to_string(), "[HOME]"));
        texts.push((env!("CARGO_PKG_VERSION").to_owned(), "[VERSION]"));
        let patterns = [
            (r"\b\d\d:\d\d:\d\d\.\d{3}Z", "[TIME]"),
            (r"\b\d+[dhms]( \d+[hms])? ago", "[SPAN] ago"),
            (r"\b\d+ pages", "[N] pages"),
            (r"\b[0-9a-f]{16}\b", "[HASH]"),
        ];
        let compile = |(pattern, name): (&str, _)| (Regex::new(pattern).unwrap(), name);
        Self {
            texts,
            patterns: patterns.map(compile).into(),
        }
    }

    fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (found, name) in &self.texts {
            text = text.replace(found, name);
        }
        for (pattern, name) in &self.patterns {
            text = pattern.replace_all(&text, *name).into_owned();
        }
        // Visible, and no control characters in the files.
        text.replace('\u{1b}', "␛")
    }
}

#[test]
fn every_command_prints_what_its_snapshot_says() {
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let mut faults = Vec::new();
    for case in CASES {
        let file = folder().join(format!("{}.txt", case.name));
        let printed = case.run();
        if update {
            fs::write(&file, printed).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if printed != expected {
            faults.push(format!(
                "--- {}\n{expected}--- now\n{printed}",
                file.display()
            ));
        }
    }
    assert!(
        faults.is_empty(),
        "{}\nif that is meant: UPDATE_SNAPSHOTS=1",
        faults.join("\n")
    );
}

#[test]
fn every_snapshot_has_its_case() {
    let cases: BTreeSet<String> = CASES.iter().map(|it| format!("{}.txt", it.name)).collect();
    assert_eq!(cases.len(), CASES.len(), "a name is used twice");
    let files: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, cases);
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots")
}

impl Case {
    fn run(&self) -> String {
        let home = Home::new();
        fs::write(home.path().join("valid.json"), VALID).unwrap();
        fs::write(home.path().join("faults.json"), FAULTS).unwrap();
        let mut devices = match self.beside {
            Beside::Nothing => vec![],
            Beside::OneDevice => vec![FakeDevice::start(&["d1"])],
            Beside::TwoDevices => vec![FakeDevice::start(&["d1", "d2"])],
            Beside::TwoProcesses => vec![FakeDevice::start(&["d1"]), FakeDevice::start(&["d1"])],
        };
        // As they are listed, so that each has its name.
        devices.sort_by_key(FakeDevice::canonical_data_folder);
        for (number, device) in devices.iter().enumerate() {
            home.announce(&format!("{number:016x}"), &device.canonical_data_folder());
        }
        let mut command = home.command(self.args);
        command.envs(self.env.iter().copied());
        let ending = Ending::of(command.output().unwrap());
        let filters = Filters::new(&home, &devices);
        let line = self.args.join(" ");
        let code = ending
            .code
            .map_or("none".to_owned(), |code| code.to_string());
        let stdout = shortened(&filters.apply(&ending.stdout));
        let stderr = shortened(&filters.apply(&ending.stderr));
        format!(
            "$ wasm-edge {line}\nexit code: {code}\n--- standard output\n{stdout}--- standard error\n{stderr}"
        )
    }
}

/// The beginning of a text that is long, and how it goes on.
fn shortened(text: &str) -> String {
    if text.lines().count() <= LINES_MAX {
        return text.to_owned();
    }
    let kept: String = text
        .lines()
        .take(4)
        .map(|line| format!("{line}\n"))
        .collect();
    format!("{kept}[…]\n")
}

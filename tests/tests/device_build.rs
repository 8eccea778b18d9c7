//! The program for boards: it has neither compiler nor hub, and does what a device does.

use std::fs;
use std::process::Command;

use ring::{hkdf, hmac};
use serde_json::{Value, json};
use wasm_edge_tests::daemon::{Daemon, DaemonOptions};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::paths::{device_binary, example};
use wasm_edge_tests::process::Process;

/// The device of these tests.
const BOARD: &str = "board-1";

/// Runs the program for boards to its end.
fn verb(home: &Home, args: &[&str]) -> Outcome {
    let output = command(home, args.iter()).output();
    output.expect("the program can be started").into()
}

/// The program for boards with these arguments.
fn command<A: AsRef<std::ffi::OsStr>>(home: &Home, args: impl IntoIterator<Item = A>) -> Command {
    let program = device_binary();
    home.program(program.to_str().expect("its path is text"), args)
}

/// The program for boards in place of the full one.
fn on_board(home: &Home, options: &DaemonOptions) -> Command {
    command(home, options.command(home).get_args())
}

/// Starts the device by the program for boards.
fn start<'a>(home: &'a Home, options: &DaemonOptions) -> Daemon<'a> {
    options.start_command(home, on_board(home, options))
}

/// Compiles the images of a deployment for the device of a home.
fn precompile(home: &Home, deployment: &Deployment) {
    let manifest = deployment.write_as(home, "precompiled.json");
    let data = home.data();
    let args = [
        "precompile",
        manifest.to_str().unwrap(),
        "--data-dir",
        data.to_str().unwrap(),
    ];
    home.verb(&args).ok();
}

/// A module that says at short intervals that it is there.
fn heartbeat() -> Deployment {
    let module = Module::of("heartbeat", &example("heartbeat"));
    Deployment::new()
        .module(module.desired(json!({ "interval_ms": 50 })))
        .upstream("heartbeat")
}

/// The same, with another module behind it.
fn with_echo() -> Deployment {
    heartbeat().module(Module::guest("echo"))
}

/// Waits until a device has refused the deployment that its hub has: why it did.
fn refused(hub: &HubServe<'_>) -> String {
    let twin = hub.wait_twin(BOARD, "$edgeAgent", |twin| {
        let (desired, reported) = (
            &twin["properties"]["desired"],
            &twin["properties"]["reported"],
        );
        reported["lastDesiredVersion"] == desired["$version"]
            && reported["lastDesiredStatus"]["code"] != 200
    });
    let status = &twin["properties"]["reported"]["lastDesiredStatus"];
    status["description"]
        .as_str()
        .expect("a description")
        .to_owned()
}

#[test]
fn the_program_for_boards_offers_no_verb_that_needs_a_compiler_or_a_hub() {
    let home = Home::new();
    let help = verb(&home, &["--help"]).ok().stdout;
    let offers = |name: &str| {
        help.lines()
            .any(|line| line.split_whitespace().next() == Some(name) && line.starts_with("  "))
    };
    for name in ["daemon", "list", "inspect", "logs", "check", "upstream"] {
        assert!(offers(name), "`{name}` is missing: {help}");
    }
    for name in ["hub", "new", "build", "test", "bench", "precompile"] {
        assert!(!offers(name), "`{name}` is there: {help}");
    }
}

#[test]
fn a_deployment_from_the_hub_runs_on_what_was_precompiled_and_what_was_not_is_refused_by_name() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let connection_string = hub.make_device(BOARD);
    precompile(&home, &heartbeat());
    hub.apply(BOARD, &heartbeat());
    let options = DaemonOptions::of_hub(&hub, &connection_string);
    let device = start(&home, &options);
    hub.wait_deployed(BOARD);
    assert_eq!(device.components_compiled(), 0);
    let mut telemetry = hub.telemetry();
    telemetry.next("heartbeat");
    let (status, _) = hub.call(BOARD, "heartbeat", "ping", &Value::Null);
    assert_eq!(status, 200);

    // Nothing of a deployment with code that is missing is taken over, and what runs is not touched.
    let before = device.module("heartbeat");
    hub.apply(BOARD, &with_echo());
    let reason = refused(&hub);
    for text in ["`echo`", "no compiler", "wasm-edge precompile"] {
        assert!(reason.contains(text), "{reason}");
    }
    assert!(!reason.contains("heartbeat"), "{reason}");
    telemetry.next("heartbeat");
    let after = device.module("heartbeat");
    for key in ["status", "restartCount", "startedTime"] {
        assert_eq!(before[key], after[key], "{key}");
    }

    // Filled up, it takes it over after its next start.
    device.stop().ok();
    precompile(&home, &with_echo());
    let device = start(&home, &options);
    hub.wait_deployed(BOARD);
    device.wait_module("echo", |module| module["status"] == "running");
    device.stop().ok();
}

#[test]
fn a_deployment_from_a_file_runs_without_a_hub() {
    let home = Home::new();
    precompile(&home, &heartbeat());
    let manifest = heartbeat().write(&home);
    let options = DaemonOptions::of_file(&manifest);
    let device = start(&home, &options);
    device.wait_module("heartbeat", |module| module["status"] == "running");
    assert_eq!(device.components_compiled(), 0);
    device.kill();
    // Killed as by a power cut, it starts again on the same code.
    let device = start(&home, &options);
    device.wait_module("heartbeat", |module| module["status"] == "running");
    device.stop().ok();
}

#[test]
fn code_of_another_version_is_refused_with_both_versions() {
    let (hub_home, home) = (Home::new(), Home::new());
    let hub = HubServe::start(&hub_home);
    let connection_string = hub.make_device(BOARD);
    precompile(&home, &heartbeat());
    sign_as_version(&home, "47.0.0");
    hub.apply(BOARD, &heartbeat());
    let device = start(&home, &DaemonOptions::of_hub(&hub, &connection_string));
    let reason = refused(&hub);
    for text in ["`heartbeat`", "`47.0.0`", "wasm-edge precompile"] {
        assert!(reason.contains(text), "{reason}");
    }
    // It stays, for whoever looks: this build could not make it again.
    device.stop().ok();
    let folder = fs::read_dir(home.in_data("precompiled/native64-1")).unwrap();
    assert_eq!(folder.count(), 2);
}

#[test]
fn a_data_folder_of_another_version_is_refused_by_name_and_left_alone() {
    let home = Home::new();
    precompile(&home, &heartbeat());
    fs::write(home.in_data("format"), "wasm-edge-data 99\n").unwrap();
    let manifest = heartbeat().write(&home);
    let options = DaemonOptions::of_file(&manifest);
    let ended = Process::start(on_board(&home, &options)).wait();
    assert_ne!(ended.status, Some(0));
    let data = home.data();
    ended.says(&[data.to_str().unwrap(), "has format 99", "reads format 1"]);
    assert!(!home.in_data("devices/d1").exists());
}

/// Makes the records of compiled code say that another version of the engine made it, as that version would have.
fn sign_as_version(home: &Home, version: &str) {
    let master = fs::read(home.in_data("precompiled/master.key")).unwrap();
    let key = record_key(&master);
    for entry in fs::read_dir(home.in_data("precompiled/native64-1")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ext| ext != "json") {
            continue;
        }
        let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let text = |record: &Value| {
            let member = |name: &str| match &record[name] {
                Value::String(text) => text.clone(),
                number => number.to_string(),
            };
            let members = [
                "format",
                "profile",
                "engine_version",
                "component_sha256",
                "code_sha256",
                "code_size_bytes",
            ];
            members
                .iter()
                .fold("wasm-edge compiled code\n".to_owned(), |text, name| {
                    text + &member(name) + "\n"
                })
        };
        let mac = |record: &Value| -> String {
            let mac = hmac::sign(&key, text(record).as_bytes());
            mac.as_ref().iter().map(|b| format!("{b:02x}")).collect()
        };
        assert_eq!(
            record["mac"],
            mac(&record),
            "the record is read as it was written"
        );
        record["engine_version"] = version.into();
        record["mac"] = mac(&record).into();
        fs::write(&path, record.to_string()).unwrap();
    }
}

/// The key that vouches for records, from the folder's master key.
fn record_key(master: &[u8]) -> hmac::Key {
    const PURPOSE: &[u8] = b"compiled code";
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"wasm-edge keys 1");
    let length = (PURPOSE.len() as u64).to_be_bytes();
    let root = salt.extract(master);
    let info = [length.as_slice(), PURPOSE];
    let mut bytes = [0; 32];
    let material = root.expand(&info, hkdf::HKDF_SHA256).unwrap();
    material.fill(&mut bytes).unwrap();
    hmac::Key::new(hmac::HMAC_SHA256, &bytes)
}

//! `check` against things that are really broken, and against what a device then does.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};
use wasm_edge_tests::certificates::Authority;
use wasm_edge_tests::daemon::DaemonOptions;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::paths;
use wasm_edge_tests::run::{Run, RunOptions};

/// What this machine is like is no matter of these tests.
const OF_MACHINE: &str = "clock,disk,memory,open-files,kernel,address-space,configuration";

fn check(home: &Home) -> Outcome {
    check_with(home, &["--output", "json"])
}

/// The checks of the data folder and its device, with these further arguments.
fn check_with(home: &Home, args: &[&str]) -> Outcome {
    let data = home.data();
    let data = data.to_str().expect("temporary folders have plain names");
    let common = ["check", "--dont-run", OF_MACHINE, "--data-dir", data];
    home.verb(&[&common, args].concat())
}

/// One check of a report.
#[track_caller]
fn of(report: &Outcome, id: &str) -> Value {
    let report = report.json();
    let checks = report["checks"].as_array().expect("a list");
    let found = checks.iter().find(|check| check["id"] == id);
    found
        .unwrap_or_else(|| panic!("no `{id}` in {report}"))
        .clone()
}

#[track_caller]
fn is(report: &Outcome, id: &str, result: &str, parts: &[&str]) {
    let check = of(report, id);
    assert_eq!(check["result"], result, "{check:#}");
    for part in parts {
        assert!(
            check.to_string().contains(part),
            "`{part}` is not in {check:#}"
        );
    }
}

fn set_mode(path: &Path, mode: u32) {
    let permissions = fs::Permissions::from_mode(mode);
    fs::set_permissions(path, permissions).expect("a file of ours can be changed");
}

/// A home whose device has run and ended.
fn used() -> Home {
    let home = Home::new();
    let manifest = Deployment::new().module(Module::guest("echo")).write(&home);
    Run::of(&home, &manifest).interrupt().ok();
    home
}

#[test]
fn a_running_device_and_a_stopped_one_pass() {
    let home = Home::new();
    let manifest = Deployment::new().module(Module::guest("echo")).write(&home);
    let run = Run::of(&home, &manifest);
    let report = check(&home).ok();
    for id in ["data-folder", "lock", "keys", "socket", "modules"] {
        is(&report, id, "ok", &[]);
    }
    is(
        &report,
        "lock",
        "ok",
        &[&format!("process {}", run.process.id())],
    );
    is(&report, "store", "skipped", &["has the databases open"]);
    is(&report, "clock", "skipped", &["--dont-run"]);
    // Without a folder it is the only device's that is looked at.
    let found = home
        .verb(&["check", "--dont-run", OF_MACHINE, "--output", "json"])
        .ok();
    is(&found, "socket", "ok", &[]);
    run.interrupt().ok();

    let report = check(&home).ok();
    is(&report, "store", "ok", &["2 databases"]);
    is(&report, "socket", "skipped", &[]);
}

#[test]
fn text_has_one_line_for_each_check_of_the_list() {
    let home = used();
    let list = home
        .verb(&["check", "--list", "--output", "json"])
        .ok()
        .json();
    let ids: Vec<&str> = list["checks"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|check| check["id"].as_str())
        .collect();
    let data = home.data();
    let text = home.verb(&["check", "--data-dir", data.to_str().expect("a plain name")]);
    let shown: Vec<&str> = text
        .stdout
        .lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(shown, ids);
    home.verb(&["check", "--dont-run", "clock,nothing"])
        .ended_with(2)
        .says(&["there is no check `nothing`"]);
}

#[test]
fn a_machine_without_a_device_passes_and_nothing_is_made() {
    let home = Home::new();
    let report = check(&home).ok();
    is(&report, "data-folder", "ok", &["not there yet"]);
    is(&report, "modules", "skipped", &[]);
    let report = home
        .verb(&["check", "--dont-run", OF_MACHINE, "--output", "json"])
        .ok();
    is(&report, "data-folder", "skipped", &["--data-dir"]);
    let made = fs::read_dir(home.path())
        .expect("the home is there")
        .count();
    assert_eq!(made, 0, "a check makes nothing");
}

#[test]
fn a_key_that_others_may_read_is_an_error_and_keeps_the_device_from_starting() {
    let home = used();
    let key = home.in_data("devices/d1/keys/master.key");
    set_mode(&key, 0o644);
    let report = check(&home)
        .ended_with(1)
        .says(&["the checks found 1 error"]);
    is(&report, "keys", "error", &["mode 644", "chmod 600"]);
    let manifest = home.path().join("deployment.json");
    RunOptions::new(&manifest)
        .to_end(&home)
        .ended_with(1)
        .says(&["mode 644"]);

    fs::write(&key, "short").expect("the key can be written");
    set_mode(&key, 0o600);
    let report = check(&home).ended_with(1);
    is(&report, "keys", "error", &["has 5 bytes"]);
}

#[test]
fn a_small_address_space_is_an_error_of_the_shell_or_of_the_device() {
    let home = Home::new();
    let mut command = home.program("sh", ["-c", r#"ulimit -v 262144 && exec "$0" "$@""#]);
    command
        .arg(paths::binary())
        .args(["check", "--output", "json"]);
    let report = Outcome::from(command.output().expect("a shell"));
    is(
        &report.ended_with(1),
        "address-space",
        "error",
        &["256 MiB", "ulimit -v unlimited"],
    );

    let manifest = Deployment::new().module(Module::guest("echo")).write(&home);
    let options = RunOptions::new(&manifest);
    let mut command = home.program("sh", ["-c", r#"ulimit -v 1048576 && exec "$0" "$@""#]);
    command
        .arg(paths::binary())
        .args(options.command_line(&home));
    let run = options.start_command(&home, command);
    run.wait_running();
    let report = run.verb(&["check", "--output", "json"]);
    is(&report, "address-space", "ok", &["1.00 GiB", "1 module"]);
    run.interrupt().ok();
}

#[test]
fn a_component_file_that_is_gone_and_a_module_that_failed_are_errors() {
    let home = Home::new();
    let component = home.path().join("echo.wasm");
    fs::copy(paths::guest("echo"), &component).expect("the guest can be copied");
    let manifest = Deployment::new()
        .module(Module::of("echo", &component))
        .module(
            Module::guest("init-fails")
                .set("restartPolicy", "never")
                .env("REASON", "no sensor"),
        )
        .write(&home);
    let run = RunOptions::new(&manifest).start(&home);
    run.wait_module("echo", |module| module["status"] == "running");
    run.wait_module("init-fails", |module| module["status"] == "failed");
    fs::remove_file(&component).expect("the copy is there");
    let report = check(&home).ended_with(1);
    is(
        &report,
        "modules",
        "error",
        &[
            "`d1/echo`: the image",
            "is not there",
            "`d1/init-fails` has status failed",
        ],
    );
    run.interrupt().ok();
}

#[test]
fn a_store_is_whole_after_a_power_cut_and_its_damage_is_found() {
    let home = Home::new();
    let manifest = Deployment::new().module(Module::guest("echo")).write(&home);
    Run::of(&home, &manifest).kill();
    let hub = home.in_data("hub/hub.redb");
    let before = fs::read(&hub).expect("the hub's database");
    let report = check(&home).ok();
    is(&report, "store", "ok", &["2 databases"]);
    assert!(
        before == fs::read(&hub).expect("the hub's database"),
        "a check changes nothing"
    );

    let mut damaged = before;
    for byte in damaged.iter_mut().skip(4096).take(200_000) {
        *byte ^= 0x5a;
    }
    fs::write(&hub, damaged).expect("the hub's database");
    let report = check(&home).ended_with(1);
    is(
        &report,
        "store",
        "error",
        &["hub/hub.redb", "damaged", "backup"],
    );
    assert!(!report.stderr.contains("panicked"), "{}", report.stderr);

    // The next start does as the check says.
    Run::of(&home, &manifest).interrupt().ok();
    let report = check(&home).ok();
    is(&report, "store", "warning", &["hub/hub.redb.damaged-1"]);
    check_with(&home, &["--warnings-as-errors"])
        .ended_with(1)
        .says(&["the checks found 1 warning"]);
}

#[test]
fn a_folder_that_cannot_be_written_or_that_others_may_read_is_told() {
    let home = used();
    set_mode(&home.data(), 0o500);
    let report = check(&home).ended_with(1);
    is(&report, "data-folder", "error", &["mode 500", "chmod 700"]);
    set_mode(&home.data(), 0o755);
    let report = check(&home).ok();
    is(&report, "data-folder", "warning", &["mode 755"]);
    set_mode(&home.data(), 0o700);
    fs::write(home.in_data("format"), "wasm-edge-data 7\n").expect("the format file");
    let report = check(&home).ended_with(1);
    is(&report, "data-folder", "error", &["format 7"]);
}

#[test]
fn a_listener_that_does_not_answer_as_a_device_does_is_an_error() {
    let home = used();
    let socket = home.in_data("control.sock");
    // What the device left there, if anything.
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).expect("the socket can be bound");
    let closing = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the check connects");
        let _ = stream.read(&mut [0; 16]);
    });
    let report = check(&home).ended_with(1);
    is(
        &report,
        "socket",
        "error",
        &["the connection to the device broke"],
    );
    closing.join().expect("one connection comes");
}

/// The check of a device whose certificate is in these files.
fn check_certificate(hub: &HubServe<'_>, certificate: &Path, key: &Path) -> Outcome {
    let text = |path: &Path| path.to_str().expect("a path of tests is text").to_owned();
    let home = Home::new();
    let config = DaemonOptions::new()
        .at(hub)
        .set("provisioning", "source", "x509")
        .set("provisioning", "host_name", "localhost")
        .set("provisioning", "device_id", "d1")
        .set("provisioning", "certificate_file", text(certificate))
        .set("provisioning", "private_key_file", text(key))
        .write(&home);
    check_with(&home, &["--output", "json", "--config", &text(&config)])
}

#[test]
fn a_certificate_is_good_ends_soon_or_has_ended() {
    let hub_home = Home::new();
    let hub = HubServe::start(&hub_home);
    let body = json!({
        "authentication": { "type": "certificateAuthority" }, "capabilities": { "iotEdge": true },
    });
    let made = hub.ask("PUT", "/devices/d1", Some(&body));
    assert_eq!(made.status, 200, "{made:?}");
    let issued = |days: &str| {
        let home = Home::new();
        let folder = home.path().to_str().expect("a path of tests is text");
        let args = ["hub", "ca", "issue", "d1", "--days", days, "--dir", folder];
        let told = hub.verb(&[&args[..], &["--output", "json"]].concat());
        let told = told.ok().json();
        let file = |key: &str| Path::new(told[key].as_str().expect("a path")).to_owned();
        check_certificate(&hub, &file("certificateFile"), &file("keyFile"))
    };
    let report = issued("300").ok();
    let trusted = "what the hub is trusted by: is good for";
    let certificate = "the device's certificate: is good for 299 days";
    is(&report, "certificates", "ok", &[certificate, trusted]);
    is(&report, "hub-access", "ok", &[]);

    let report = issued("20").ok();
    let certificate = "the device's certificate: is good for 19 days";
    is(&report, "certificates", "warning", &[certificate, trusted]);
    is(&report, "hub-access", "ok", &[]);

    let home = Home::new();
    let ended = Authority::new("an authority").issue("d1", (2020, 2021));
    let certificate = home.write("device.pem", ended.pem());
    let key = home.write_secret("device.key", ended.key_pem());
    let report = check_certificate(&hub, &certificate, &key).ended_with(1);
    is(
        &report,
        "certificates",
        "error",
        &["the device's certificate: ended", "days ago"],
    );
    is(&report, "hub-access", "error", &[]);
}

//! The commands that ask a running device: what they send and what they print.

use crate::fake_device::FakeDevice;
use crate::invocation::{Ending, Home};

struct Session {
    home: Home,
    device: FakeDevice,
}

impl Session {
    fn with(devices: &[&str]) -> Self {
        Self {
            home: Home::new(),
            device: FakeDevice::start(devices),
        }
    }

    fn run(&self, args: &[&str]) -> Ending {
        let mut args = args.to_vec();
        args.extend(["--data-dir", self.device.data_folder().to_str().unwrap()]);
        self.home.run(&args)
    }

    #[track_caller]
    fn asked(&self, expected: &[&str]) {
        assert_eq!(self.device.requests(), expected);
    }
}

const LIST_WARNINGS: &str = "\
warning: `sensor` has status backoff: trapped: unreachable\\u{1b}[2J
warning: `filter`: `HostConfig.Privileged` has no meaning here
";

#[test]
fn list_prints_a_sorted_table_and_what_needs_a_look() {
    let session = Session::with(&["d1"]);
    let stdout = "\
MODULE  STATUS   STARTED  RESTARTS    MEMORY  HANDLED  FAILED  ASIDE  QUEUED  IMAGE
filter  running  -               1  1.25 MiB       12       0      0       3  file:filter.wasm
sensor  backoff  -               1  1.25 MiB       12       0      0       3  file:sensor.wasm
";
    session.run(&["list"]).is(0, stdout, LIST_WARNINGS);
    session.run(&["list", "--quiet"]).is(0, stdout, "");
    session.asked(&["GET /v1/modules", "GET /v1/modules"]);
}

#[test]
fn list_names_the_devices_where_there_are_several() {
    let session = Session::with(&["d1", "d2"]);
    let ending = session.run(&["list", "--quiet"]);
    let stdout = "\
DEVICE  MODULE  STATUS   STARTED  RESTARTS    MEMORY  HANDLED  FAILED  ASIDE  QUEUED  IMAGE
d1      filter  running  -               1  1.25 MiB       12       0      0       3  file:filter.wasm
d1      sensor  running  -               1  1.25 MiB       12       0      0       3  file:sensor.wasm
d2      sensor  backoff  -               1  1.25 MiB       12       0      0       3  file:sensor.wasm
";
    ending.is(0, stdout, "");
    session.run(&["list", "--device", "d2", "--output", "json"]);
    session.asked(&["GET /v1/modules", "GET /v1/modules?device=d2"]);
}

#[test]
fn list_as_json_is_the_whole_answer_with_harmless_text() {
    let ending = Session::with(&["d1"]).run(&["list", "--output", "json"]);
    assert_eq!((ending.code, ending.stderr.as_str()), (Some(0), ""));
    let value: serde_json::Value = serde_json::from_str(&ending.stdout).unwrap();
    assert_eq!(value["modules"][0]["module"], "filter");
    assert_eq!(
        value["modules"][1]["statusDescription"],
        "trapped: unreachable\u{1b}[2J"
    );
    assert!(!ending.stdout.contains('\u{1b}'));
}

#[test]
fn inspect_shows_one_module_or_says_that_it_is_not_there() {
    let session = Session::with(&["d1"]);
    let ending = session.run(&["inspect", "sensor"]);
    let stdout = "\
module    sensor
device    d1
status    running, not ready yet
image     -
started   -
restarts  0
memory    2.00 KiB, and the host holds 0 B for it
messages  0 handled, 0 failed, 0 waiting, 0 put aside
twin      desired at version 4, reported at version 2
";
    ending.is(0, stdout, "");
    let stderr = "\
error: cannot show the module `sensr`
caused by: no module `sensr` on the device `d1`

hint: see which there are with `wasm-edge list`
";
    session.run(&["inspect", "sensr"]).is(4, "", stderr);
    session.asked(&[
        "GET /v1/modules/d1/sensor",
        "GET /twins/d1/modules/sensor?api-version=2021-04-12",
        "GET /v1/modules/d1/sensr",
    ]);
}

#[test]
fn logs_are_readable_lines_and_cannot_act_on_the_terminal() {
    let session = Session::with(&["d1"]);
    let stdout = "\
10:00:00.000Z sensor   INFO  load 0.4
10:00:01.000Z filter   err   odd \\u{1b}[31mred n=1
";
    session.run(&["logs", "--tail", "2"]).is(0, stdout, "");
    let json = session.run(&["logs", "filter", "--output", "json"]);
    assert_eq!(json.stdout.lines().count(), 2);
    assert!(
        json.stdout.contains(r#""text":"odd \u001b[31mred""#),
        "{}",
        json.stdout
    );
    session.asked(&[
        "GET /v1/logs?tail=2",
        "GET /v1/logs?device=d1&module=filter",
    ]);
}

#[test]
fn logs_of_several_devices_name_the_device() {
    let ending = Session::with(&["d1", "d2"]).run(&["logs", "--color", "always"]);
    let first = ending.stdout.lines().next().unwrap();
    assert!(first.contains(" d1/\u{1b}["), "{first:?}");
    assert!(first.ends_with("INFO  load 0.4"), "{first:?}");
}

#[test]
fn twin_get_prints_the_twin_or_one_section() {
    let session = Session::with(&["d1"]);
    let desired = "{\n  \"$version\": 4,\n  \"threshold\": 5\n}\n";
    session
        .run(&["twin", "get", "filter", "--desired"])
        .is(0, desired, "");
    session
        .run(&["twin", "get", "filter", "--reported"])
        .is(0, "{\n  \"$version\": 2\n}\n", "");
    let whole = session.run(&["twin", "get", "--output", "json"]);
    assert!(
        whole.stdout.contains("\"$metadata\"") && whole.stdout.contains("\"etag\""),
        "{}",
        whole.stdout
    );
    session.asked(&[
        "GET /twins/d1/modules/filter?api-version=2021-04-12",
        "GET /twins/d1/modules/filter?api-version=2021-04-12",
        "GET /twins/d1?api-version=2021-04-12",
    ]);
}

#[test]
fn a_twin_that_is_not_there_is_not_found() {
    let stderr = "\
error: cannot show the module `none`
caused by: the hub answered 404: no such module (ModuleNotFound)

hint: see which there are with `wasm-edge list`
";
    Session::with(&["d1"])
        .run(&["twin", "get", "none"])
        .is(4, "", stderr);
}

#[test]
fn twin_patch_changes_desired_properties_and_shows_the_version() {
    let session = Session::with(&["d1"]);
    let stdout = "d1/filter: desired is now at version 5  etag AAAAAAAAAAQ=\n";
    session
        .run(&["twin", "patch", "filter", "{\"threshold\": 7}"])
        .is(0, stdout, "");
    session
        .run(&["twin", "patch", "--tags", "{\"site\": null}"])
        .is(0, "d1: tags changed  etag AAAAAAAAAAQ=\n", "");
    session.asked(&[
        "PATCH /twins/d1/modules/filter?api-version=2021-04-12",
        "{\"properties\":{\"desired\":{\"threshold\":7}}}",
        "PATCH /twins/d1?api-version=2021-04-12",
        "{\"tags\":{\"site\":null}}",
    ]);
}

#[test]
fn twin_patch_reads_files_and_standard_input() {
    let session = Session::with(&["d1"]);
    std::fs::write(session.home.path().join("patch.json"), "{\"a\": 1}").unwrap();
    assert_eq!(
        session
            .run(&["twin", "patch", "filter", "@patch.json"])
            .code,
        Some(0)
    );
    let folder = session.device.data_folder().to_str().unwrap();
    let args = ["twin", "patch", "filter", "-", "--data-dir", folder];
    assert_eq!(
        session.home.run_with_input(&args, "{\"b\": 2}").code,
        Some(0)
    );
    let bodies: Vec<_> = session
        .device
        .requests()
        .into_iter()
        .filter(|line| line.starts_with('{'))
        .collect();
    assert_eq!(
        bodies,
        [
            "{\"properties\":{\"desired\":{\"a\":1}}}",
            "{\"properties\":{\"desired\":{\"b\":2}}}"
        ]
    );
}

#[test]
fn a_patch_that_is_no_object_is_not_sent() {
    let session = Session::with(&["d1"]);
    let ending = session.run(&["twin", "patch", "filter", "threshold=5"]);
    assert_eq!((ending.code, ending.stdout.as_str()), (Some(7), ""));
    assert!(
        ending
            .stderr
            .starts_with("error: the patch cannot be applied\ncaused by: not JSON: line 1"),
        "{}",
        ending.stderr
    );
    assert!(
        ending
            .stderr
            .contains("\n\nhint: a patch is a JSON object such as"),
        "{}",
        ending.stderr
    );
    session.asked(&[]);
}

#[test]
fn a_patch_with_an_old_etag_is_refused() {
    let session = Session::with(&["d1"]);
    let stderr = "\
error: the twin was changed in between
caused by: the hub answered 412: the etag differs (PreconditionFailed)

hint: read it again with `wasm-edge twin get filter --output json`
";
    session
        .run(&["twin", "patch", "filter", "{}", "--etag", "AAAAAAAAAAM="])
        .is(6, "", stderr);
    assert_eq!(
        session
            .run(&[
                "twin",
                "patch",
                "filter",
                "{}",
                "--etag",
                "\"AAAAAAAAAAQ=\""
            ])
            .code,
        Some(0)
    );
    let first = "PATCH /twins/d1/modules/filter?api-version=2021-04-12 if-match \"AAAAAAAAAAM=\"";
    assert_eq!(session.device.requests()[0], first);
}

#[test]
fn twin_watch_prints_the_twin_and_then_what_changes() {
    let session = Session::with(&["d1"]);
    let ending = session.run(&["twin", "watch", "filter"]);
    assert_eq!(
        (ending.code, ending.stderr.as_str()),
        (Some(0), "the device has ended\n")
    );
    let without_time: Vec<_> = ending
        .stdout
        .lines()
        .map(|line| line.split_once("Z ").unwrap().1)
        .collect();
    assert_eq!(
        without_time,
        [
            "d1/filter tags: {\"site\":\"north\"}",
            "d1/filter desired 4: {\"threshold\":5}",
            "d1/filter reported 2: {}",
            "d1/filter desired 5: {\"threshold\":7}",
        ]
    );
    let json = session.run(&["twin", "watch", "filter", "--output", "json"]);
    assert_eq!(
        json.stdout
            .lines()
            .filter(|line| line.contains("\"deviceId\":\"d1\""))
            .count(),
        2
    );
}

#[test]
fn monitor_prints_messages_and_what_was_lost() {
    let session = Session::with(&["d1"]);
    let stdout = "10:00:00.000Z filter high: {\"load\":1.5} level=high\n";
    let stderr = "\
warning: 3 messages are gone: the hub keeps so many, for so long
the device has ended
";
    session
        .run(&["monitor", "--module", "filter"])
        .is(0, stdout, stderr);
    let json = session.run(&["monitor", "--output", "json", "--quiet"]);
    assert_eq!((json.stdout.lines().count(), json.stderr.as_str()), (2, ""));
    session.asked(&[
        "GET /wasm-edge/v1/telemetry?module=filter&from=latest",
        "GET /wasm-edge/v1/telemetry?from=latest",
    ]);
}

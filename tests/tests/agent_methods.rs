//! Direct methods of `$edgeAgent`, as an operator calls them over the hub: logs, restarts, uploads.

use std::io::{Cursor, Read, Write};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wasm_edge_tests::blob_stand_in::{BlobStandIn, Trouble};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{DEVICE, Run, RunOptions, body};
use wasm_edge_tests::wait;

const AGENT: &str = "$edgeAgent";

/// What a signature is called in these tests; it is to be found nowhere.
const SIGNATURE: &str = "sv=2024-11-04&sig=c2VjcmV0c2VjcmV0";

fn chatter(name: &str) -> Module {
    Module::guest("chatter")
        .named(name)
        .wasm("logLinesPerSecond", 100_000)
}

fn start(home: &Home) -> Run<'_> {
    let deployment = Deployment::new()
        .module(chatter("chatter"))
        .module(chatter("other"));
    Run::with_quick_restarts(home, &deployment)
}

/// As [`start`], where the stand-in is trusted.
fn start_trusting<'a>(home: &'a Home, storage: &BlobStandIn) -> Run<'a> {
    let manifest = Deployment::new()
        .module(chatter("chatter"))
        .module(chatter("other"))
        .write(home);
    let options = RunOptions::new(&manifest);
    let ca = home.write("storage.pem", storage.ca_pem());
    let mut command = home.command(options.command_line(home));
    command.env("SSL_CERT_FILE", ca);
    let run = options.start_command(home, command);
    run.wait_running();
    run
}

fn log(run: &Run<'_>, module: &str, order: &Value) {
    let answer = run.call(module, "log", order);
    assert_eq!(answer.0, 200, "{answer:?}");
}

/// Status and payload of a call of the agent, with the schema version.
fn ask(run: &Run<'_>, method: &str, mut payload: Value) -> (u64, Value) {
    payload["schemaVersion"] = json!("1.0");
    let (status, payload) = run.call(AGENT, method, &payload);
    (status.as_u64().expect("a status"), payload)
}

/// What is answered to a request for the logs of one module.
fn logs(run: &Run<'_>, item: Value, more: &[(&str, &str)]) -> Value {
    let mut payload = json!({ "items": [item] });
    for (name, value) in more {
        payload[*name] = json!(value);
    }
    let (status, answer) = ask(run, "GetModuleLogs", payload);
    assert_eq!(status, 200, "{answer}");
    answer
}

/// The lines of text of the only module of an answer, without severity and time.
fn texts(answer: &Value) -> Vec<String> {
    let text = answer[0]["payload"].as_str().expect("a text");
    text.lines()
        .map(|line| line.splitn(5, ' ').last().unwrap_or_default().to_owned())
        .collect()
}

fn unpacked(bytes: &[u8]) -> String {
    let packed = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = packed.expect("gzip is there");
    let mut stdin = child.stdin.take().expect("it is piped");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("gzip reads all");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Waits until a task has ended; answers what is told of it.
fn ended(run: &Run<'_>, task: &Value) -> Value {
    let id = task["correlationId"].clone();
    assert_eq!(id.as_str().map(str::len), Some(36), "{task}");
    wait::until("the task to end", || {
        let (status, task) = ask(run, "GetTaskStatus", json!({ "correlationId": id }));
        assert_eq!(status, 200, "{task}");
        let ended = matches!(task["status"].as_str(), Some("Completed" | "Failed"));
        ended.then_some(task)
    })
}

#[test]
fn the_agent_is_alive_and_says_what_it_does_not_know() {
    let home = Home::new();
    let run = start(&home);
    for method in ["ping", "PING"] {
        for payload in [Value::Null, json!(""), json!({ "any": 1 })] {
            assert_eq!(run.call(AGENT, method, &payload), (json!(200), Value::Null));
        }
    }
    let outcome = run
        .verb(&["method", AGENT, "ping", "--output", "json"])
        .ok();
    assert_eq!(outcome.json(), json!({ "status": 200, "payload": null }));
    let refused = |method: &str, payload: Value, expected: &str| {
        let (status, answer) = run.call(AGENT, method, &payload);
        assert_eq!(status, 400, "{answer}");
        let message = answer["message"].as_str().expect("a message");
        assert!(message.contains(expected), "{message}");
    };
    refused(
        "reboot",
        json!({}),
        "Command 'reboot' not found. The supported commands are - ping,",
    );
    refused(
        "GetModuleLogs",
        json!({ "items": [{ "id": "a" }] }),
        "`schemaVersion` is missing",
    );
    refused(
        "GetModuleLogs",
        json!({ "schemaVersion": "2.0" }),
        "expected 1.0",
    );
    let bad = json!({ "schemaVersion": "1.0", "items": [{ "id": "(?=a)" }] });
    refused("GetModuleLogs", bad, "is no pattern");
    let filter = json!({ "regex": "\\w{1000}{1000}{1000}" });
    let bad = json!({ "schemaVersion": "1.0", "items": [{ "id": "none", "filter": filter }] });
    refused("GetModuleLogs", bad, "is no pattern");
    run.interrupt().ok();
}

#[test]
fn a_module_is_restarted_by_its_name() {
    let home = Home::new();
    let deployment = Deployment::new()
        .module(chatter("chatter"))
        .module(chatter("idle").set("status", "stopped"));
    let run = Run::with_quick_restarts(&home, &deployment);
    let answer = ask(&run, "restartmodule", json!({ "id": "chatter" }));
    assert_eq!(answer, (200, Value::Null));
    run.wait_module("chatter", |module| {
        module["restartCount"] == 1 && module["ready"] == true
    });
    let (status, answer) = ask(&run, "RestartModule", json!({ "id": "absent" }));
    assert_eq!(status, 404);
    assert_eq!(
        answer["message"],
        "Module absent not found in the current environment"
    );
    let (status, answer) = ask(&run, "RestartModule", json!({ "id": "idle" }));
    assert_eq!(status, 500);
    assert!(
        answer["message"]
            .as_str()
            .unwrap()
            .contains("cannot be restarted"),
        "{answer}"
    );
    run.interrupt().ok();
}

#[test]
fn logs_are_answered_in_the_form_of_iot_edge_with_all_its_filters() {
    let home = Home::new();
    let run = start(&home);
    log(
        &run,
        "chatter",
        &json!({ "to": "error", "text": "out of paper" }),
    );
    log(
        &run,
        "chatter",
        &json!({ "to": "info", "lines": 3, "text": "tick" }),
    );
    log(&run, "other", &json!({ "to": "warn", "text": "hot" }));

    let answer = logs(
        &run,
        json!({ "id": "^chatter$", "filter": { "regex": "paper" } }),
        &[],
    );
    assert_eq!(answer[0]["id"], "chatter");
    let line = answer[0]["payload"].as_str().expect("a text");
    let (severity, rest) = line.split_once(' ').expect("a severity");
    assert_eq!(
        (severity, &rest[23..]),
        ("<3>", " +00:00 0 out of paper kind=order\n")
    );
    assert!(
        rest.starts_with("20") && &rest[4..5] == "-" && &rest[19..20] == ".",
        "{rest}"
    );

    let filtered = |filter: Value| {
        texts(&logs(
            &run,
            json!({ "id": "CHATTER", "filter": filter }),
            &[],
        ))
    };
    let last = filtered(json!({ "tail": 2 }));
    assert_eq!(last, ["1 tick kind=order", "2 tick kind=order"]);
    assert_eq!(
        filtered(json!({ "loglevel": 3 })),
        ["0 out of paper kind=order"]
    );
    assert_eq!(
        filtered(json!({ "regex": "tick", "tail": 1 })),
        ["2 tick kind=order"]
    );
    assert_eq!(
        filtered(json!({ "since": "1 hour", "loglevel": 3 })).len(),
        1
    );
    assert_eq!(filtered(json!({ "until": "1 hour" })), Vec::<String>::new());
    assert_eq!(
        filtered(json!({ "since": "2099-01-01T00:00:00Z" })),
        Vec::<String>::new()
    );
    assert_eq!(
        filtered(json!({ "since": 4_000_000_000_u32 })),
        Vec::<String>::new()
    );

    let all = logs(
        &run,
        json!({ "id": "all", "filter": { "loglevel": 4 } }),
        &[("contentType", "json")],
    );
    let ids: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|module| &module["id"])
        .collect();
    assert_eq!(ids, ["chatter", "other"]);
    assert_eq!(all[0]["payload"], "[]");
    let lines: Value = serde_json::from_str(all[1]["payload"].as_str().unwrap()).unwrap();
    let expected = json!({
        "iothub": "localhost", "device": DEVICE, "id": "other", "stream": "log", "loglevel": 4,
        "text": "0 hot kind=order", "timestamp": lines[0]["timestamp"],
    });
    assert_eq!(lines, json!([expected]));

    let packed = logs(
        &run,
        json!({ "id": "other", "filter": { "tail": 1 } }),
        &[("encoding", "gzip")],
    );
    let bytes = STANDARD.decode(packed[0]["payloadBytes"].as_str().expect("base64"));
    assert!(unpacked(&bytes.unwrap()).ends_with("0 hot kind=order\n"));
    assert_eq!(logs(&run, json!({ "id": "nobody" }), &[]), json!([]));
    run.interrupt().ok();
}

#[test]
fn an_answer_has_at_most_what_a_method_may_and_says_what_is_left_out() {
    let home = Home::new();
    let run = start(&home);
    // Each of the lines has characters that take more room in JSON.
    let order = json!({ "lines": 4000, "text": "\"quoted\"\t\u{1}ä ", "repeat": 4 });
    log(&run, "chatter", &order);
    for (content, packing) in [
        ("text", "none"),
        ("json", "none"),
        ("text", "gzip"),
        ("json", "gzip"),
    ] {
        let more = [("contentType", content), ("encoding", packing)];
        let answer = logs(&run, json!({ "id": "chatter" }), &more);
        let size = answer.to_string().len();
        assert!(size <= 128 * 1024, "{size}");
        let payload = match packing {
            "none" => answer[0]["payload"].as_str().expect("a text").to_owned(),
            _ => {
                let bytes = STANDARD.decode(answer[0]["payloadBytes"].as_str().expect("base64"));
                unpacked(&bytes.unwrap())
            }
        };
        assert!(payload.contains("3999 "), "the newest is there");
        let is_cut = payload.contains("lines before this are left out");
        assert_eq!(is_cut, packing == "none", "{content} {packing}");
    }
    run.interrupt().ok();
}

#[test]
fn logs_are_uploaded_to_a_container_over_tls() {
    let home = Home::new();
    let storage = BlobStandIn::start();
    let run = start_trusting(&home, &storage);
    log(&run, "chatter", &json!({ "lines": 2, "text": "tick" }));
    log(&run, "other", &json!({ "text": "tock" }));
    // What may pass is tried again, what was cut off too.
    storage.trouble(&[Trouble::Status(503, "ServerBusy"), Trouble::HangUp]);
    let request = json!({
        "sasUrl": storage.container(SIGNATURE), "items": [{ "id": "all", "filter": { "regex": "t[io]ck" } }],
        "encoding": "gzip", "contentType": "text",
    });
    let (status, task) = ask(&run, "UploadModuleLogs", request);
    assert_eq!(status, 200, "{task}");
    let task = ended(&run, &task);
    assert_eq!(
        (&task["status"], &task["message"]),
        (&json!("Completed"), &json!(""))
    );
    let blobs = storage.wait(2);
    assert_eq!((blobs.len(), storage.requests()), (2, 4));
    for (blob, module, lines) in [(&blobs[0], "chatter", 2), (&blobs[1], "other", 1)] {
        let (path, query) = blob.target.split_once('?').expect("a signature");
        assert_eq!(query, SIGNATURE);
        let name = path.strip_prefix(&format!("/account/logs/localhost/{DEVICE}/{module}-"));
        let name = name.unwrap_or_else(|| panic!("{path}"));
        assert_eq!(name.len(), "2026-08-01--10-00-00.log.gz".len(), "{name}");
        assert!(name.ends_with(".log.gz"), "{name}");
        assert_eq!(blob.header("x-ms-blob-type"), Some("BlockBlob"));
        assert_eq!(blob.header("content-type"), Some("text/plain"));
        assert_eq!(blob.header("content-encoding"), Some("gzip"));
        assert_eq!(unpacked(&blob.content).lines().count(), lines);
    }
    // A file that is worked on has no name and is gone.
    let leftovers = std::fs::read_dir(home.in_data(&format!("devices/{DEVICE}/store"))).unwrap();
    let names: Vec<_> = leftovers.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !names
            .iter()
            .any(|name| name.to_string_lossy().starts_with(".tmp")),
        "{names:?}"
    );
    let outcome = run.interrupt().ok();
    assert!(!outcome.stderr.contains("c2VjcmV0"), "{}", outcome.stderr);
}

#[test]
fn an_upload_that_fails_says_why_and_tells_no_signature() {
    let home = Home::new();
    let storage = BlobStandIn::start();
    let run = start_trusting(&home, &storage);
    log(&run, "chatter", &json!({ "text": "tick" }));
    let request = |url: &str| json!({ "sasUrl": url, "items": [{ "id": "chatter" }] });
    let failed = |url: &str, expected: &[&str]| {
        let (status, task) = ask(&run, "UploadModuleLogs", request(url));
        assert_eq!(status, 200, "{task}");
        let task = ended(&run, &task);
        assert_eq!(task["status"], "Failed", "{task}");
        let message = task["message"].as_str().expect("a message");
        for text in expected {
            assert!(message.contains(text), "{message}");
        }
        assert!(!message.contains("sig="), "{message}");
    };
    storage.trouble(&[Trouble::Status(403, "AuthenticationFailed")]);
    let url = storage.container(SIGNATURE);
    failed(&url, &["chatter", "403", "AuthenticationFailed"]);
    assert_eq!(storage.requests(), 1, "a refusal is not tried again");
    storage.trouble(&[Trouble::Status(400, "<script>")]);
    failed(&url, &["answered 400"]);

    let refused = |url: &str, expected: &str| {
        let (status, answer) = ask(&run, "UploadModuleLogs", request(url));
        assert_eq!(status, 400, "{answer}");
        let message = answer["message"].as_str().expect("a message");
        assert!(
            message.contains(expected) && !message.contains("c2Vj"),
            "{message}"
        );
    };
    refused(
        &format!("http://example.com/logs?{SIGNATURE}"),
        "use `https`",
    );
    refused(&format!("localhost/logs?{SIGNATURE}"), "of the form");
    refused("", "of the form");
    let unknown = json!({ "correlationId": "b2d1e6a0-0000-4000-8000-000000000000" });
    let (status, task) = ask(&run, "GetTaskStatus", unknown);
    assert_eq!((status, &task["status"]), (200, &json!("Unknown")));
    let outcome = run.interrupt().ok();
    assert!(!outcome.stderr.contains("c2VjcmV0"), "{}", outcome.stderr);
}

#[test]
fn no_more_tasks_wait_than_may_and_the_end_does_not_wait_for_them() {
    let home = Home::new();
    let storage = BlobStandIn::start();
    let run = start_trusting(&home, &storage);
    log(&run, "chatter", &json!({ "text": "tick" }));
    storage.trouble(&[Trouble::Status(503, "ServerBusy"); 100]);
    let request = json!({ "sasUrl": storage.container(SIGNATURE), "items": [{ "id": "chatter" }] });
    let statuses: Vec<u64> = (0..20)
        .map(|_| ask(&run, "UploadModuleLogs", request.clone()).0)
        .collect();
    let taken = statuses.iter().filter(|status| **status == 200).count();
    assert!((8..=10).contains(&taken), "{statuses:?}");
    assert_eq!(
        statuses.iter().filter(|status| **status == 500).count(),
        20 - taken
    );
    // The agent answers meanwhile.
    assert_eq!(run.call(AGENT, "ping", &Value::Null).0, 200);
    run.interrupt().ok();
}

#[test]
fn a_support_bundle_is_uploaded_as_the_verb_makes_it() {
    let home = Home::new();
    let storage = BlobStandIn::start();
    let run = start_trusting(&home, &storage);
    log(&run, "chatter", &json!({ "text": "tick" }));
    let url = storage.container(SIGNATURE);
    let upload = |more: &[(&str, Value)], count: usize| {
        let mut request = json!({ "sasUrl": url });
        for (name, value) in more {
            request[*name] = value.clone();
        }
        let (status, task) = ask(&run, "UploadSupportBundle", request);
        assert_eq!(status, 200, "{task}");
        let task = ended(&run, &task);
        assert_eq!(task["status"], "Completed", "{task}");
        let blob = storage.wait(count).remove(count - 1);
        assert_eq!(blob.header("content-type"), Some("application/zip"));
        let path = format!("/account/logs/localhost/{DEVICE}/support-bundle-");
        assert!(blob.target.starts_with(&path), "{}", blob.target);
        zip::ZipArchive::new(Cursor::new(blob.content)).expect("a zip")
    };
    let text = |zip: &mut zip::ZipArchive<Cursor<Vec<u8>>>, name: &str| {
        let mut text = String::new();
        let file = zip.by_name(name);
        file.expect("it is there")
            .read_to_string(&mut text)
            .expect("UTF-8");
        text
    };
    let log_name = format!("logs/{DEVICE}/chatter.ndjson");
    let mut whole = upload(&[("since", json!("1d"))], 1);
    assert!(text(&mut whole, &log_name).contains("tick"));
    let about: Value = serde_json::from_str(&text(&mut whole, "bundle.json")).expect("JSON");
    assert_eq!(
        (&about["from"], &about["missing"]),
        (&json!("device"), &json!([])),
        "{about}"
    );
    let mut none = upload(&[("until", json!("2020-01-01T00:00:00Z"))], 2);
    assert_eq!(text(&mut none, &log_name), "");
    let runtime = upload(&[("edgeRuntimeOnly", json!(true))], 3);
    let names: Vec<String> = runtime
        .file_names()
        .map(|name| name.expect("a name").into_owned())
        .collect();
    assert!(names.iter().any(|name| name == "check.json"), "{names:?}");
    assert!(
        !names.iter().any(|name| name.starts_with("logs/")),
        "{names:?}"
    );
    run.interrupt().ok();
}

#[test]
fn modules_of_the_device_cannot_call_the_agent() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("method-caller").named("caller"))
        .pass("feed/out", "caller/in")
        .upstream("caller");
    let run = Run::with_quick_restarts(&home, &manifest);
    let mut telemetry = run.telemetry();
    let order = json!({ "module": AGENT, "method": "RestartModule", "payload": { "schemaVersion": "1.0", "id": "feed" } });
    run.send(&json!([{ "body": order }]));
    let answer = body(&telemetry.next("caller"));
    assert_eq!(answer, json!({ "error": "not-found" }));
    run.interrupt().ok();
}

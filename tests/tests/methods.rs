//! Direct methods over the hub's REST face and among modules: every limit, every way not to get an answer.

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::http;
use wasm_edge_tests::run::{Run, RunOptions, Telemetry, body};
use wasm_edge_tests::wait;

/// The largest payload, with its quotes.
const PAYLOAD_MAX_BYTES: usize = 128 * 1024;

/// `feed` orders, `caller` calls, `method-echo` answers, and `echo` takes no methods.
fn start(home: &Home) -> Run<'_> {
    let manifest = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("method-caller").named("caller"))
        .module(Module::guest("method-echo").wasm("callDeadlineMs", 2_000))
        .module(Module::guest("echo"))
        .pass("feed/out", "caller/in")
        .upstream("caller")
        .write(home);
    let run = RunOptions::new(&manifest)
        .args(["--restart-wait", "50ms"])
        .start(home);
    run.wait_running();
    run
}

/// What the service API answers to a call: the status and the body, of which a failure's message is read as JSON.
fn call(home: &Home, path: &str, request: &Value) -> (u16, Value) {
    let answer = http::ask(&home.data(), "POST", path, Some(request));
    let answer = answer.expect("the run answers on its socket");
    let inner = answer.body["Message"]
        .as_str()
        .and_then(|message| serde_json::from_str(message).ok());
    (answer.status, inner.unwrap_or(answer.body))
}

/// Status and number of the error of a call of a module.
fn failure(home: &Home, module: &str, request: &Value) -> (u16, Value) {
    let (status, body) = call(
        home,
        &format!("/twins/d1/modules/{module}/methods"),
        request,
    );
    (status, body["errorCode"].clone())
}

/// What `caller` got when it called as told.
fn called(run: &Run<'_>, telemetry: &mut Telemetry, order: &Value) -> Value {
    run.send(&json!([{ "body": order }]));
    body(&telemetry.next("caller"))
}

/// JSON text of so many bytes.
fn text(bytes: usize) -> Value {
    Value::from("x".repeat(bytes - 2))
}

#[test]
fn the_service_is_told_why_there_is_no_answer() {
    let home = Home::new();
    let run = start(&home);
    let check = |module: &str, request: Value, expected: (u16, u32)| {
        let found = failure(&home, module, &request);
        assert_eq!(found, (expected.0, json!(expected.1)), "{module} {request}");
    };
    let plain = || json!({ "methodName": "echo" });
    let offline = (404, 404_103);
    check("echo", plain(), offline);
    check("$edgeHub", plain(), offline);
    let patient = json!({ "methodName": "echo", "connectTimeoutInSeconds": 1 });
    let (status, error) = call(&home, "/twins/d1/methods", &patient);
    assert_eq!((status, &error["errorCode"]), (404, &json!(404_103)));
    assert_eq!(error["info"]["timeout"], "00:00:01");

    let invalid = (400, 400_004);
    for timeout in [4, 301] {
        let request = json!({ "methodName": "echo", "responseTimeoutInSeconds": timeout });
        check("method-echo", request, invalid);
    }
    let request = json!({ "methodName": "echo", "connectTimeoutInSeconds": 301 });
    check("method-echo", request, invalid);
    check("method-echo", json!({ "methodName": "" }), invalid);
    let long = json!({ "methodName": "n".repeat(101) });
    check("method-echo", long, invalid);
    let large = json!({ "methodName": "echo", "payload": text(PAYLOAD_MAX_BYTES + 1) });
    check("method-echo", large, invalid);
    for path in ["/twins/d1/modules/absent/methods", "/twins/absent/methods"] {
        let (status, body) = call(&home, path, &plain());
        let message = body["Message"].as_str().unwrap_or_default();
        assert_eq!(status, 404, "{body}");
        assert!(message.contains("NotFound;"), "{body}");
    }

    // None of all that has reached the module.
    let (status, answer) = run.call("method-echo", "echo", &json!(1));
    assert_eq!((status, &answer["calls"]), (json!(200), &json!(1)));
    run.interrupt().ok();
}

#[test]
fn names_and_payloads_pass_up_to_their_limits_both_ways() {
    let home = Home::new();
    let run = start(&home);
    // The answer holds the payload and some more, so that this is the most that fits both ways.
    let most = text(PAYLOAD_MAX_BYTES - r#"{"calls":1,"payload":}"#.len());
    let (status, answer) = run.call("method-echo", "echo", &most);
    assert_eq!((status, &answer["payload"]), (json!(200), &most));
    // A byte more is too much for the answer, which says so.
    let more = text(PAYLOAD_MAX_BYTES);
    let (status, answer) = run.call("method-echo", "echo", &more);
    assert_eq!(status, 500, "{answer}");
    let error = answer["error"].as_str().unwrap_or_default();
    assert!(error.contains("at most 131072"), "{answer}");
    let name = "ä".repeat(100);
    let (status, answer) = run.call("method-echo", &name, &Value::Null);
    assert_eq!(status, 404);
    assert_eq!(answer["error"], format!("no method `{name}`"));

    let mut telemetry = run.telemetry();
    let order = |method: String, payload: Value| json!({ "module": "method-echo", "method": method, "payload": payload });
    let refused = [
        order("n".repeat(101), Value::Null),
        order(String::new(), Value::Null),
        json!({ "module": "method-echo", "method": "x", "bytes": PAYLOAD_MAX_BYTES + 1 }),
    ];
    for order in refused {
        let answer = called(&run, &mut telemetry, &order);
        assert_eq!(answer, json!({ "error": "invalid" }));
    }
    let most = json!({ "module": "method-echo", "method": "x", "bytes": PAYLOAD_MAX_BYTES });
    assert_eq!(called(&run, &mut telemetry, &most)["status"], 404);
    let answer = called(&run, &mut telemetry, &order("n".repeat(100), Value::Null));
    assert_eq!(answer["status"], 404);
    run.interrupt().ok();
}

#[test]
fn a_callee_that_ends_is_told_at_once_and_is_found_again_when_it_is_back() {
    let home = Home::new();
    let run = start(&home);
    let request = json!({ "methodName": "trap", "responseTimeoutInSeconds": 300 });
    let path = "/twins/d1/modules/method-echo/methods";
    let (status, error) = call(&home, path, &request);
    assert_eq!((status, &error["errorCode"]), (504, &json!(504_101)));
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains("ended"), "{error}");

    // It may be away for a moment: who waits for it gets through.
    let (status, answer) = run.call("method-echo", "echo", &Value::Null);
    assert_eq!((status, &answer["calls"]), (json!(200), &json!(1)));

    // The same for a module, also when the callee is restarted while it works.
    let mut telemetry = run.telemetry();
    let order = json!({ "module": "method-echo", "method": "trap" });
    let answer = called(&run, &mut telemetry, &order);
    assert_eq!(answer, json!({ "error": "other" }));
    run.wait_module("method-echo", |module| module["ready"] == true);
    run.send(&json!([{ "body": { "module": "method-echo", "method": "slow" } }]));
    run.wait_log("method-echo", "begun");
    run.restart("method-echo");
    let answer = body(&telemetry.next("caller"));
    assert_eq!(answer, json!({ "error": "other" }));
    run.interrupt().ok();
}

#[test]
fn a_module_that_was_stopped_is_not_online() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("method-echo").set("restartPolicy", "never"))
        .write(&home);
    let run = Run::of(&home, &manifest);
    let trap = json!({ "methodName": "trap", "connectTimeoutInSeconds": 30 });
    assert_eq!(failure(&home, "method-echo", &trap).0, 504);
    run.wait_module("method-echo", |module| module["status"] == "failed");
    let again = json!({ "methodName": "echo" });
    wait::until_so("the hub to know that it takes no methods", || {
        failure(&home, "method-echo", &again) == (404, json!(404_103))
    });
    run.interrupt().ok();
}

#[test]
fn too_many_calls_at_once_are_refused_at_once() {
    let home = Home::new();
    let run = start(&home);
    // The first one keeps the module busy until its deadline; the others wait, and the seventeenth may not.
    let slow = json!({ "methodName": "slow", "responseTimeoutInSeconds": 300 });
    let outcomes: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| failure(&home, "method-echo", &slow)))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let count =
        |expected: (u16, Value)| outcomes.iter().filter(|found| **found == expected).count();
    assert!(count((403, json!(403_800))) >= 4, "{outcomes:?}");
    // All others ended with the instance.
    assert_eq!(
        count((403, json!(403_800))) + count((504, json!(504_101))),
        20,
        "{outcomes:?}"
    );
    // A call that meets the instance as it ends is told so; the next one takes calls again.
    run.wait_module("method-echo", |module| {
        module["restartCount"] == 1 && module["ready"] == true
    });
    let (status, _) = run.call("method-echo", "echo", &Value::Null);
    assert_eq!(status, 200);
    run.interrupt().ok();
}

#[test]
fn long_circles_through_method_handlers_are_refused_where_they_close() {
    let home = Home::new();
    let mut manifest = Deployment::new()
        .module(Module::guest("feed"))
        .pass("feed/out", "a/in")
        .upstream("a");
    for name in ["a", "b", "c", "d"] {
        manifest = manifest.module(Module::guest("method-caller").named(name));
    }
    let run = Run::of(&home, &manifest.write(&home));
    let mut telemetry = run.telemetry();
    // a calls b, which calls c, which calls d, which calls back.
    for closes_at in ["a", "b", "c", "d"] {
        let relay = |module: &str, payload: Value| json!({ "module": module, "method": "relay", "payload": payload });
        let order = relay("b", relay("c", relay("d", relay(closes_at, Value::Null))));
        run.send(&json!([{ "body": order }]));
        let mut answer = body(&telemetry.next("a"));
        for _ in 0..3 {
            assert_eq!(answer["status"], 200, "{answer}");
            answer = answer["payload"].clone();
        }
        assert_eq!(answer, json!({ "error": "busy" }), "{closes_at}");
    }
    run.interrupt().ok();
}

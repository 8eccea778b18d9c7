//! The harness for modules with handlers, as an author uses it: what the module does, and what the device does about it.

use std::time::Duration;

use serde::Deserialize;

use wasm_edge_sdk::identity::{self, CryptoError};
use wasm_edge_sdk::methods::{Call, InvokeError, Response};
use wasm_edge_sdk::testing::{Fault, Handled, Harness, Incoming, Outcome, TimerChange};
use wasm_edge_sdk::timer::{self, Tick};
use wasm_edge_sdk::twin::DesiredUpdate;
use wasm_edge_sdk::{
    Failure, Message, Outgoing, Result, SendError, SystemProperty, Value, json, module, twin,
};

const SECOND: Duration = Duration::from_secs(1);

/// Does what its messages say.
#[derive(Default)]
struct Probe {
    seen: u32,
}

#[module]
impl Probe {
    fn message(&mut self, message: &Message) -> Result {
        self.seen += 1;
        Outgoing::text(format!("number {}", self.seen)).send("out")?;
        match message.text()?.as_str() {
            "retry" => Err(Failure::retry(7200 * SECOND)),
            "reject" => Err(Failure::reject("x".repeat(2_000))),
            "panic" => panic!("as asked"),
            "forward" => Ok(message.forward().set("b", "2").remove("a").send("on")?),
            _ => Ok(()),
        }
    }

    fn timer(&mut self, tick: Tick) -> Result {
        Outgoing::text(format!("{} {}", tick.name, tick.missed)).send("ticks")?;
        match tick.name.as_str() {
            "failing" => Err(Failure::reject("no tick")),
            _ => Ok(()),
        }
    }

    fn method(&mut self, name: &str, payload: Value) -> Response {
        let status = |result: std::result::Result<(), String>| match result {
            Ok(()) => Response::ok("done"),
            Err(text) => Response::error(400, text),
        };
        match name {
            "every" | "failing" => status(
                timer::every(name, SECOND * payload.as_u64().unwrap_or(0) as u32)
                    .map_err(|err| err.to_string()),
            ),
            "report" => status(twin::report(&payload).map_err(|err| err.to_string())),
            "send" => status(send(&payload).map_err(|err| format!("{err:?}"))),
            "call" => match Call::module("other", "m").payload(payload).invoke() {
                Ok(response) => response,
                Err(err) => Response::error(502, err),
            },
            "self" => status(
                Call::module(identity::module_id(), "m")
                    .invoke()
                    .map(drop)
                    .map_err(|err| format!("{err:?}")),
            ),
            "raw" => Response {
                status: 200,
                payload: "no JSON".to_owned(),
            },
            name => Response::unknown_method(name),
        }
    }

    fn health(&self) -> Result {
        match self.seen {
            0 => Err(Failure::reject("has seen nothing")),
            _ => Ok(()),
        }
    }
}

/// Sends what a method's payload describes.
fn send(payload: &Value) -> std::result::Result<(), SendError> {
    let output = payload["output"].as_str().unwrap_or("out");
    let size = payload["size"].as_u64().unwrap_or(0) as usize;
    let mut outgoing = Outgoing::new(vec![b'x'; size]);
    for n in 0..payload["properties"].as_u64().unwrap_or(0) {
        outgoing = outgoing.property(n.to_string(), "");
    }
    if let Some(name) = payload["property"].as_str() {
        outgoing = outgoing.property(name, "").property(name, "");
    }
    if payload["forged"] == true {
        outgoing = outgoing.system_property(SystemProperty::ConnectionModuleId, "other");
    }
    (0..payload["times"].as_u64().unwrap_or(1)).try_for_each(|_| outgoing.clone().send(output))
}

fn probe() -> Harness<Probe> {
    Harness::new()
}

#[test]
fn what_is_sent_goes_out_only_if_the_handler_answered_well() {
    let mut probe = probe();
    let well = probe.message("anything").expect_ok();
    assert_eq!(well.only_sent().text(), "number 1");
    assert_eq!(
        well.only_sent()
            .system_property(SystemProperty::ContentType),
        Some("text/plain")
    );
    for (text, expected) in [
        ("retry", Outcome::Retry(3600 * SECOND)),
        (
            "reject",
            Outcome::Rejected(format!("{}…", "x".repeat(1_021))),
        ),
    ] {
        let handled = probe.message(text);
        assert_eq!(
            (handled.outcome, handled.sent),
            (expected, vec![]),
            "{text}"
        );
    }
    // Nothing of what was dropped comes later.
    assert_eq!(probe.message("again").only_sent().text(), "number 4");
}

#[test]
fn a_panic_is_a_trap_and_the_next_call_has_another_instance() {
    let mut probe = probe();
    probe.method("every", json!(1)).expect_ok();
    let handled = probe.message("panic");
    let Outcome::Trapped(text) = &handled.outcome else {
        panic!("{:?}", handled.outcome);
    };
    assert!(
        text.contains("as asked") && text.contains("harness.rs"),
        "{text}"
    );
    assert!(handled.logged("as asked"));
    assert_eq!(handled.sent, []);
    assert!(!probe.is_running());
    assert_eq!(probe.timers_running(), Vec::<String>::new());
    assert_eq!(
        probe.message("again").expect_ok().only_sent().text(),
        "number 1"
    );
}

#[test]
fn a_message_is_forwarded_as_it_came_but_for_the_changes() {
    let mut probe = probe();
    let message = Incoming::from("forward")
        .property("a", "1")
        .property("c", "3")
        .system_property(SystemProperty::MessageId, "7")
        .system_property(SystemProperty::ConnectionModuleId, "sensor");
    let handled = probe.message(message).expect_ok();
    let sent: Vec<_> = handled.sent_on("on").collect();
    assert_eq!(sent[0].text(), "forward");
    let properties = [("c", "3"), ("b", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(sent[0].properties, properties);
    assert_eq!(
        sent[0].system_property(SystemProperty::MessageId),
        Some("7")
    );
    assert_eq!(
        sent[0].system_property(SystemProperty::ConnectionModuleId),
        None
    );
}

#[test]
fn sizes_names_and_properties_have_the_devices_limits() {
    let mut probe = probe();
    let mut check = |payload: Value, expected: &str| {
        let handled = probe.method("send", payload.clone());
        let text = &handled.response().payload;
        assert!(text.contains(expected), "{payload}: {text}");
        assert_eq!(handled.sent.is_empty(), expected != "done", "{payload}");
    };
    check(json!({"size": 262_144}), "done");
    check(json!({"size": 262_145}), "TooLarge { size_bytes: 262145 }");
    check(json!({"output": ""}), "done");
    check(json!({"output": "x".repeat(128)}), "done");
    check(json!({"output": "x".repeat(129)}), "128 bytes");
    check(json!({"output": "a/b"}), "contains a `/`");
    check(json!({"properties": 256}), "done");
    check(json!({"properties": 257}), "257 properties");
    check(json!({"property": "twice"}), "`twice` is there twice");
    check(json!({"forged": true}), "set by the host");
    check(json!({"size": 262_000, "times": 15}), "done");
}

#[test]
fn what_is_staged_is_bounded_as_on_the_device() {
    let mut probe = probe();
    let handled = probe.method("send", json!({"size": 262_000, "times": 17}));
    assert!(handled.response().payload.contains("OverLimit"));
    // The method answered, so what was taken before goes out.
    assert_eq!(handled.sent.len(), 15);
}

#[test]
fn ticks_come_when_due_and_are_counted_when_missed() {
    let mut probe = probe();
    let started = probe.method("every", json!(2)).expect_ok();
    let name = "every".to_owned();
    let period = 2 * SECOND;
    assert_eq!(started.timers, [TimerChange::Every { name, period }]);
    assert_eq!(probe.advance(SECOND).sent, []);
    let sent = probe.advance(5 * SECOND).expect_ok().sent;
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|sent| sent.text() == "every 0"));
    // Due at 8, 10 and 12; 13 is now, and the grid stays.
    let late = probe.stall(7 * SECOND).expect_ok();
    assert_eq!(late.only_sent().text(), "every 2");
    assert_eq!(late.ticks[0].missed, 2);
    assert_eq!(probe.advance(SECOND).expect_ok().sent.len(), 1);
}

#[test]
fn a_timer_whose_handler_fails_goes_on_and_sends_nothing() {
    let mut probe = probe();
    probe.method("failing", json!(1)).expect_ok();
    let handled = probe.advance(3 * SECOND);
    assert_eq!(handled.outcome, Outcome::Failed("no tick".to_owned()));
    assert_eq!((handled.ticks.len(), handled.sent.len()), (3, 0));
}

#[test]
fn reported_properties_merge_and_last() {
    let mut probe = probe().with_reported(json!({"a": 1, "b": {"c": 2}}));
    let handled = probe
        .method("report", json!({"a": null, "b": {"d": 3}}))
        .expect_ok();
    assert_eq!(handled.reported, [json!({"a": null, "b": {"d": 3}})]);
    probe.restart().expect_ok();
    assert_eq!(probe.reported_properties(), json!({"b": {"c": 2, "d": 3}}));
    let refused = probe.method("report", json!({"a.b": 1}));
    assert!(refused.response().payload.contains("patch refused"));
    assert_eq!(refused.reported, Vec::<Value>::new());
}

#[test]
fn faults_are_what_the_module_sees_until_they_are_cleared() {
    let mut probe = probe();
    probe.inject(Fault::FullQueue("out".to_owned()));
    // `?` makes a retry of it.
    assert!(matches!(probe.message("x").outcome, Outcome::Retry(_)));
    assert!(
        probe
            .method("send", json!({"output": "other"}))
            .response()
            .status
            == 200
    );
    probe.inject(Fault::FullTwin);
    let refused = probe.method("report", json!({"a": 1}));
    assert!(refused.response().payload.contains("no more patches"));
    probe.clear_faults();
    probe.inject(Fault::CommitFails);
    let handled = probe.message("x");
    assert_eq!(
        (handled.outcome, handled.sent),
        (Outcome::Retry(Duration::ZERO), vec![])
    );
    probe.clear_faults();
    assert_eq!(probe.message("x").expect_ok().sent.len(), 1);
}

#[test]
fn other_modules_answer_as_the_test_says() {
    let mut probe = probe().with_module("other", |method, payload| match payload.as_u64() {
        Some(0) => Err(InvokeError::Timeout),
        Some(1) => Ok(Response {
            status: 200,
            payload: "no JSON".to_owned(),
        }),
        _ => Ok(Response::ok(&json!([method, payload]))),
    });
    let handled = probe.method("call", json!(2));
    assert_eq!(handled.response().json::<Value>().unwrap(), json!(["m", 2]));
    let invoked = &handled.invoked[0];
    assert_eq!(invoked.module.as_deref(), Some("other"));
    assert_eq!((&*invoked.method, &invoked.payload), ("m", &json!(2)));
    assert_eq!(probe.method("call", json!(1)).response().status, 500);
    // Nobody answers for 30 s, in which ticks are missed.
    probe.method("every", json!(10)).expect_ok();
    assert!(
        probe
            .method("call", json!(0))
            .response()
            .payload
            .contains("in time")
    );
    assert_eq!(probe.advance(Duration::ZERO).ticks[0].missed, 2);
    let itself = probe.method("self", json!(null));
    assert!(itself.response().payload.contains("Busy"));
    let mut alone = Harness::<Probe>::new();
    let absent = alone.method("call", json!(2));
    assert!(absent.response().payload.contains("no such module"));
}

#[test]
fn answers_are_checked_as_the_device_checks_them() {
    let response = probe().method("raw", json!(null)).response().clone();
    assert_eq!(response.status, 500);
    assert!(
        response.payload.contains("not JSON"),
        "{}",
        response.payload
    );
}

#[test]
fn health_says_what_is_wrong() {
    let mut probe = probe();
    let ill = Outcome::Failed("has seen nothing".to_owned());
    assert_eq!(probe.health().outcome, ill);
    probe.message("x").expect_ok();
    probe.health().expect_ok();
}

/// Tells of the updates it hears.
#[derive(Default)]
struct Listener;

#[module]
impl Listener {
    fn init(&mut self) -> Result {
        match twin::desired::<Value>()?["fail"] == true {
            true => Err(Failure::reject("told to")),
            false => Ok(()),
        }
    }

    fn desired_update(&mut self, update: DesiredUpdate) -> Result {
        let (kind, value) = match update {
            DesiredUpdate::Full(value) => ("full", value),
            DesiredUpdate::Patch(value) => ("patch", value),
        };
        Outgoing::json(&json!([kind, value]))?.send("updates")?;
        Ok(())
    }
}

#[test]
fn desired_properties_come_once_in_full_and_then_as_patches() {
    let mut listener = Harness::<Listener>::new().with_desired(json!({"a": 1}));
    let told = |handled: Handled| handled.expect_ok().only_sent().json::<Value>();
    assert_eq!(
        told(listener.start()),
        json!(["full", {"a": 1, "$version": 1}])
    );
    let patch = json!({"a": null, "b": 2});
    assert_eq!(
        told(listener.desired(patch)),
        json!(["patch", {"a": null, "b": 2, "$version": 2}])
    );
    assert_eq!(listener.desired_properties(), json!({"b": 2}));
    assert_eq!(
        told(listener.replace_desired(json!({"c": 3}))),
        json!(["full", {"c": 3, "$version": 3}])
    );
    assert_eq!(
        told(listener.restart()),
        json!(["full", {"c": 3, "$version": 3}])
    );
}

#[test]
fn a_failing_init_ends_the_start() {
    let mut listener = Harness::<Listener>::new().with_desired(json!({"fail": true}));
    let started = listener.start();
    assert_eq!(started.outcome, Outcome::Failed("told to".to_owned()));
    assert_eq!(started.sent, []);
    assert!(!listener.is_running());
}

#[test]
#[should_panic(expected = "the module did not start: Failed(\"told to\")")]
fn a_call_of_a_module_that_does_not_start_says_so() {
    let mut listener = Harness::<Listener>::new().with_desired(json!({"fail": true}));
    listener.desired(json!({}));
}

#[test]
#[should_panic(expected = "the module has no handler `message`; it has init, desired_update")]
fn a_message_for_a_module_that_takes_none_says_so() {
    Harness::<Listener>::new().message("x");
}

#[test]
#[should_panic(expected = "calls to the host work inside of a component")]
fn without_a_harness_there_is_no_host() {
    identity::device_id();
}

/// Keeps secrets, and panics at its end.
#[derive(Default)]
struct Keeper;

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[module]
impl Keeper {
    fn method(&mut self, name: &str, payload: Text) -> Result<Response, CryptoError> {
        let path = wasm_edge_sdk::data_folder().join("secret");
        Ok(match name {
            "keep" => {
                let sealed = identity::encrypt(payload.text.as_bytes())?;
                std::fs::write(path, sealed).expect("the folder is there");
                Response::ok("kept")
            }
            "tell" => {
                let text = identity::decrypt(&std::fs::read(path).expect("it was kept"))?;
                Response::ok(&String::from_utf8_lossy(&text))
            }
            _ => Response::ok(&identity::sign(payload.text.as_bytes())?),
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = Outgoing::text("never seen").send("end");
        panic!("destructors do not run on the device");
    }
}

#[test]
fn files_last_over_a_restart_and_secrets_are_the_identitys_own() {
    let text = |text: &str| json!({ "text": text });
    let mut keeper = Harness::<Keeper>::new().with_key(b"Jefe");
    keeper.method("keep", text("attack at dawn")).expect_ok();
    assert!(keeper.restart().expect_ok().sent.is_empty());
    let told = keeper.method("tell", text("")).expect_ok();
    assert_eq!(told.response().json::<String>().unwrap(), "attack at dawn");
    let signed = keeper.method("sign", text("what do ya want for nothing?"));
    let signature: Vec<u8> = signed.response().json().unwrap();
    assert_eq!(signature[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    keeper.inject(Fault::KeysUnusable);
    assert_eq!(keeper.method("sign", text("")).response().status, 500);
    keeper.clear_faults();

    let folder = keeper.data_folder();
    let mut other = Harness::<Keeper>::new()
        .with_identity("test-device", "other")
        .with_data_folder(&folder);
    let refused = other.method("tell", text(""));
    assert!(refused.response().payload.contains("not of this identity"));
    drop(other);
    assert!(folder.exists(), "a folder that the test gave stays");
    drop(keeper);
    assert!(!folder.exists(), "a temporary folder goes");
}

#[test]
fn two_threads_of_tests_do_not_meet() {
    let threads: Vec<_> = (0..4)
        .map(|n| {
            std::thread::spawn(move || {
                let mut probe = probe().with_identity("device", &format!("module-{n}"));
                for count in 1..=200 {
                    let handled = probe.message("x").expect_ok();
                    assert_eq!(handled.only_sent().text(), format!("number {count}"));
                    probe
                        .method("report", json!({ "count": count }))
                        .expect_ok();
                }
                assert_eq!(probe.reported_properties(), json!({ "count": 200 }));
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("its own world");
    }
}

#[test]
#[should_panic(expected = "more than 100000 ticks in one call")]
fn a_period_that_was_not_meant_ends_the_test() {
    let mut probe = probe();
    probe.method("every", json!(1)).expect_ok();
    probe.advance(100_001 * SECOND);
}

/// Panics in what it starts with.
struct Unmade;

impl Default for Unmade {
    fn default() -> Self {
        panic!("no default")
    }
}

#[module]
impl Unmade {
    fn health(&self) {}
}

#[test]
fn a_type_that_cannot_be_made_is_a_trap() {
    let mut unmade = Harness::<Unmade>::new();
    let started = unmade.start();
    assert!(matches!(started.outcome, Outcome::Trapped(text) if text.contains("no default")));
    assert!(!unmade.is_running());
}

#[test]
#[should_panic(expected = "no message like this comes to a module: message refused")]
fn a_message_that_cannot_be_is_refused() {
    probe().message(Incoming::from("x").property("", "no name"));
}

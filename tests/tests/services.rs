//! What the host does for modules beside messages and twins: methods, timers, events, keys, readiness.

use base64::Engine;
use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{Run, Telemetry, body};

/// A deployment of `feed` and this guest, which gets what `feed` sends and whose messages go upstream.
fn fed(guest: Module, name: &str) -> Deployment {
    Deployment::new()
        .module(Module::guest("feed"))
        .module(guest)
        .pass("feed/out", &format!("{name}/in"))
        .upstream(name)
}

#[test]
fn modules_call_each_other_and_circles_are_refused_at_once() {
    let home = Home::new();
    let manifest = fed(Module::guest("method-caller").named("a"), "a")
        .module(Module::guest("method-caller").named("b"))
        .module(Module::guest("method-echo"))
        .module(Module::guest("echo"))
        .write(&home);
    let run = Run::of(&home, &manifest);
    let echo = json!({ "module": "method-echo", "method": "echo", "payload": { "n": 1 } });
    let check = |from: usize, order: Value, expected: Value| {
        run.send(&json!([{ "body": order }]));
        let (answer, next) = run.upstream("a", from, |body| Some(body.clone()));
        assert_eq!(answer, expected);
        next
    };
    let next = check(
        0,
        echo.clone(),
        json!({ "status": 200, "payload": { "calls": 1, "payload": { "n": 1 } } }),
    );
    let next = check(
        next,
        json!({ "module": "method-echo", "method": "nope" }),
        {
            let (status, payload) = run.call("method-echo", "nope", &Value::Null);
            json!({ "status": status, "payload": payload })
        },
    );
    // Through b to method-echo: a chain is no circle.
    let chain = json!({ "module": "b", "method": "relay", "payload": echo });
    let next = check(
        next,
        chain,
        json!({ "status": 200, "payload": { "status": 200, "payload": { "calls": 4, "payload": { "n": 1 } } } }),
    );
    // b calls a, which waits for b.
    let circle = json!({ "module": "b", "method": "relay", "payload": { "module": "a", "method": "relay" } });
    let next = check(
        next,
        circle,
        json!({ "status": 200, "payload": { "error": "busy" } }),
    );
    let next = check(
        next,
        json!({ "module": "a", "method": "relay" }),
        json!({ "error": "busy" }),
    );
    let next = check(
        next,
        json!({ "module": "echo", "method": "x" }),
        json!({ "error": "not-found" }),
    );
    check(
        next,
        json!({ "module": "absent", "method": "x" }),
        json!({ "error": "not-found" }),
    );
    run.interrupt().ok();
}

#[test]
fn a_method_that_traps_has_no_answer_and_the_module_comes_back() {
    let home = Home::new();
    let manifest = fed(Module::guest("method-caller").named("a"), "a")
        .module(Module::guest("method-echo"))
        .write(&home);
    let run = wasm_edge_tests::run::RunOptions::new(&manifest)
        .args(["--restart-wait", "50ms"])
        .start(&home);
    run.wait_running();
    run.send(&json!([{ "body": { "module": "method-echo", "method": "trap" } }]));
    let (answer, next) = run.upstream("a", 0, |body| Some(body.clone()));
    assert_eq!(answer, json!({ "error": "other" }));
    run.wait_module("method-echo", |module| {
        module["restartCount"] == 1 && module["ready"] == true
    });
    run.send(&json!([{ "body": { "module": "method-echo", "method": "echo" } }]));
    let (answer, _) = run.upstream("a", next, |body| Some(body["payload"]["calls"].clone()));
    assert_eq!(answer, 1);
    run.interrupt().ok();
}

/// A name that no timer may have: 129 bytes.
const LONG: &str = concat!(
    "0123456789012345678901234567890123456789012345678901234567890123",
    "01234567890123456789012345678901234567890123456789012345678901234"
);

#[test]
fn timers_tick_by_name_once_or_again_and_can_be_changed() {
    let home = Home::new();
    let desired =
        json!({ "every": { "fast": 20, "slow": 3_600_000 }, "once": { "single": 30, (LONG): 5 } });
    let manifest = Deployment::new()
        .module(Module::guest("timer-count").desired(desired))
        .upstream("timer-count")
        .write(&home);
    let run = Run::of(&home, &manifest);
    let ticks = |name: &str, count: u64, from: usize| {
        run.upstream("timer-count", from, |body| {
            (body["timer"] == name && body["count"] == count).then_some(())
        })
        .1
    };
    ticks("single", 1, 0);
    let next = ticks("fast", 10, 0);
    run.wait_twin("timer-count", |twin| {
        twin["properties"]["reported"]["errors"][LONG].is_string()
    });
    run.patch(
        "timer-count",
        &json!({ "every": { "fast": 3_600_000, "other": 20 }, "once": null }),
    );
    ticks("other", 5, next);
    let all = run.all_upstream("timer-count");
    let count = |name: &str| all.iter().filter(|body| body["timer"] == name).count();
    assert_eq!(count("single"), 1);
    assert_eq!(count("slow"), 0);
    run.interrupt().ok();
}

#[test]
fn a_program_hears_of_everything_in_its_own_loop() {
    let home = Home::new();
    let manifest = fed(
        Module::guest("program-loop").desired(json!({ "x": 1 })),
        "program-loop",
    )
    .write(&home);
    let run = Run::of(&home, &manifest);
    let seen = |key: &'static str| {
        run.upstream("program-loop", 0, |body| body.get(key).cloned())
            .0
    };
    assert_eq!(seen("desired")["x"], 1);
    assert_eq!(seen("timer"), "first");
    run.patch("program-loop", &json!({ "x": 2 }));
    assert_eq!(seen("patch")["x"], 2);
    let (status, payload) = run.call("program-loop", "hello", &json!([1]));
    assert_eq!(
        (status, payload),
        (json!(200), json!({ "method": "hello", "payload": [1] }))
    );
    for order in ["drop", "retry", "reject", "twice", "complete"] {
        run.send(&json!([{ "properties": { "do": order } }]));
    }
    run.upstream("program-loop", 0, |body| {
        (body["staged"] == "complete").then_some(())
    });
    assert!(
        seen("again")
            .as_str()
            .is_some_and(|text| text.contains("ended before")),
        "{}",
        seen("again")
    );
    let all = run.all_upstream("program-loop");
    let staged = |order: &str| all.iter().filter(|body| body["staged"] == order).count();
    assert_eq!(
        (
            staged("drop"),
            staged("retry"),
            staged("reject"),
            staged("twice")
        ),
        (1, 1, 0, 1)
    );
    assert_eq!(
        run.inspect("program-loop")["setAside"][0]["reason"],
        "rejected"
    );
    let ended = run.interrupt().ok();
    assert!(ended.stdout.contains("graceMs"), "{}", ended.stdout);
}

#[test]
fn a_program_that_exits_badly_under_never_has_failed() {
    let home = Home::new();
    let guest = Module::guest("program-loop").set("restartPolicy", "never");
    let run = Run::of(&home, &fed(guest, "program-loop").write(&home));
    run.send(&json!([{ "properties": { "do": "exit", "code": "7" } }]));
    let module = run.wait_module("program-loop", |module| module["status"] == "failed");
    // WASI 0.2 tells well from badly, and no more: every other code arrives as 1.
    assert_eq!(module["exitCode"], 1, "{module}");
    run.interrupt().ok();
}

/// What the guest `keys` answers to a body, whole.
fn keys_answer(run: &Run<'_>, telemetry: &mut Telemetry, module: &str, order: Value) -> Value {
    run.send(&json!([order]));
    body(&telemetry.next(module))
}

#[test]
fn keys_stay_with_the_identity_and_what_they_sealed_opens_after_a_restart() {
    let home = Home::new();
    let manifest = fed(Module::guest("keys"), "keys")
        .module(Module::guest("keys").named("other"))
        .pass("feed/other", "other/in")
        .upstream("other")
        .write(&home);
    let run = Run::of(&home, &manifest);
    let mut telemetry = run.telemetry();
    let answer = keys_answer(&run, &mut telemetry, "keys", json!({ "body": "secret" }));
    assert_eq!(answer["opened"], json!({ "Ok": true }), "{answer}");
    assert_eq!(
        answer["changed"],
        json!({ "Err": "invalid-ciphertext" }),
        "{answer}"
    );

    let identity = run.get("/devices/d1/modules/keys");
    let key = identity["authentication"]["symmetricKey"]["primaryKey"]
        .as_str()
        .unwrap();
    let key = base64::engine::general_purpose::STANDARD
        .decode(key)
        .unwrap();
    // The body is the JSON text with its quotes.
    let tag = ring::hmac::sign(
        &ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key),
        br#""secret""#,
    );
    let tag: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(answer["signature"]["Ok"], tag, "{answer}");

    let sealed = answer["encrypted"]["Ok"].clone();
    let decrypt = |output: &str| json!({ "output": output, "properties": { "decrypt": "1" }, "body": sealed });
    let foreign = keys_answer(&run, &mut telemetry, "other", decrypt("other"));
    assert_ne!(foreign["text"], json!({ "Ok": "\"secret\"" }), "{foreign}");
    run.interrupt().ok();

    let run = Run::of(&home, &manifest);
    let mut telemetry = run.telemetry();
    let again = keys_answer(&run, &mut telemetry, "keys", decrypt("out"));
    assert_eq!(again["text"], json!({ "Ok": "\"secret\"" }), "{again}");
    run.interrupt().ok();
}

#[test]
fn identity_environment_and_arguments_are_the_module_s_own() {
    let home = Home::new();
    let guest = Module::guest("whoami")
        .env("TEXT", "a b")
        .env("NUMBER", 7)
        .env("FLAG", true)
        .wasm("args", json!(["one", "-two"]));
    let run = Run::of(&home, &fed(guest, "whoami").write(&home));
    let mut telemetry = run.telemetry();
    run.send(&json!([{ "body": null }]));
    let answer = body(&telemetry.next("whoami"));
    let generation = run.get("/devices/d1/modules/whoami")["generationId"].clone();
    let expected = json!({
        "device": "d1",
        "module": "whoami",
        "hub": "localhost",
        "generation": generation,
        "environment": { "TEXT": "a b", "NUMBER": "7", "FLAG": "true" },
        "arguments": ["whoami", "one", "-two"],
    });
    assert_eq!(answer, expected);
    run.interrupt().ok();
}

#[test]
fn a_later_start_order_waits_until_the_earlier_one_is_ready() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(
            Module::guest("ready-late")
                .env("READY_AFTER_MS", "700")
                .set("startupOrder", 1),
        )
        .module(Module::guest("echo").set("startupOrder", 2))
        .module(
            Module::guest("say")
                .set("status", "stopped")
                .set("startupOrder", 0),
        )
        .write(&home);
    let run = Run::of(&home, &manifest);
    assert_eq!(run.module("say")["status"], "stopped");
    let ended = run.interrupt().ok();
    let lines: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ready: Vec<_> = lines
        .iter()
        .filter(|line| line["text"] == "ready")
        .map(|line| line["module"].as_str().unwrap())
        .collect();
    assert_eq!(ready, ["ready-late", "echo"]);
}

#[test]
fn an_init_that_fails_is_told_in_the_module_s_own_words() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("init-fails").env("REASON", "no sensor on this board"))
        .module(Module::guest("echo"))
        .write(&home);
    let run = wasm_edge_tests::run::RunOptions::new(&manifest).start(&home);
    let module = run.wait_module("init-fails", |module| module["status"] == "backoff");
    let description = module["statusDescription"].as_str().unwrap();
    assert!(
        description.contains("no sensor on this board"),
        "{description}"
    );
    run.wait_module("echo", |module| module["ready"] == true);
    run.interrupt().ok();
}

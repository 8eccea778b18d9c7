//! A module that tries to make the host hold 1 GiB for it, in every way that there is, one after the other.
//!
//! After each the host's own memory has grown by less than [`GROWTH_MAX_BYTES`], the module saw a named error or ended
//! with a named reason, and another module has answered every message in the meantime.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::{Run, Telemetry, body};
use wasm_edge_tests::wait;

/// How much the host may grow by what a module does, beside the module's own memory, which is within it too.
const GROWTH_MAX_BYTES: u64 = 16 << 20;

const GIB: u64 = 1 << 30;

/// Attempts after which the module goes on and says which errors it saw.
const WITH_ERRORS: &[(&str, u64, &[&str])] = &[
    ("bodies", GIB, &["over-limit"]),
    ("properties", GIB, &["over-limit"]),
    // Enough to see whether they are counted; a gigabyte takes minutes to make.
    ("tiny_properties", GIB / 16, &["over-limit"]),
    ("sent", GIB, &["would-block"]),
    ("twin", GIB, &["limit"]),
    ("timers", GIB, &["too-many", "invalid"]),
    // A C library takes a failed write to a stream for an input/output error, whatever was said of it.
    ("files", GIB, &["quota exceeded", "uncategorized error"]),
    ("empty_files", GIB, &["quota exceeded"]),
    ("open_files", GIB, &["out of memory"]),
    ("lists", GIB, &["out of memory"]),
    ("methods", GIB, &["invalid"]),
    ("keys", GIB, &["input is too large"]),
];

/// Attempts that cost nothing and are not refused: what is too much is cut, or counted and dropped.
const WITHOUT_ERRORS: &[&str] = &["line", "log"];

/// Attempts that end the module, with the reason that is shown.
const ENDING: &[(&str, &str)] = &[
    ("handles", "host limit: the module holds too many handles"),
    ("pollables", "host limit: the module holds too many handles"),
];

/// Sends messages to `echo` all the time, and counts them.
struct Feeding {
    stop: AtomicBool,
    sent: AtomicU64,
}

fn deployment(home: &Home) -> std::path::PathBuf {
    // A gigabyte takes its time, in a build without optimisation above all.
    let hoard = || Module::guest("hoard").wasm("callDeadlineMs", 600_000);
    let never = |module: Module| module.set("restartPolicy", "never");
    let mut deployment = Deployment::new()
        .module(Module::guest("feed"))
        .module(Module::guest("feed").named("hand"))
        .module(Module::guest("echo"))
        .module(hoard())
        // Its messages are never taken.
        .module(Module::guest("echo").named("away").set("status", "stopped"))
        .pass("feed/out", "echo/in")
        .pass("hand/out", "hoard/in")
        .pass("hoard/waiting", "away/in")
        .route("echoUp", "FROM /messages/modules/echo/* INTO $upstream")
        .route(
            "hoardUp",
            "FROM /messages/modules/hoard/outputs/out INTO $upstream",
        );
    for (kind, _) in ENDING {
        deployment = deployment
            .module(never(hoard().named(kind)))
            .pass(&format!("hand/{kind}"), &format!("{kind}/in"));
    }
    let keep = never(hoard().named("keep")).wasm("hostMemoryLimitBytes", 655_360);
    deployment = deployment.module(keep).pass("hand/keep", "keep/in");
    deployment.write(home)
}

fn order(output: &str, kind: &str, total_bytes: u64) -> Value {
    let total_bytes = total_bytes.to_string();
    json!([{ "output": output, "properties": { "kind": kind, "total_bytes": total_bytes } }])
}

fn send(run: &Run, orders: &Value) {
    let answer = run.call("hand", "send", orders);
    assert_eq!(answer.0, 200, "{answer:?}");
}

/// Lets the module try, and answers what it saw.
fn hoard(run: &Run, telemetry: &mut Telemetry, kind: &str, total_bytes: u64) -> Value {
    send(run, &order("out", kind, total_bytes));
    body(&telemetry.find(|message| message["module"] == "hoard" && body(message)["kind"] == kind))
}

/// One message after the other, each sent when the last was answered.
fn feed(run: &Run, feeding: &Feeding, answers: &mut Telemetry) {
    while !feeding.stop.load(Ordering::Relaxed) {
        let n = feeding.sent.fetch_add(1, Ordering::Relaxed);
        run.send(&json!([{ "output": "out", "body": n }]));
        assert_eq!(
            body(&answers.next("echo")),
            n,
            "each is answered, once and in order"
        );
        // The pace of the messages; nothing is waited for.
        thread::sleep(wait::LOOK_EVERY);
    }
}

#[test]
fn a_hoarding_module_neither_fills_the_host_nor_slows_another() {
    let home = Home::new();
    let manifest = deployment(&home);
    // Compiled once: the compiler's memory is not what is looked at here.
    drop(Run::of(&home, &manifest));
    let run = Run::of(&home, &manifest);
    assert_eq!(run.components_compiled(), 0);
    let mut telemetry = run.telemetry();
    let mut answers = run.telemetry();

    let feeding = Feeding {
        stop: AtomicBool::new(false),
        sent: AtomicU64::new(0),
    };
    thread::scope(|scope| {
        let feeder = scope.spawn(|| feed(&run, &feeding, &mut answers));
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            try_everything(&run, &mut telemetry);
        }));
        feeding.stop.store(true, Ordering::Relaxed);
        feeder.join().expect("the other module answers");
        if let Err(panic) = tried {
            std::panic::resume_unwind(panic);
        }
    });
    let sent = feeding.sent.load(Ordering::Relaxed);
    assert!(sent > 100, "{sent}");
    assert_eq!(run.module("echo")["restartCount"], 0);
}

fn try_everything(run: &Run, telemetry: &mut Telemetry) {
    // Each kind once or not at all, so that what the code itself needs is there.
    for (kind, _, _) in WITH_ERRORS {
        hoard(run, telemetry, kind, 256 << 10);
    }
    let before = run.process.peak_bytes();
    let check = |kind: &str| {
        let grown = run.process.peak_bytes().saturating_sub(before);
        assert!(
            grown < GROWTH_MAX_BYTES,
            "`{kind}` cost the host {grown} bytes"
        );
    };
    for (kind, total_bytes, errors) in WITH_ERRORS {
        let seen = hoard(run, telemetry, kind, *total_bytes);
        check(kind);
        let named: Vec<_> = seen["errors"]
            .as_object()
            .expect("errors by name")
            .keys()
            .collect();
        assert!(!named.is_empty(), "`{kind}` met no limit: {seen}");
        assert!(
            named.iter().all(|name| errors.contains(&name.as_str())),
            "`{kind}` met errors that nobody expects: {seen}"
        );
    }
    for kind in WITHOUT_ERRORS {
        let seen = hoard(run, telemetry, kind, GIB);
        check(kind);
        assert_eq!(seen["attempts"], seen["succeeded"], "{seen}");
    }
    for (kind, reason) in ENDING {
        send(run, &order(kind, kind, GIB));
        ended(run, kind, reason);
        check(kind);
    }
    // Bodies that arrive and are held, until there are too many.
    let held = json!([{ "output": "keep", "properties": { "kind": "keep" }, "body": ".".repeat(100_000) }]);
    for _ in 0..5 {
        send(run, &held);
    }
    ended(run, "keep", "host limit: kept ");
    check("keep");
}

/// Waits for the end of a module, which is to have this reason.
fn ended(run: &Run, name: &str, reason: &str) {
    let module = run.wait_module(name, |module| module["status"] == "failed");
    let said = module["statusDescription"].as_str().unwrap_or_default();
    assert!(
        said.starts_with(reason),
        "`{name}` ended with another reason: {module}"
    );
    run.wait_log(name, said);
}

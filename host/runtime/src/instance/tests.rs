//! Instances of small components in text form, on a device that only listens.

use std::time::Duration;

use cap_std::ambient_authority;
use tempfile::TempDir;
use tokio::time::Instant;
use wasmtime::component::Component;

use super::*;
use crate::engine::Engine;
use crate::fake::FakeHost;

const MIB: u64 = 1 << 20;

/// A component whose `init` is this core module's; its memory is there for an answer.
fn with_init(module: &str) -> String {
    format!(
        r#"(component
            (core module $m (memory (export "memory") 1)
                (data (i32.const 64) "grown: 00")
                {module})
            (core instance $i (instantiate $m))
            (func $init (result (result (error string)))
                (canon lift (core func $i "init") (memory $i "memory")))
            (instance $e (export "init" (func $init)))
            (export "wasm-edge:module/init@0.1.0" (instance $e)))"#
    )
}

/// `init` that fails with `grown: NN` after it has called `$grow` 99 times at most, until that answers -1.
fn counting(grow: &str) -> String {
    with_init(&format!(
        r#"{grow}
        (func (export "init") (result i32)
            (local $n i32)
            (block $end (loop $more
                (br_if $end (i32.eq (call $grow) (i32.const -1)))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $n) (i32.const 99)))))
            (i32.store8 (i32.const 71) (i32.add (i32.const 48) (i32.div_u (local.get $n) (i32.const 10))))
            (i32.store8 (i32.const 72) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
            (i32.store8 (i32.const 0) (i32.const 1))
            (i32.store (i32.const 4) (i32.const 64))
            (i32.store (i32.const 8) (i32.const 9))
            (i32.const 0))"#
    ))
}

async fn run_with(text: &str, limits: Limits) -> (Exit, Arc<FakeHost>, Arc<Gauges>) {
    let engine = Engine::new().expect("it runs on this machine");
    let bytes = wat::parse_str(text).unwrap_or_else(|err| panic!("{err}"));
    let component =
        Component::new(&engine.inner().wasmtime, bytes).unwrap_or_else(|err| panic!("{err:#}"));
    let code = ModuleCode::new(&engine, &component, None).unwrap_or_else(|err| panic!("{err}"));
    let folder = TempDir::new().expect("a temporary folder");
    let host = FakeHost::new();
    let gauges = Arc::new(Gauges::default());
    let (control, receiver) = mpsc::channel(1);
    // It is to stop as soon as it has started.
    control
        .send(Control::Shutdown(Duration::ZERO))
        .await
        .expect("taken");
    let exit = run(InstanceConfig {
        code,
        host: Arc::clone(&host) as Arc<dyn ModuleHost>,
        limits,
        env: Vec::new(),
        args: Vec::new(),
        grants: Vec::new(),
        data: Dir::open_ambient_dir(folder.path(), ambient_authority()).expect("opened"),
        own_folder: PathBuf::from("/nowhere"),
        control: receiver,
        methods: None,
        messages: None,
        gauges: Arc::clone(&gauges),
        random_seed: None,
    })
    .await;
    (exit, host, gauges)
}

async fn reason(text: &str, limits: Limits) -> ExitReason {
    run_with(text, limits).await.0.reason
}

fn init_failed(text: &str) -> ExitReason {
    ExitReason::InitFailed {
        text: text.to_owned(),
    }
}

fn trapped(cause: &str) -> ExitReason {
    ExitReason::Trapped {
        cause: cause.to_owned(),
    }
}

#[tokio::test]
async fn an_instance_starts_is_ready_and_stops() {
    let text = with_init(r#"(func (export "init") (result i32) (i32.const 0))"#);
    let (exit, host, gauges) = run_with(&text, Limits::default()).await;
    assert_eq!(exit, Exit::of(ExitReason::Stopped));
    assert!(host.was_ready());
    assert_eq!(gauges.memory_bytes(), 0);
}

#[tokio::test]
async fn memory_grows_to_the_limit_and_no_further() {
    // 16 pages are a MiB; one page is there from the start.
    let text = counting("(func $grow (result i32) (memory.grow (i32.const 16)))");
    assert_eq!(
        reason(&text, Limits::default()).await,
        init_failed("grown: 15")
    );
    let limits = Limits {
        memory_limit_bytes: 4 * MIB + 65_536,
        ..Limits::default()
    };
    assert_eq!(reason(&text, limits).await, init_failed("grown: 04"));
}

#[tokio::test]
async fn tables_count_as_memory() {
    // 64 Ki elements are counted as a MiB.
    let text = counting(
        "(table $t 0 funcref)
         (func $grow (result i32) (table.grow $t (ref.null func) (i32.const 65536)))",
    );
    assert_eq!(
        reason(&text, Limits::default()).await,
        init_failed("grown: 15")
    );
}

#[tokio::test]
async fn all_memories_of_a_module_count_together() {
    let text = include_str!("../../../../tests/guests/wat/many-memories.wat");
    // 64 memories of a page make 4 MiB at the start.
    assert_eq!(
        reason(text, Limits::default()).await,
        init_failed("grown: 12")
    );
}

#[tokio::test]
async fn what_needs_more_than_its_limit_at_the_start_does_not_start() {
    let text = with_init(r#"(func (export "init") (result i32) (i32.const 0))"#).replace(
        r#"(memory (export "memory") 1)"#,
        r#"(memory (export "memory") 300)"#,
    );
    let expected = ExitReason::OutOfMemory {
        limit_bytes: 16 * MIB,
    };
    assert_eq!(reason(&text, Limits::default()).await, expected);
}

#[tokio::test]
async fn a_trap_after_memory_was_refused_is_out_of_memory() {
    let text = with_init(
        r#"(func (export "init") (result i32)
            (drop (memory.grow (i32.const 4096)))
            unreachable)"#,
    );
    let expected = ExitReason::OutOfMemory {
        limit_bytes: 16 * MIB,
    };
    assert_eq!(reason(&text, Limits::default()).await, expected);
}

#[tokio::test]
async fn endless_recursion_ends_the_instance_and_not_the_host() {
    let text = with_init(
        r#"(func $deeper (param i32) (result i32)
            (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
        (func (export "init") (result i32) (call $deeper (i32.const 0)))"#,
    );
    let expected = trapped("wasm trap: call stack exhausted");
    assert_eq!(reason(&text, Limits::default()).await, expected);
}

#[tokio::test]
async fn traps_are_named_and_show_where() {
    for (body, expected) in [
        (
            "unreachable",
            "wasm trap: wasm `unreachable` instruction executed",
        ),
        (
            "(i32.div_u (i32.const 1) (i32.const 0))",
            "wasm trap: integer divide by zero",
        ),
        (
            "(i32.load (i32.const 1000000))",
            "wasm trap: out of bounds memory access",
        ),
    ] {
        let text = with_init(&format!(
            r#"(func $faulty (result i32) {body})
            (func $init (export "init") (result i32) (call $faulty))"#
        ));
        let (exit, _, _) = run_with(&text, Limits::default()).await;
        assert_eq!(exit.reason, trapped(expected));
        assert_eq!(exit.backtrace, ["faulty", "init"]);
    }
}

#[tokio::test]
async fn a_looping_guest_is_ended_at_its_deadline_and_lets_others_run() {
    let text = with_init(r#"(func (export "init") (result i32) (loop $l (br $l)) (i32.const 0))"#);
    let limits = Limits {
        call_deadline: Duration::from_millis(50),
        ..Limits::default()
    };
    // One thread runs both: the other task has its turns all the same.
    let turns = Arc::new(AtomicU64::new(0));
    let other = tokio::spawn({
        let turns = Arc::clone(&turns);
        async move {
            loop {
                turns.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    });
    let reason = reason(&text, limits).await;
    other.abort();
    assert_eq!(reason, ExitReason::DeadlineExceeded { limit_ms: 50 });
    assert!(turns.load(Ordering::Relaxed) >= 5, "{turns:?}");
}

#[tokio::test(start_paused = true)]
async fn a_share_of_the_processor_is_kept_by_pauses() {
    let text = with_init(r#"(func (export "init") (result i32) (loop $l (br $l)) (i32.const 0))"#);
    let mut paused = Vec::new();
    for share in [None, Some(1000), Some(500), Some(100)] {
        let limits = Limits {
            call_deadline: Duration::from_millis(50),
            cpu_limit_millis: share,
            ..Limits::default()
        };
        // The paused clock goes on only while everybody sleeps, so it shows the pauses alone.
        let begun = Instant::now();
        let reason = reason(&text, limits).await;
        assert_eq!(reason, ExitReason::DeadlineExceeded { limit_ms: 50 });
        paused.push(begun.elapsed().as_millis());
    }
    // Five ticks of 10 ms: none, none, one for one, nine for one.
    assert_eq!(paused, [0, 0, 50, 450]);
}

#[tokio::test(start_paused = true)]
async fn waits_in_the_host_are_not_the_guest_s_time() {
    // Sleeps for minutes with a deadline of 50 ms.
    let text = r#"(component
        (import "wasi:io/poll@0.2.0" (instance $poll
            (export "pollable" (type $pollable (sub resource)))
            (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $pollable (type $pollable))
            (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
        (core func $subscribe (canon lower (func $clock "subscribe-duration")))
        (core func $block (canon lower (func $poll "[method]pollable.block")))
        (core module $m
            (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
            (import "host" "block" (func $block (param i32)))
            (func (export "g") (param i32)
                (call $block (call $subscribe (i64.const 660000000000)))))
        (core instance $i (instantiate $m
            (with "host" (instance
                (export "subscribe" (func $subscribe))
                (export "block" (func $block))))))
        (func $grace (param "grace-ms" u32) (canon lift (core func $i "g")))
        (instance $e (export "shutdown" (func $grace)))
        (export "wasm-edge:module/shutdown@0.1.0" (instance $e)))"#;
    let limits = Limits {
        call_deadline: Duration::from_millis(50),
        ..Limits::default()
    };
    let almost = text.replace("660000000000", "659000000000");
    let begun = Instant::now();
    assert_eq!(reason(&almost, limits.clone()).await, ExitReason::Stopped);
    assert!(begun.elapsed().as_secs() >= 659);
    // They have a limit of their own.
    let expected = ExitReason::WaitedTooLong { limit_ms: 660_000 };
    assert_eq!(
        reason(&text.replace("660000000000", "661000000000"), limits).await,
        expected
    );
}

#[tokio::test]
async fn an_allowance_in_the_host_that_is_used_up_is_named() {
    // Asks for its events' pollable until the host holds too many.
    let text = r#"(component
        (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $pollable (type $pollable))
            (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
        (core func $subscribe (canon lower (func $clock "subscribe-duration")))
        (core module $m
            (import "clock" "subscribe" (func $subscribe (param i64) (result i32)))
            (func (export "g") (param i32)
                (loop $l (drop (call $subscribe (i64.const 1))) (br $l))))
        (core instance $i (instantiate $m
            (with "clock" (instance (export "subscribe" (func $subscribe))))))
        (func $grace (param "grace-ms" u32) (canon lift (core func $i "g")))
        (instance $e (export "shutdown" (func $grace)))
        (export "wasm-edge:module/shutdown@0.1.0" (instance $e)))"#;
    match reason(text, Limits::default()).await {
        ExitReason::HostLimit { cause } => {
            assert_eq!(cause, "the module holds too many handles");
        }
        other => panic!("{other:?}"),
    }
}

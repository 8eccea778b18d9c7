//! How a run ends: in order at the first signal, at once at the second, by itself, and when nobody reads.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use rustix::process::Signal;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::process::Process;
use wasm_edge_tests::run::{Run, RunOptions};
use wasm_edge_tests::wait;

/// Three modules that start in the order `first`, `second`, `third`.
fn three(home: &Home) -> std::path::PathBuf {
    let module =
        |name: &str, order: u64| Module::guest("echo").named(name).set("startupOrder", order);
    Deployment::new()
        .module(module("second", 2))
        .module(module("third", 3))
        .module(module("first", 1))
        .write(home)
}

/// The modules whose host lines have this text, in the order of the lines.
fn said(stdout: &str, text: &str) -> Vec<String> {
    let lines = stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"));
    lines
        .filter(|line: &serde_json::Value| line["stream"] == "host" && line["text"] == text)
        .map(|line| line["module"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn ctrl_c_stops_modules_in_reverse_start_order_and_removes_the_socket() {
    let home = Home::new();
    let run = Run::of(&home, &three(&home));
    let socket = home.in_data("control.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let ended = run.interrupt().ok();
    assert_eq!(said(&ended.stdout, "ready"), ["first", "second", "third"]);
    assert_eq!(said(&ended.stdout, "stopped"), ["third", "second", "first"]);
    assert!(!socket.exists());
}

#[test]
fn sigterm_ends_in_order_too() {
    let home = Home::new();
    let mut run = Run::of(&home, &three(&home));
    run.process.signal(Signal::TERM);
    let ended = run.process.wait().ok();
    assert_eq!(said(&ended.stdout, "stopped").len(), 3);
}

#[test]
fn a_module_that_does_not_stop_is_ended_after_its_grace() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("shutdown-slow").env("SPIN", "1"))
        .module(Module::guest("echo"))
        .write(&home);
    let ended = Run::of(&home, &manifest).interrupt().ok();
    let mut stopped = said(&ended.stdout, "stopped");
    stopped.sort();
    assert_eq!(stopped, ["echo", "shutdown-slow"]);
}

#[test]
fn a_second_signal_ends_at_once() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("shutdown-slow").env("SPIN", "1"))
        .module(Module::guest("echo"))
        .write(&home);
    let mut run = Run::of(&home, &manifest);
    run.process.signal(Signal::INT);
    // The quick module has stopped: the first signal has arrived, and the slow one is still at it.
    run.wait_log("echo", "stopped");
    run.process.signal(Signal::INT);
    let ended = run.process.wait().ended_with(130);
    assert_eq!(said(&ended.stdout, "stopped"), ["echo"]);
}

#[test]
fn a_run_of_limited_time_ends_by_itself() {
    let home = Home::new();
    let ended = RunOptions::new(&three(&home))
        .args(["--for", "1s"])
        .to_end(&home)
        .ok();
    assert_eq!(said(&ended.stdout, "ready").len(), 3);
    assert_eq!(said(&ended.stdout, "stopped").len(), 3);
}

#[test]
fn a_reader_that_goes_away_ends_the_run_quietly() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(
            Module::of("heartbeat", &wasm_edge_tests::paths::example("heartbeat"))
                .desired(serde_json::json!({"interval_ms": 20})),
        )
        .upstream("heartbeat")
        .write(&home);
    let script = r#""$0" run "$1" --data-dir data --device d1 | head -n 3"#;
    let binary = wasm_edge_tests::paths::binary();
    let mut command = home.program("sh", ["-c", script]);
    command.arg(&binary).arg(&manifest);
    let ended = Process::start(command).wait().ok();
    assert_eq!(ended.stdout.lines().count(), 3);
    assert!(!ended.stderr.contains("error"), "{}", ended.stderr);
}

#[test]
fn an_output_that_nobody_reads_stops_no_module() {
    let home = Home::new();
    let manifest = Deployment::new()
        .module(
            Module::of("heartbeat", &wasm_edge_tests::paths::example("heartbeat"))
                .desired(serde_json::json!({"interval_ms": 1})),
        )
        .upstream("heartbeat")
        .write(&home);
    let options = RunOptions::new(&manifest);
    let mut command = home.command(options.command_line(&home));
    // A pipe that is open and never read: it is full after 64 KiB.
    let (_reader, writer) = std::io::pipe().unwrap();
    command.stdout(Stdio::from(writer));
    let run = options.start_command(&home, command);
    run.wait_running();
    let taken = |run: &Run<'_>| {
        run.inspect("heartbeat")["sent"]["counters"]["taken"]
            .as_u64()
            .unwrap()
    };
    wait::until_so("a thousand beats", || taken(&run) > 1000);
    run.interrupt().ok();
}

#[test]
fn a_second_process_on_the_same_folder_is_refused_and_told_who_holds_it() {
    let home = Home::new();
    let manifest = three(&home);
    let run = Run::of(&home, &manifest);
    let pid = run.process.id().to_string();
    RunOptions::new(&manifest)
        .to_end(&home)
        .ended_with(1)
        .says(&["cannot use the data folder", &pid, "--data-dir"]);
    assert_eq!(run.modules().len(), 3);
    run.interrupt().ok();
}

#[test]
fn a_socket_left_by_a_killed_process_is_replaced() {
    let home = Home::new();
    let manifest = three(&home);
    Run::of(&home, &manifest).kill();
    assert!(home.in_data("control.sock").exists());
    let run = Run::of(&home, &manifest);
    assert_eq!(run.modules().len(), 3);
    run.interrupt().ok();
}

#[test]
fn signals_are_heard_while_a_file_is_read_that_never_ends() {
    let home = Home::new();
    let fifo = home.path().join("fifo.json");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let options = RunOptions::new(&fifo);
    let mut process = Process::start(home.command(options.command_line(&home)));
    // Opened for writing once the run reads it, and kept open without a byte.
    let _writer = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    process.signal(Signal::INT);
    process.signal(Signal::TERM);
    process.wait().ended_with(130);
}

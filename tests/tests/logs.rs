//! The modules' logs: bounded on disk, there after any end, filtered by the device, followed, and harmless to read.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::{Value, json};
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::http;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::run::{DEVICE, Run, RunOptions};
use wasm_edge_tests::wait;

const KIB: u64 = 1024;

/// More lines than any test logs.
const MANY_PER_SECOND: u32 = 100_000;

fn chatter() -> Module {
    Module::guest("chatter").wasm("logLinesPerSecond", MANY_PER_SECOND)
}

fn manifest(home: &Home, module: Module) -> PathBuf {
    Deployment::new().module(module).write(home)
}

/// Lets the module log; done when it has.
fn log(run: &Run, order: &Value) {
    let answer = run.call("chatter", "log", order);
    assert_eq!(answer.0, 200, "{answer:?}");
}

/// What a command printed, one JSON value a line.
fn lines(outcome: &Outcome) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).expect("each line is JSON");
    outcome.stdout.lines().map(parse).collect()
}

/// The lines that `logs` shows with these arguments.
fn logs(run: &Run, args: &[&str]) -> Vec<Value> {
    let args = [&["logs", "--output", "json"], args].concat();
    lines(&run.verb(&args).ok())
}

/// The lines that `logs` shows of a data folder that nobody holds.
fn logs_from_files(home: &Home, args: &[&str]) -> Outcome {
    let data = home.data();
    let data = data.to_str().expect("UTF-8");
    home.verb(&[&["logs", "--data-dir", data, "--output", "json"], args].concat())
}

fn texts(lines: &[Value]) -> Vec<&str> {
    let lines = lines.iter().filter(|line| line["stream"] != "host");
    lines.filter_map(|line| line["text"].as_str()).collect()
}

fn folder(home: &Home) -> PathBuf {
    home.in_data(&format!("devices/{DEVICE}/logs/chatter"))
}

/// The size of the module's log on disk.
fn size(home: &Home) -> u64 {
    let Ok(files) = fs::read_dir(folder(home)) else {
        return 0;
    };
    // A file that gives way is gone between two looks.
    let size = |file: fs::DirEntry| file.metadata().map_or(0, |metadata| metadata.len());
    files.flatten().map(size).sum()
}

fn is_on_disk(home: &Home, text: &str) -> bool {
    let files = fs::read_dir(folder(home)).into_iter().flatten().flatten();
    files
        .filter_map(|file| fs::read_to_string(file.path()).ok())
        .any(|content| content.contains(text))
}

#[test]
fn a_flood_is_bounded_on_disk_and_the_newest_lines_are_kept() {
    let home = Home::new();
    let manifest = manifest(&home, chatter().wasm("logSizeMaxBytes", 64 * KIB));
    let run = Run::of(&home, &manifest);
    for round in 0..5 {
        log(
            &run,
            &json!({ "lines": 1000, "text": format!("of round {round}, {}", "x".repeat(80)) }),
        );
        assert!(size(&home) <= 64 * KIB, "{}", size(&home));
    }
    let kept = logs(&run, &["chatter"]);
    let newest = texts(&kept).pop().expect("lines");
    assert!(newest.starts_with("999 of round 4"), "{newest}");
    run.interrupt().ok();
    let written = size(&home);
    assert!((32 * KIB..=64 * KIB).contains(&written), "{written}");
    let outcome = logs_from_files(&home, &["--grep", "999 of round 4", "--tail", "3"]).ok();
    assert_eq!(texts(&lines(&outcome)), [newest]);
}

#[test]
fn lines_beyond_the_rate_are_counted_and_none_is_lost_without_a_count() {
    let home = Home::new();
    let module = Module::guest("chatter").wasm("logLinesPerSecond", 20);
    let run = Run::of(&home, &manifest(&home, module));
    log(&run, &json!({ "lines": 500, "text": "line" }));
    let dropped = |line: &Value| {
        let text = line["text"].as_str()?;
        let count = text.strip_suffix(" lines were dropped: more than 20 a second")?;
        count.parse::<usize>().ok()
    };
    // The count is told though no line follows.
    wait::until_so("all lines to be there or counted", || {
        let seen = logs(&run, &["chatter"]);
        let counted: usize = seen.iter().filter_map(dropped).sum();
        counted > 0 && texts(&seen).len() + counted == 500
    });
    run.interrupt().ok();
}

#[test]
fn the_history_is_there_after_a_restart_in_order_and_without_a_device() {
    let home = Home::new();
    let manifest = manifest(&home, chatter());
    for round in 0..3 {
        let run = Run::of(&home, &manifest);
        log(
            &run,
            &json!({ "lines": 2, "text": format!("of round {round}") }),
        );
        run.interrupt().ok();
    }
    let expected = [
        "0 of round 0",
        "1 of round 0",
        "0 of round 1",
        "1 of round 1",
        "0 of round 2",
        "1 of round 2",
    ];
    let outcome = logs_from_files(&home, &["chatter"])
        .ok()
        .says(&["its log files are read"]);
    let seen = lines(&outcome);
    assert_eq!(texts(&seen), expected);
    let seqs: Vec<_> = seen
        .iter()
        .map(|line| line["seq"].as_u64().expect("a number"))
        .collect();
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{seqs:?}");
    logs_from_files(&home, &["nobody"])
        .ended_with(4)
        .says(&["no log of the module `nobody`"]);
    logs_from_files(&home, &["--follow"])
        .ended_with(3)
        .says(&["no device is running"]);

    // Half a record at the end, as a power cut leaves it, and a damaged one in the middle.
    let file = folder(&home).join("0.log");
    let mut bytes = fs::read(&file).expect("the log");
    let middle = bytes
        .windows(12)
        .position(|part| part == b"0 of round 1")
        .expect("a line");
    bytes[middle] = b'7';
    bytes.extend_from_slice(b"00000000 99 {\"timeMs\":12,\"te");
    fs::write(&file, bytes).expect("written");
    let seen = lines(&logs_from_files(&home, &[]).ok());
    assert_eq!(texts(&seen).len(), 5);
    assert_eq!(seen.last(), Some(&json!({ "damaged": 1 })));
    let run = Run::of(&home, &manifest);
    log(&run, &json!({ "text": "goes on" }));
    let seen = logs(&run, &["--grep", "round|goes on"]);
    assert_eq!(
        texts(&seen)[3..],
        ["0 of round 2", "1 of round 2", "0 goes on"]
    );
    run.interrupt().ok();
}

#[test]
fn what_was_written_survives_a_kill_and_errors_are_written_at_once() {
    let home = Home::new();
    let manifest = manifest(&home, chatter());
    let run = Run::of(&home, &manifest);
    log(&run, &json!({ "text": "nothing follows this" }));
    // Nothing but time brings it to the disk.
    wait::until_so("the line to be written", || {
        is_on_disk(&home, "nothing follows this")
    });
    log(&run, &json!({ "to": "error", "text": "this is an error" }));
    wait::until_so("the error to be written", || {
        is_on_disk(&home, "this is an error")
    });
    run.kill();
    let run = Run::of(&home, &manifest);
    let seen = logs(&run, &["chatter"]);
    assert_eq!(
        texts(&seen),
        ["0 nothing follows this", "0 this is an error"]
    );
    run.interrupt().ok();
}

#[test]
fn follow_goes_on_when_the_module_ends_and_comes_back() {
    let home = Home::new();
    let manifest = manifest(&home, chatter());
    let run = RunOptions::new(&manifest)
        .args(["--restart-wait", "10ms"])
        .start(&home);
    run.wait_running();
    log(&run, &json!({ "text": "earlier" }));
    let follow = run.verb_process(&["logs", "chatter", "-f", "--output", "json"]);
    let find = |text: &str, from| {
        let is_it = |line: &Value| {
            line["text"]
                .as_str()
                .is_some_and(|said| said.contains(text))
                .then_some(())
        };
        follow.find_json(text, from, is_it).1
    };
    let next = find("0 earlier", 0);
    log(&run, &json!({ "text": "before" }));
    let next = find("0 before", next);
    let path = format!("/twins/{DEVICE}/modules/chatter/methods");
    let end = json!({ "methodName": "log", "payload": { "text": "last words", "end": true } });
    http::ask(&home.data(), "POST", &path, Some(&end));
    let next = find("last words", next);
    let next = find("trapped", next);
    run.wait_module("chatter", |module| {
        module["ready"] == true && module["restartCount"].as_u64() >= Some(1)
    });
    log(&run, &json!({ "text": "after" }));
    find("0 after", next);
    drop(follow);
    run.interrupt().ok();
}

#[test]
fn filters_combine_and_the_tail_is_counted_after_them() {
    let home = Home::new();
    let run = Run::of(&home, &manifest(&home, chatter()));
    for (level, text) in [
        ("info", "fine"),
        ("warn", "hot"),
        ("error", "broken"),
        ("warn", "cold"),
    ] {
        log(&run, &json!({ "to": level, "lines": 3, "text": text }));
    }
    log(&run, &json!({ "to": "stdout", "text": "printed" }));
    let check = |args: &[&str], expected: &[&str]| {
        let seen = logs(&run, args);
        assert_eq!(texts(&seen), expected, "{args:?}");
    };
    check(&["--level", "error"], &["0 broken", "1 broken", "2 broken"]);
    check(
        &["--level", "warn", "--grep", "^[01] (hot|cold)$"],
        &["0 hot", "1 hot", "0 cold", "1 cold"],
    );
    check(
        &["--level", "warn", "--grep", "hot", "--tail", "1"],
        &["2 hot"],
    );
    check(
        &["chatter", "--grep", "kind=order", "--tail", "2"],
        &["1 cold", "2 cold"],
    );
    check(&["--tail", "1"], &["0 printed"]);
    check(&["--tail", "0"], &[]);
    check(&["--until", "1h"], &[]);
    check(&["--since", "2100-01-01T00:00:00Z"], &[]);
    let all = logs(&run, &["--since", "1h"]);
    assert_eq!(texts(&all).len(), 13);
    // Lines may have the same millisecond; what counts is the time that each one shows.
    let middle = all.iter().find(|line| line["text"] == "0 broken");
    let middle = middle
        .and_then(|line| line["time"].as_str())
        .expect("a time");
    let (before, after): (Vec<Value>, Vec<Value>) = all
        .iter()
        .cloned()
        .partition(|line| line["time"].as_str() < Some(middle));
    check(&["--since", middle], &texts(&after));
    check(&["--until", middle], &texts(&before));
    assert!(texts(&before).contains(&"0 fine") && texts(&after).contains(&"0 printed"));

    run.verb(&["logs", "--grep", "("])
        .ended_with(2)
        .says(&["`(` is no pattern"]);
    run.verb(&["logs", "--since", "yesterday"])
        .ended_with(2)
        .says(&["`10m`"]);
    run.verb(&["logs", "--until", "1m", "-f"]).ended_with(2);
    run.verb(&["logs", "nobody"]).ended_with(4);
    for bad in [
        "level=loud",
        "since=1h",
        "grep=(",
        "tail=1000001",
        "until=2026-01-01T00:00:00Z&follow=true",
    ] {
        let answer = http::ask(&home.data(), "GET", &format!("/v1/logs?{bad}"), None);
        assert_eq!(answer.expect("an answer").status, 400, "{bad}");
    }
    run.interrupt().ok();
}

#[test]
fn hostile_text_is_kept_bounded_and_cannot_act() {
    let home = Home::new();
    let manifest = manifest(&home, chatter());
    let run = Run::of(&home, &manifest);
    let controls = "\u{1b}]0;owned\u{7}\u{9b}2J\r\n00000000 5 {}\n\u{202e}\0";
    log(&run, &json!({ "text": controls }));
    log(&run, &json!({ "text": "m", "repeat": 100_000 }));
    log(
        &run,
        &json!({ "to": "stdout", "text": "s", "repeat": 1 << 20 }),
    );
    log(
        &run,
        &json!({ "bytes": [255, 254, 0, 27, 91, 50, 74, 240, 159, 10] }),
    );
    // Text that takes six times its size in JSON.
    log(&run, &json!({ "text": "\u{1}", "repeat": 100_000 }));
    log(&run, &json!({ "text": "still here" }));
    run.interrupt().ok();

    let run = Run::of(&home, &manifest);
    let seen = logs(&run, &["chatter"]);
    let seen = texts(&seen);
    assert_eq!(seen.len(), 6, "{seen:.200?}");
    assert_eq!(seen[0], format!("0 {controls}"));
    for (number, text) in seen.iter().enumerate().take(5).skip(1) {
        assert!(text.len() <= 16 * 1024, "{number}");
        assert!(number == 3 || text.ends_with('…'), "{number}");
    }
    assert!(seen[3].contains('\u{fffd}') && seen[3].contains('\u{1b}'));
    assert_eq!(seen[5], "0 still here");
    let shown = run.verb(&["logs", "chatter"]).ok().stdout;
    assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{9b}', '\0', '\u{202e}', '\r']));
    assert!(
        shown.lines().all(|line| line.contains("chatter")),
        "each line is one of ours"
    );
    run.interrupt().ok();
}

#[test]
fn a_follower_that_does_not_read_is_told_what_it_missed_and_slows_nobody() {
    let home = Home::new();
    let run = Run::of(&home, &manifest(&home, chatter()));
    let mut slow = UnixStream::connect(home.in_data("control.sock")).expect("connected");
    let request =
        "GET /v1/logs?follow=true HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    slow.write_all(request.as_bytes()).expect("asked");
    let mut head = [0; 12];
    slow.read_exact(&mut head).expect("the answer begins");
    assert_eq!(&head, b"HTTP/1.1 200");
    for _ in 0..10 {
        log(&run, &json!({ "lines": 1000, "text": "x".repeat(300) }));
    }
    // It reads again: all that was logged is shown or counted.
    slow.set_read_timeout(Some(wait::LIMIT)).expect("set");
    let (mut rest, mut piece) = (String::new(), [0; 64 * 1024]);
    let (shown, lost) = loop {
        let length = slow.read(&mut piece).expect("there is more");
        assert!(length > 0, "it ended early");
        rest.push_str(std::str::from_utf8(&piece[..length]).expect("ASCII"));
        let shown = rest.matches("\"stream\":\"log\"").count() as u64;
        let lost: u64 = rest.split("{\"lost\":").skip(1).filter_map(count).sum();
        if shown + lost >= 10_000 {
            break (shown, lost);
        }
    };
    assert!(shown > 0 && lost > 0, "{shown} shown, {lost} lost");
    // It goes on as if nothing had been.
    log(&run, &json!({ "text": "the end" }));
    while !rest.contains("the end") {
        let length = slow.read(&mut piece).expect("there is more");
        rest.push_str(std::str::from_utf8(&piece[..length]).expect("ASCII"));
    }
    run.interrupt().ok();
}

/// The number before the end of an object.
fn count(text: &str) -> Option<u64> {
    text.split_once('}')?.0.parse().ok()
}

//! A hub that is away for long: messages wait in flat memory, over a kill -9 too, and all go out when it is back.
//!
//! `make soak` runs this with a million messages: `WASM_EDGE_SOAK_MESSAGES`. What it took is printed.

use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use serde_json::Value;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::numbers::{self, Notes};
use wasm_edge_tests::run::{DEVICE, Run, RunOptions};
use wasm_edge_tests::{soak, wait};

/// By so much the memory may grow from few waiting messages to all of them: less than a hundredth of what they take.
const GROWTH_MAX_KIB: u64 = 3 * 1024;

/// Messages that wait when the memory is looked at first.
const FEW: u64 = 5_000;

/// A number of a file of the process in `/proc`.
fn number(run: &Run<'_>, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/{file}", run.process.id())).expect("it runs");
    let number = text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.split_whitespace().next()?.parse().ok()
    });
    number.unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// How many the device has taken; the module cannot be asked while the hub is away.
fn taken(run: &Run<'_>) -> u64 {
    let module = run.get(&format!("/v1/modules/{DEVICE}/producer"));
    let taken = module["sent"]["counters"]["taken"].as_u64();
    taken.unwrap_or_else(|| panic!("{module}"))
}

/// Waits until so many are sent, however long that takes, as long as it goes on.
fn wait_sent(run: &Run<'_>, messages: u64) {
    let mut last = 0;
    while last < messages {
        let before = last;
        wait::until_so("more to be sent", || {
            last = taken(run);
            last > before
        });
    }
}

#[test]
fn messages_wait_in_flat_memory_while_the_hub_is_away_and_all_go_out_when_it_is_back() {
    let messages: u64 = soak::amount("WASM_EDGE_SOAK_MESSAGES", 50_000);
    let home = Home::new();
    let manifest = Deployment::new()
        .module(Module::guest("producer").env("COUNT", messages.to_string()))
        .upstream("producer")
        .write(&home);
    // One producer that waited for the sync of each of them would be what is measured.
    let config = "[router]\ndurability = \"process\"\nmax_bytes = 1073741824\n";
    let config = home.write("config.toml", config);
    let run = RunOptions::new(&manifest)
        .args([std::ffi::OsStr::new("--config"), config.as_os_str()])
        .start(&home);
    run.wait_running();
    run.verb(&["upstream", "disconnect"]).ok();
    let (begun, written) = (Instant::now(), number(&run, "io", "write_bytes:"));
    wait_sent(&run, FEW);
    // Of the binary's own pages other processes take a share, which comes and goes with them.
    let few_kib = number(&run, "smaps_rollup", "Anonymous:");
    wait_sent(&run, messages);
    let all_kib = number(&run, "smaps_rollup", "Anonymous:");
    let written = number(&run, "io", "write_bytes:") - written;
    println!(
        "{messages} wait after {:.1} s; {} bytes written each; {few_kib} KiB with {FEW}, {all_kib} KiB with all",
        begun.elapsed().as_secs_f64(),
        written / messages,
    );
    assert!(
        all_kib < few_kib + GROWTH_MAX_KIB,
        "{few_kib} KiB with {FEW}, {all_kib} KiB with {messages}"
    );

    let begun = Instant::now();
    run.verb(&["upstream", "connect"]).ok();
    numbers::stop(&run, "producer");
    let arrivals = numbers::arrivals(&run, &["producer"]).remove(0);
    println!(
        "all are at the hub after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    // What was on its way when the hub went away may have come twice.
    let all: BTreeSet<u64> = (1..=messages).collect();
    let notes = Notes {
        begun: all.clone(),
        taken: all,
    };
    assert_eq!(numbers::check(&notes, &arrivals), Ok(()));
    let module: Value = run.module("producer");
    assert_eq!(module["restartCount"], 0, "{module}");
    run.interrupt().ok();
}

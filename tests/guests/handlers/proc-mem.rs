//! Tries to get at the memory of processes by every way that leads through `/proc`, and answers for each what it got.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read as _;

use test_guests::answer;
use wasm_edge_sdk::{Message, Result, json, module};

const PATHS: &[&str] = &[
    "/proc/self/mem",
    "/proc/1/mem",
    "/proc/thread-self/mem",
    "/proc/self/task/1/mem",
    "/proc/self/root/etc/passwd",
    "/proc/self/cwd",
    "/proc/self/fd/0",
    "/proc/self/maps",
    "/proc/self/environ",
    "/proc/../proc/self/mem",
    "/proc/loadavg/../self/mem",
    "proc/self/mem",
    "self/mem",
    "../proc/self/mem",
    "/dev/mem",
    "/data/../proc/self/mem",
];

#[derive(Default)]
struct ProcMem;

#[module]
impl ProcMem {
    fn message(&mut self, _: &Message) -> Result {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for path in PATHS {
            let read = File::open(path).and_then(|mut file| file.read(&mut [0; 16]));
            let written = OpenOptions::new().write(true).open(path);
            let what = match (read, written) {
                (Err(err), Err(_)) => err.kind().to_string(),
                _ => "opened".to_owned(),
            };
            seen.insert(path, what);
        }
        let listed = fs::read_dir("/proc").map_or(0, Iterator::count);
        answer(&json!({ "paths": seen, "listed": listed }))
    }
}

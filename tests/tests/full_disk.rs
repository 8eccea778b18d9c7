//! A disk that is full where messages are kept: nothing more is acknowledged, the process and deliveries go on, and what
//! was acknowledged is not lost; once there is room again everything goes on by itself.

use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::numbers::{self, Notes};
use wasm_edge_tests::run::{DEVICE, Run};
use wasm_edge_tests::{space, wait};

/// Room for some of the files that messages are kept in.
const DISK_KIB: u32 = 14 * 1024;

/// Bytes of a message, and how many of them the disk would hold if they took nothing more.
const BODY_BYTES: usize = 4096;
const FIT: usize = DISK_KIB as usize * 1024 / BODY_BYTES;

/// Said when messages cannot be kept.
const FULL: &str = "cannot write to the message store";

/// A run whose messages wait on a small disk, since the hub is away, until it is full.
fn full(home: &Home) -> Run<'_> {
    let manifest = Deployment::new()
        .module(
            Module::guest("producer")
                .env("NOTES", "1")
                .env("BYTES", BODY_BYTES.to_string()),
        )
        .module(Module::guest("echo"))
        .upstream("producer")
        .write(home);
    // The first run makes the folders; what it takes is gone with the disk that is put over it.
    Run::of(home, &manifest).kill();
    let store = home.in_data(&format!("devices/{DEVICE}/store/messages"));
    std::fs::remove_dir_all(home.in_data(&format!("devices/{DEVICE}/modules/producer"))).ok();
    std::fs::remove_dir_all(home.in_data("hub/telemetry")).expect("the hub keeps messages there");
    space::mount_small_disk(&store, DISK_KIB);
    let run = Run::of(home, &manifest);
    run.verb(&["upstream", "disconnect"]).ok();
    let told = run
        .process
        .stderr
        .find(0, |line| line.contains(FULL).then_some(()));
    told.expect("the run says that it cannot keep messages");
    // What would have to be kept is refused at once, and the process answers.
    run.verb(&["send", "echo", "x"]).ended_with(9);
    run
}

/// What arrived is what was acknowledged.
fn check(home: &Home, run: &Run<'_>) {
    numbers::stop(run, "producer");
    let arrivals = numbers::arrivals(run, &["producer"]).remove(0);
    let notes = Notes::of(home, "producer");
    assert_eq!(numbers::check(&notes, &arrivals), Ok(()));
    let taken = notes.taken.len();
    assert!(taken > FIT / 2, "{taken} are too few for a disk of {FIT}");
}

#[test]
fn a_full_disk_stops_what_is_sent_until_there_is_room_and_nothing_else() {
    if !space::may_mount("a_full_disk_stops_what_is_sent_until_there_is_room_and_nothing_else") {
        return;
    }
    let home = Home::new();
    let run = full(&home);
    let taken = Notes::of(&home, "producer").taken.len();
    assert_eq!(run.module("producer")["status"], "running");
    run.verb(&["upstream", "connect"]).ok();
    // What waits is delivered, which makes room.
    wait::until_so("messages to be taken again", || {
        Notes::of(&home, "producer").taken.len() > taken + FIT / 10
    });
    run.verb(&["send", "echo", "x"]).ok();
    check(&home, &run);
    run.interrupt().ok();
}

#[test]
fn what_was_acknowledged_before_a_disk_was_full_is_there_after_kill_9() {
    if !space::may_mount("what_was_acknowledged_before_a_disk_was_full_is_there_after_kill_9") {
        return;
    }
    let home = Home::new();
    full(&home).kill();
    let run = Run::of(&home, &home.path().join("deployment.json"));
    check(&home, &run);
    run.interrupt().ok();
}

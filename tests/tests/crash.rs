//! Kill -9 at random moments: what was acknowledged arrives, in order, and nothing stands under two ids.
//!
//! `make soak` runs this with hundreds of kills: `WASM_EDGE_SOAK_KILLS`, `WASM_EDGE_SOAK_SEED`.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::numbers::{self, Notes};
use wasm_edge_tests::process::Process;
use wasm_edge_tests::run::RunOptions;
use wasm_edge_tests::soak::{self, Chance};

/// Where numbers end: the module that sends upstream, and the producer that they come from.
const ENDS: [(&str, &str); 4] = [
    ("c", "near"),
    ("far", "far"),
    ("both", "both"),
    ("d", "both"),
];

const PRODUCERS: [&str; 3] = ["near", "far", "both"];

/// The most messages at the hub, and milliseconds, after which a process is killed.
const MESSAGES_MAX: u64 = 600;
const STARTING_MAX_MS: u64 = 500;
const SOON_MAX_MS: u64 = 20;

/// `near` sends through a chain of three handlers that forward, `far` upstream at a priority of its own, `both`
/// upstream and to a handler.
fn chain() -> Deployment {
    let echo = |name: &str| Module::guest("echo").named(name);
    let producer = |name: &str| Module::guest("producer").named(name).env("NOTES", "1");
    let far = "FROM /messages/modules/far/* INTO $upstream";
    let modules = PRODUCERS.map(producer).into_iter();
    let modules = modules.chain(["a", "b", "c", "d"].map(echo));
    modules
        .fold(Deployment::new(), Deployment::module)
        .pass("near/out", "a/in")
        .pass("a/out", "b/in")
        .pass("b/out", "c/in")
        .pass("both/out", "d/in")
        .upstream("c")
        .upstream("d")
        .upstream("both")
        .route("far", json!({ "route": far, "priority": 2 }))
}

/// Starts the deployment and kills it at a random moment: while it starts, or while messages go upstream.
fn kill(home: &Home, options: &RunOptions, chance: &mut Chance) {
    if chance.below(4) == 0 {
        let mut process = Process::start(home.command(options.command_line(home)));
        // No wait for something: the moment is what is tried.
        thread::sleep(Duration::from_millis(chance.below(STARTING_MAX_MS)));
        process.signal(Signal::KILL);
        process.wait();
        return;
    }
    let run = options.start(home);
    let mut left = 1 + chance.below(MESSAGES_MAX);
    run.process.find_json("messages to go upstream", 0, |line| {
        left -= u64::from(line["stream"] == "upstream");
        (left == 0).then_some(())
    });
    thread::sleep(Duration::from_millis(chance.below(SOON_MAX_MS)));
    run.kill();
}

#[test]
fn what_was_acknowledged_is_there_once_and_in_order_after_kill_9_at_any_moment() {
    let kills = soak::amount("WASM_EDGE_SOAK_KILLS", 20);
    let mut chance = Chance::new();
    println!("{kills} kills, seed {}", chance.seed());
    let home = Home::new();
    let options = RunOptions::new(&chain().write(&home));
    for round in 1..=kills {
        println!("kill {round}");
        kill(&home, &options, &mut chance);
    }
    let run = options.start(&home);
    run.wait_running();
    for producer in PRODUCERS {
        numbers::stop(&run, producer);
    }
    let arrivals = numbers::arrivals(&run, &ENDS.map(|(module, _)| module));
    run.interrupt().ok();
    for ((module, producer), arrivals) in ENDS.iter().zip(arrivals) {
        let notes = Notes::of(&home, producer);
        println!(
            "{module}: {} acknowledged, {} arrived",
            notes.taken.len(),
            arrivals.len()
        );
        assert_eq!(numbers::check(&notes, &arrivals), Ok(()), "{module}");
    }
}

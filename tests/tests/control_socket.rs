//! The control socket under many connections that say nothing.

use std::os::unix::net::UnixStream;

use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::Run;

#[test]
fn silent_connections_cost_a_bounded_number_of_files_and_harm_nobody_for_long() {
    let home = Home::new();
    let manifest = Deployment::new().module(Module::guest("echo")).write(&home);
    let run = Run::of(&home, &manifest);
    let files = || {
        std::fs::read_dir(format!("/proc/{}/fd", run.process.id()))
            .unwrap()
            .count()
    };
    let before = files();
    let socket = home.in_data("control.sock");
    let silent: Vec<UnixStream> = (0..160)
        .map(|_| UnixStream::connect(&socket).unwrap())
        .collect();
    let grown = files() - before;
    assert!(
        grown <= 128,
        "{grown} files for {} connections",
        silent.len()
    );
    drop(silent);
    assert_eq!(run.modules().len(), 1);
    run.interrupt().ok();
}

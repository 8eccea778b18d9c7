//! The device's configuration: what is said of a wrong one, and what a right one does.

use wasm_edge_tests::deployment::{Deployment, Module};
use wasm_edge_tests::home::Home;
use wasm_edge_tests::run::RunOptions;

fn options(home: &Home, config: &str) -> RunOptions {
    let manifest = Deployment::new().module(Module::guest("echo")).write(home);
    let config = home.write("device.toml", config);
    RunOptions::new(&manifest).args(["--config".into(), config.into_os_string()])
}

#[test]
fn every_fault_of_a_configuration_is_told_and_nothing_is_started() {
    let home = Home::new();
    let config = "[router]\ndurability = \"disk\"\nmax_bytes = 1\nqueue = true\n";
    let outcome = options(&home, config).to_end(&home).ended_with(78);
    for told in [
        "device.toml: line 2, column 14: router.durability: `disk` stands here; expected `none`, `process` or `power`",
        "device.toml: line 3, column 13: router.max_bytes: 1 stands here; expected a whole number from",
        "device.toml: line 4, column 1: router.queue: the key is not known; expected `durability`",
        "has 3 faults",
    ] {
        assert!(outcome.stderr.contains(told), "{told}: {outcome:?}");
    }
    assert!(!home.data().exists(), "nothing was started");
}

#[test]
fn a_configuration_that_is_not_there_is_told() {
    let home = Home::new();
    let manifest = Deployment::new().module(Module::guest("echo")).write(&home);
    let outcome = RunOptions::new(&manifest)
        .args(["--config", "nowhere.toml"])
        .to_end(&home)
        .ended_with(4);
    assert!(outcome.stderr.contains("`nowhere.toml`"), "{outcome:?}");
}

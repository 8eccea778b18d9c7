//! The official Azure SDK for Python, unmodified, against the stand-in for the provisioning service: what the stand-in
//! asks of clients and answers them is what the service's own clients know.

use wasm_edge_tests::home::Home;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::{paths, python};

/// What is checked, with the synchronous and the asynchronous client each.
const CHECKS: [&str; 6] = [
    "an_enrolled_key_is_assigned",
    "a_derived_key_is_assigned",
    "an_assignment_that_takes_its_time_is_waited_for",
    "a_throttled_request_is_repeated",
    "a_registration_without_a_hub_is_told",
    "another_key_is_refused",
];

#[test]
fn the_official_provisioning_client_registers_with_the_stand_in() {
    python::check_namespaces();
    let home = Home::new();
    let outcome: Outcome = home
        .program("unshare", ["--user", "--map-root-user", "--net", "--"])
        .arg(python::interpreter())
        .arg(paths::repository().join("tests/sdk-provisioning/run.py"))
        .arg(env!("CARGO_BIN_EXE_dps_stand_in"))
        .output()
        .expect("`unshare` was started before")
        .into();
    let expected: Vec<String> = CHECKS
        .iter()
        .flat_map(|check| {
            [
                format!("{check} register"),
                format!("{check} register_async"),
            ]
        })
        .collect();
    let held: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(held, expected, "{}", outcome.stderr);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
}

//! Reads any text as a `config.json` of Docker's, and asks it for logins.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use wasm_edge_images::credentials::{Credentials, DockerConfig};

fuzz_target!(|text: &str| {
    let config = match DockerConfig::read(Path::new("config.json"), text) {
        Ok(config) => config,
        Err(err) => return check(&err.to_string()),
    };
    for fault in config.faults() {
        check(&fault.to_string());
    }
    for image in ["a", "a.b/c", "a.b/c/d", "a.b:1/c", "localhost/a"] {
        let reference = image.parse().expect("a reference");
        if let Ok(Credentials::Basic { username, .. }) = config.credentials(&reference) {
            assert!(
                !username.is_empty() && !username.contains('\0'),
                "{username:?}"
            );
        }
    }
});

/// What is told is short, and steers no terminal.
fn check(told: &str) {
    assert!(
        told.len() < 2048 && !told.contains(char::is_control),
        "{told:?}"
    );
}

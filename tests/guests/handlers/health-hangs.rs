//! Never answers a question about its health: it waits for an hour in the host, or with `SPIN` uses its time for ever.

use std::time::Duration;

use test_guests::spin;
use wasm_edge_sdk::{Result, module};

#[derive(Default)]
struct HealthHangs;

#[module]
impl HealthHangs {
    fn health(&mut self) -> Result {
        if std::env::var_os("SPIN").is_some() {
            spin();
        }
        std::thread::sleep(Duration::from_secs(3600));
        Ok(())
    }
}

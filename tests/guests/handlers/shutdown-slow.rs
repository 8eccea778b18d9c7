//! At its shutdown it notes the grace it was given in `/data/shutdown`, and then uses its time for ever where `SPIN` is set.

use std::fs;
use std::time::Duration;

use test_guests::spin;
use wasm_edge_sdk::{Result, module};

#[derive(Default)]
struct ShutdownSlow;

#[module]
impl ShutdownSlow {
    fn shutdown(&mut self, grace: Duration) -> Result {
        fs::write("/data/shutdown", grace.as_millis().to_string())?;
        if std::env::var_os("SPIN").is_some() {
            spin();
        }
        Ok(())
    }
}

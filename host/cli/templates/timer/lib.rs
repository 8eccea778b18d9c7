//! Counts at intervals and sends the count; the interval is a desired property, `reset` a direct method.

use std::time::Duration;

use serde::Deserialize;
use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::timer::{self, Tick};
use wasm_edge_sdk::{Outgoing, Result, Value, json, log, module, twin};

/// The desired properties, with what counts where one is not set.
#[derive(Deserialize)]
#[serde(default)]
struct Settings {
    interval_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { interval_ms: 1_000 }
    }
}

/// The state, which lives as long as the instance.
#[derive(Default)]
struct {{type}} {
    count: u64,
}

#[module]
impl {{type}} {
    /// Called with all desired properties at the start, and again at each change.
    fn desired(&mut self, desired: Settings) -> Result {
        timer::every("count", Duration::from_millis(desired.interval_ms))?;
        twin::report(&json!({ "interval_ms": desired.interval_ms }))?;
        Ok(())
    }

    /// Called at each tick; what it sends goes out when it has answered well.
    fn timer(&mut self, _: Tick) -> Result {
        self.count += 1;
        Outgoing::json(&json!({ "count": self.count }))?.send("counts")?;
        Ok(())
    }

    /// Called by other modules and from the hub.
    fn method(&mut self, name: &str, _payload: Value) -> Response {
        match name {
            "reset" => {
                log::info!("counting anew after {}", self.count);
                self.count = 0;
                Response::ok(&json!({ "count": 0 }))
            }
            name => Response::unknown_method(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use wasm_edge_sdk::testing::Harness;

    use super::*;

    #[test]
    fn it_counts_as_often_as_its_twin_says() {
        let mut module = Harness::<{{type}}>::new().with_desired(json!({ "interval_ms": 500 }));
        let handled = module.advance(Duration::from_secs(1)).expect_ok();
        let counts: Vec<Value> = handled.sent_on("counts").map(|sent| sent.json()).collect();
        assert_eq!(counts, [json!({ "count": 1 }), json!({ "count": 2 })]);
        assert_eq!(module.reported_properties()["interval_ms"], 500);
    }

    #[test]
    fn it_counts_anew_after_a_reset() {
        let mut module = Harness::<{{type}}>::new();
        module.advance(Duration::from_secs(5)).expect_ok();
        module.method("reset", json!({})).expect_ok();
        let handled = module.advance(Duration::from_secs(1)).expect_ok();
        assert_eq!(handled.only_sent().json::<Value>(), json!({ "count": 1 }));
    }
}

//! Runs the timers of its desired properties: `every` and `once` are objects of name and milliseconds, `cancel` is a list of names.
//! Each tick is answered with the timer's name, how often it came and what was missed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use test_guests::answer;
use wasm_edge_sdk::timer::{self, Tick};
use wasm_edge_sdk::{Result, json, module, twin};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Timers {
    every: BTreeMap<String, u64>,
    once: BTreeMap<String, u64>,
    cancel: Vec<String>,
}

#[derive(Default)]
struct TimerCount {
    ticks: BTreeMap<String, u64>,
}

#[module]
impl TimerCount {
    fn desired(&mut self, desired: Timers) -> Result {
        let mut errors = BTreeMap::new();
        for (name, period) in &desired.every {
            if let Err(err) = timer::every(name, Duration::from_millis(*period)) {
                errors.insert(name.clone(), err.to_string());
            }
        }
        for (name, after) in &desired.once {
            if let Err(err) = timer::once(name, Duration::from_millis(*after)) {
                errors.insert(name.clone(), err.to_string());
            }
        }
        for name in &desired.cancel {
            timer::cancel(name);
        }
        twin::report(&json!({ "errors": errors }))?;
        Ok(())
    }

    fn timer(&mut self, tick: Tick) -> Result {
        let count = self.ticks.entry(tick.name.clone()).or_default();
        *count += 1;
        answer(&json!({ "timer": tick.name, "count": count, "missed": tick.missed }))
    }
}

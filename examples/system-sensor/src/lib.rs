//! Reads load, memory and temperature of the machine it runs on and sends them as one JSON message on `readings`, as often and as much as its desired properties say.
//!
//! It sees three files of the host and nothing else: `/proc/loadavg`, `/proc/meminfo` and `/sys/class/thermal/thermal_zone0/temp`, as far as the deployment grants them.
//! What it does it reports: the settings in use, and the files it could not read.

mod readings;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasm_edge_sdk::timer::{self, Tick};
use wasm_edge_sdk::{Outgoing, Result, json, log, module, twin};

use readings::Field;

/// The timer that a reading is taken at.
const TIMER: &str = "reading";

/// The desired properties, with what counts where one is not set.
#[derive(Clone, Deserialize, Serialize)]
#[serde(default)]
struct Settings {
    interval_ms: u64,
    fields: BTreeSet<Field>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval_ms: 5_000,
            fields: BTreeSet::from(Field::ALL),
        }
    }
}

#[derive(Default)]
struct SystemSensor {
    settings: Settings,
    /// What could not be read, so that a missing file is reported and logged once and not at every reading.
    unreadable: BTreeMap<Field, String>,
}

#[module]
impl SystemSensor {
    fn desired(&mut self, desired: Settings) -> Result {
        timer::every(TIMER, Duration::from_millis(desired.interval_ms))?;
        log::info!(interval_ms = desired.interval_ms; "reading {} fields", desired.fields.len());
        // Fields that are no longer wanted leave the report as well.
        self.settings = desired;
        self.unreadable.clear();
        twin::report(&json!({ "settings": self.settings, "unreadable": null }))?;
        Ok(())
    }

    fn timer(&mut self, _: Tick) -> Result {
        let mut values = BTreeMap::new();
        let mut unreadable = BTreeMap::new();
        for field in &self.settings.fields {
            match field.read() {
                Ok(value) => {
                    values.insert(*field, value);
                }
                Err(err) => {
                    unreadable.insert(*field, err);
                }
            }
        }
        self.report_unreadable(unreadable)?;
        Outgoing::json(&values)?.send("readings")?;
        Ok(())
    }
}

impl SystemSensor {
    fn report_unreadable(&mut self, unreadable: BTreeMap<Field, String>) -> Result {
        if unreadable == self.unreadable {
            return Ok(());
        }
        for (field, err) in &unreadable {
            log::warn!("{field:?}: {err}");
        }
        twin::report(&json!({ "unreadable": unreadable }))?;
        self.unreadable = unreadable;
        Ok(())
    }
}

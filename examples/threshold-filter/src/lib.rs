//! Passes on the messages at `input` whose value is above its threshold, to `alerts`; field and threshold are desired properties.
//!
//! The message itself stays in the host: it is read once, and forwarded with one property more.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasm_edge_sdk::timer::{self, Tick};
use wasm_edge_sdk::{Failure, Message, Result, Value, json, log, module, twin};

/// How often the counts are reported, if they changed: a twin is no place for a value per message.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Deserialize, Serialize)]
#[serde(default)]
struct Settings {
    field: String,
    threshold: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            field: "load1".into(),
            threshold: 0.0,
        }
    }
}

#[derive(Clone, Copy, Default, PartialEq, Serialize)]
struct Counts {
    passed: u64,
    held_back: u64,
    rejected: u64,
}

#[derive(Default)]
struct ThresholdFilter {
    settings: Settings,
    counts: Counts,
    reported: Counts,
}

#[module]
impl ThresholdFilter {
    fn init(&mut self) -> Result {
        timer::every("report", REPORT_INTERVAL)?;
        Ok(())
    }

    fn desired(&mut self, desired: Settings) -> Result {
        log::info!(
            "passing on what has `{}` above {}",
            desired.field,
            desired.threshold
        );
        self.settings = desired;
        twin::report(&json!({ "settings": self.settings }))?;
        Ok(())
    }

    fn message(&mut self, message: &Message) -> Result {
        let value = self
            .value(message)
            .inspect_err(|_| self.counts.rejected += 1)?;
        if value <= self.settings.threshold {
            self.counts.held_back += 1;
            return Ok(());
        }
        message
            .forward()
            .set("threshold", self.settings.threshold.to_string())
            .send("alerts")?;
        self.counts.passed += 1;
        Ok(())
    }

    fn timer(&mut self, _: Tick) -> Result {
        self.report_counts()
    }

    fn shutdown(&mut self, _: Duration) -> Result {
        self.report_counts()
    }
}

impl ThresholdFilter {
    fn value(&self, message: &Message) -> Result<f64> {
        let body: Value = message.json()?;
        let field = &self.settings.field;
        body[field]
            .as_f64()
            .ok_or_else(|| Failure::reject(format_args!("no number in `{field}`")))
    }

    fn report_counts(&mut self) -> Result {
        if self.counts != self.reported {
            twin::report(&json!({ "counts": self.counts }))?;
            self.reported = self.counts;
        }
        Ok(())
    }
}

//! Averages of what came to `input` within a window of time: each `window_ms` one message on `averages`, with count, average, least and greatest value of each field.
//!
//! Fields are paths into the JSON of a message, such as `machine.temperature`.
//! The window lasts over a restart, also after kill -9: its numbers are in the module's own folder, at most a second old.

mod window;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use wasm_edge_sdk::timer::{self, Tick};
use wasm_edge_sdk::{
    Failure, Message, Outgoing, Result, Value, data_folder, json, log, module, twin,
};

use window::Window;

/// The timer that ends a window.
const WINDOW: &str = "window";

/// The timer that stores what has changed: not each message, which would wear out a board's flash.
const STORE: &str = "store";
const STORE_INTERVAL: Duration = Duration::from_secs(1);

/// Shortest and longest window.
const WINDOW_MS: std::ops::RangeInclusive<u64> = 10..=24 * 3600 * 1000;

/// Fields that are averaged at once: the window has to fit into memory and into a message.
const FIELDS_MAX: usize = 32;

/// The desired properties, with what counts where one is not set.
#[derive(Clone, Deserialize, Serialize)]
#[serde(default)]
struct Settings {
    window_ms: u64,
    fields: BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let fields = ["machine.temperature", "machine.pressure"];
        Self {
            window_ms: 10_000,
            fields: fields.map(str::to_owned).into(),
        }
    }
}

struct WindowAverage {
    settings: Settings,
    window: Window,
    folder: PathBuf,
    is_changed: bool,
}

impl Default for WindowAverage {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            window: Window::default(),
            folder: data_folder(),
            is_changed: false,
        }
    }
}

#[module]
impl WindowAverage {
    fn init(&mut self) -> Result {
        match Window::load(&self.folder) {
            Ok(Some(window)) => {
                log::info!("goes on with window {}", window.number);
                self.window = window;
            }
            Ok(None) => self.window.began_unix_ms = now_unix_ms(),
            Err(err) => {
                log::error!("the stored window cannot be read, and another begins: {err}");
                self.window.began_unix_ms = now_unix_ms();
            }
        }
        timer::every(STORE, STORE_INTERVAL)?;
        Ok(())
    }

    fn desired(&mut self, desired: Settings) -> Result {
        if !WINDOW_MS.contains(&desired.window_ms) {
            let (min, max) = (WINDOW_MS.start(), WINDOW_MS.end());
            return Err(Failure::reject(format_args!(
                "`window_ms` is {min} to {max}"
            )));
        }
        if desired.fields.len() > FIELDS_MAX {
            return Err(Failure::reject(format_args!(
                "at most {FIELDS_MAX} `fields`"
            )));
        }
        self.settings = desired;
        let fields = &self.settings.fields;
        self.window.fields.retain(|field, _| fields.contains(field));
        self.start_window()?;
        log::info!(
            "averages of {} fields each {} ms",
            fields.len(),
            self.settings.window_ms
        );
        twin::report(&json!({ "settings": self.settings }))?;
        Ok(())
    }

    fn message(&mut self, message: &Message) -> Result {
        let body: Value = message.json()?;
        let mut found = false;
        for field in &self.settings.fields {
            if let Some(value) = number(&body, field) {
                self.window.add(field, value);
                found = true;
            }
        }
        if !found {
            return Err(Failure::reject("none of the fields is a number in it"));
        }
        self.is_changed = true;
        Ok(())
    }

    fn timer(&mut self, tick: Tick) -> Result {
        match tick.name.as_str() {
            STORE => self.store(),
            _ => self.end_window(),
        }
    }

    fn shutdown(&mut self, _: Duration) -> Result {
        self.store()
    }
}

impl WindowAverage {
    /// Sends the averages and begins the next window. Where nothing came, nothing is sent.
    fn end_window(&mut self) -> Result {
        if !self.window.fields.is_empty() {
            let averages =
                json!({ "window": self.window.number, "fields": self.window.averages() });
            let sent = Outgoing::json(&averages)?
                .property("window_ms", self.settings.window_ms.to_string())
                .send("averages");
            if let Err(err) = sent {
                // It is a window longer then, and nothing is lost.
                self.start_window()?;
                return Err(err.into());
            }
        }
        self.window = self.window.next(now_unix_ms());
        self.is_changed = true;
        self.start_window()?;
        self.store()
    }

    /// Starts the timer for what is left of the window, or for a whole one where the clock says nonsense.
    fn start_window(&self) -> Result {
        let whole_ms = self.settings.window_ms;
        let past_ms = now_unix_ms().checked_sub(self.window.began_unix_ms);
        let left_ms = match past_ms {
            Some(past_ms) if past_ms < whole_ms => whole_ms - past_ms,
            _ => whole_ms,
        };
        timer::once(WINDOW, Duration::from_millis(left_ms))?;
        Ok(())
    }

    fn store(&mut self) -> Result {
        if self.is_changed {
            self.window.store(&self.folder)?;
            self.is_changed = false;
        }
        Ok(())
    }
}

/// The number at a path such as `machine.temperature`.
fn number(body: &Value, path: &str) -> Option<f64> {
    let value = path
        .split('.')
        .try_fold(body, |value, name| value.get(name))?;
    value.as_f64()
}

fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_edge_sdk::testing::{Fault, Harness, Outcome};

    const SECOND: Duration = Duration::from_secs(1);

    fn averages() -> Harness<WindowAverage> {
        Harness::new().with_desired(json!({
            "window_ms": 10_000,
            "fields": ["machine.temperature", "humidity"]
        }))
    }

    fn give(averages: &mut Harness<WindowAverage>, temperature: f64) {
        let reading = json!({ "machine": { "temperature": temperature } });
        averages.message(reading).expect_ok();
    }

    #[test]
    fn a_window_ends_with_the_figures_of_each_field() {
        let mut averages = averages();
        give(&mut averages, 20.0);
        give(&mut averages, 23.5);
        let both = json!({ "machine": { "temperature": 21.0 }, "humidity": 25 });
        averages.message(both).expect_ok();
        assert_eq!(averages.advance(5 * SECOND).expect_ok().sent, []);
        let ended = averages.advance(5 * SECOND).expect_ok();
        assert_eq!(ended.only_sent().output, "averages");
        assert_eq!(ended.only_sent().property("window_ms"), Some("10000"));
        assert_eq!(
            ended.only_sent().json::<Value>(),
            json!({ "window": 0, "fields": {
                "humidity": { "count": 1, "average": 25.0, "min": 25.0, "max": 25.0 },
                "machine.temperature": { "count": 3, "average": 21.5, "min": 20.0, "max": 23.5 },
            }})
        );
        // The next one has begun, and is empty.
        assert_eq!(averages.advance(10 * SECOND).expect_ok().sent, []);
        give(&mut averages, 1.0);
        let third: Value = averages.advance(10 * SECOND).only_sent().json();
        assert_eq!(third["window"], 2);
        assert_eq!(third["fields"]["machine.temperature"]["count"], 1);
    }

    #[test]
    fn the_window_survives_a_restart() {
        let mut averages = averages();
        give(&mut averages, 20.0);
        averages.advance(SECOND).expect_ok();
        give(&mut averages, 30.0);
        averages.shutdown(SECOND).expect_ok();
        give(&mut averages, 40.0);
        // Killed before it was stored: this one is lost, as it may be.
        assert!(
            averages
                .restart()
                .expect_ok()
                .logged("goes on with window 0")
        );
        give(&mut averages, 10.0);
        let ended: Value = averages.advance(10 * SECOND).only_sent().json();
        let figures = &ended["fields"]["machine.temperature"];
        assert_eq!(
            *figures,
            json!({ "count": 3, "average": 20.0, "min": 10.0, "max": 30.0 })
        );
    }

    #[test]
    fn a_damaged_file_costs_the_window_and_not_the_module() {
        let mut averages = averages();
        std::fs::write(averages.data_folder().join("window.json"), "{").expect("a folder");
        let started = averages.start().expect_ok();
        assert!(started.logged("cannot be read"));
        give(&mut averages, 1.0);
        assert_eq!(averages.advance(10 * SECOND).expect_ok().sent.len(), 1);
    }

    #[test]
    fn averages_that_find_no_place_come_with_the_next() {
        let mut averages = averages();
        give(&mut averages, 1.0);
        averages.inject(Fault::FullQueue("averages".to_owned()));
        let full = averages.advance(10 * SECOND);
        assert!(matches!(full.outcome, Outcome::Failed(_)));
        averages.clear_faults();
        give(&mut averages, 3.0);
        let ended: Value = averages.advance(10 * SECOND).only_sent().json();
        assert_eq!(ended["fields"]["machine.temperature"]["count"], 2);
    }

    #[test]
    fn what_has_none_of_the_fields_is_put_aside() {
        let mut averages = averages();
        for message in [json!({}), json!({ "machine": { "temperature": "hot" } })] {
            let outcome = averages.message(message).outcome;
            assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
        }
        let outcome = averages.message("no JSON").outcome;
        assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
    }

    #[test]
    fn settings_that_cannot_be_leave_the_old_ones() {
        let mut averages = averages();
        let many: Vec<String> = (0..33).map(|n| n.to_string()).collect();
        for desired in [json!({ "window_ms": 9 }), json!({ "fields": many })] {
            let refused = averages.desired(desired);
            assert!(matches!(refused.outcome, Outcome::Failed(_)));
        }
        give(&mut averages, 1.0);
        assert_eq!(averages.advance(10 * SECOND).expect_ok().sent.len(), 1);
    }
}

//! Asks another module at intervals, by a direct method, whether it is there; after some failures in a row it raises an alarm on `alarms`, and says so there when the module is back.
//!
//! Which module, which method and how often are desired properties; how the module is goes into the reported ones, when it changes.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasm_edge_sdk::methods::Call;
use wasm_edge_sdk::timer::{self, Tick};
use wasm_edge_sdk::{Failure, Outgoing, Result, json, log, module, twin};

/// The timer that the module is asked at.
const TIMER: &str = "ask";

/// How long an answer may take: the least that there is.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// From this status on an answer is a failure.
const FAILURE_STATUS: u32 = 400;

/// The desired properties, with what counts where one is not set.
#[derive(Clone, Deserialize, PartialEq, Serialize)]
#[serde(default)]
struct Settings {
    /// The module that is asked; nobody is where this is empty.
    module: String,
    method: String,
    interval_ms: u64,
    /// So many failures in a row raise the alarm.
    failures_to_alarm: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            module: String::new(),
            method: "status".to_owned(),
            interval_ms: 10_000,
            failures_to_alarm: 3,
        }
    }
}

/// How the module is, as far as one knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It was not asked yet, or has not failed often enough.
    #[default]
    Unknown,
    Well,
    Failing,
}

#[derive(Default)]
struct Watchdog {
    settings: Settings,
    state: State,
    failures: u64,
}

#[module]
impl Watchdog {
    fn desired(&mut self, desired: Settings) -> Result {
        if desired.module.is_empty() {
            timer::cancel(TIMER);
        } else {
            timer::every(TIMER, Duration::from_millis(desired.interval_ms))?;
        }
        if desired.module != self.settings.module {
            self.state = State::Unknown;
            self.failures = 0;
        }
        self.settings = desired;
        twin::report(&json!({ "settings": self.settings, "state": self.state, "cause": null }))?;
        Ok(())
    }

    fn timer(&mut self, tick: Tick) -> Result {
        if tick.missed > 0 {
            log::debug!("{} times not asked: an answer took that long", tick.missed);
        }
        match self.ask() {
            Ok(()) => self.is_well(),
            Err(cause) => self.has_failed(&cause),
        }
    }
}

impl Watchdog {
    /// Calls the method; an error says why the module does not count as well.
    fn ask(&self) -> Result<(), String> {
        let Settings { module, method, .. } = &self.settings;
        let call = Call::module(module, method).response_timeout(RESPONSE_TIMEOUT);
        let response = call.invoke().map_err(|err| err.to_string())?;
        if response.status >= FAILURE_STATUS {
            return Err(format!("`{method}` is answered with {}", response.status));
        }
        Ok(())
    }

    fn is_well(&mut self) -> Result {
        let was = self.state;
        if was == State::Failing {
            self.tell("back", &json!({ "failures": self.failures }))?;
        }
        self.failures = 0;
        if was != State::Well {
            log::info!("`{}` is well", self.settings.module);
            twin::report(&json!({ "state": State::Well, "cause": null }))?;
            self.state = State::Well;
        }
        Ok(())
    }

    fn has_failed(&mut self, cause: &str) -> Result {
        self.failures += 1;
        log::debug!("failure {}: {cause}", self.failures);
        if self.state == State::Failing || self.failures < self.settings.failures_to_alarm {
            return Ok(());
        }
        log::warn!("`{}`: {cause}", self.settings.module);
        // Sent first: where there is no place for it, the next failure tries again.
        self.tell(
            "failing",
            &json!({ "failures": self.failures, "cause": cause }),
        )?;
        twin::report(&json!({ "state": State::Failing, "cause": cause }))?;
        self.state = State::Failing;
        Ok(())
    }

    fn tell(&self, event: &str, details: &wasm_edge_sdk::Value) -> Result<(), Failure> {
        let alarm = json!({ "module": self.settings.module, "event": event, "details": details });
        Outgoing::json(&alarm)?
            .property("event", event)
            .send("alarms")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use wasm_edge_sdk::Value;
    use wasm_edge_sdk::methods::{InvokeError, Response};
    use wasm_edge_sdk::testing::{Fault, Harness, Outcome};

    const SECOND: Duration = Duration::from_secs(1);

    /// A watchdog that asks a `sensor` each second, and the status that it answers with; 0 is none in time.
    fn watchdog() -> (Harness<Watchdog>, Arc<AtomicU32>) {
        let status = Arc::new(AtomicU32::new(200));
        let answer = Arc::clone(&status);
        let harness = Harness::new()
            .with_desired(json!({ "module": "sensor", "interval_ms": 1_000 }))
            .with_module("sensor", move |_, _| match answer.load(Ordering::Relaxed) {
                0 => Err(InvokeError::Timeout),
                status => Ok(Response::new(status, &Value::Null)),
            });
        (harness, status)
    }

    #[test]
    fn a_module_that_answers_is_well_and_that_is_reported_once() {
        let (mut watchdog, _) = watchdog();
        let asked = watchdog.advance(5 * SECOND).expect_ok();
        let methods: Vec<&str> = asked.invoked.iter().map(|it| it.method.as_str()).collect();
        assert_eq!(methods, ["status"; 5]);
        assert_eq!(asked.invoked[0].module.as_deref(), Some("sensor"));
        assert_eq!(asked.reported, [json!({ "state": "well", "cause": null })]);
        assert_eq!(asked.sent, []);
    }

    #[test]
    fn an_alarm_is_raised_after_three_failures_and_ended_when_it_is_back() {
        let (mut watchdog, status) = watchdog();
        watchdog.advance(SECOND).expect_ok();
        status.store(500, Ordering::Relaxed);
        assert_eq!(watchdog.advance(2 * SECOND).expect_ok().sent, []);
        let third = watchdog.advance(SECOND).expect_ok();
        let alarm: Value = third.only_sent().json();
        assert_eq!(third.only_sent().output, "alarms");
        assert_eq!(third.only_sent().property("event"), Some("failing"));
        assert_eq!(
            (&alarm["module"], &alarm["details"]["failures"]),
            (&json!("sensor"), &json!(3))
        );
        assert_eq!(watchdog.reported_properties()["state"], "failing");
        assert_eq!(watchdog.advance(9 * SECOND).expect_ok().sent, []);
        status.store(200, Ordering::Relaxed);
        let back = watchdog.advance(SECOND).expect_ok();
        assert_eq!(back.only_sent().property("event"), Some("back"));
        assert_eq!(back.only_sent().json::<Value>()["details"]["failures"], 12);
        assert_eq!(watchdog.reported_properties()["state"], "well");
        assert_eq!(watchdog.reported_properties().get("cause"), None);
    }

    #[test]
    fn a_slow_module_is_asked_once_for_the_ticks_that_its_silence_took() {
        let (mut watchdog, status) = watchdog();
        watchdog.start().expect_ok();
        status.store(0, Ordering::Relaxed);
        let asked = watchdog.advance(11 * SECOND).expect_ok();
        // At 1, 6 and 11: each silence takes five seconds.
        assert_eq!(asked.invoked.len(), 3);
        assert!(asked.ticks[1..].iter().all(|tick| tick.missed == 4));
        assert_eq!(watchdog.reported_properties()["cause"], "no answer in time");
    }

    #[test]
    fn an_alarm_that_finds_no_place_is_tried_again() {
        let (mut watchdog, status) = watchdog();
        status.store(500, Ordering::Relaxed);
        watchdog.inject(Fault::FullQueues);
        let full = watchdog.advance(4 * SECOND);
        assert!(matches!(full.outcome, Outcome::Failed(_)));
        assert_eq!(watchdog.reported_properties()["state"], "unknown");
        watchdog.clear_faults();
        assert_eq!(watchdog.advance(SECOND).expect_ok().sent.len(), 1);
    }

    #[test]
    fn without_a_module_nobody_is_asked() {
        let (mut watchdog, _) = watchdog();
        watchdog.advance(SECOND).expect_ok();
        watchdog.desired(json!({ "module": null })).expect_ok();
        assert_eq!(watchdog.advance(60 * SECOND).expect_ok().invoked, []);
        assert_eq!(watchdog.reported_properties()["state"], "unknown");
    }
}

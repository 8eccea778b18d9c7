//! A simulated machine that warms up, in the manner of the sensor of IoT Edge's tutorials: outputs, properties and names are the same, so that what was written for that one works with this.
//!
//! Each `SendInterval` seconds it sends a reading on `temperatureOutput`, with the properties `sequenceNumber` and `batchId`; `SendData` false holds that back.
//! The method `reset`, and the message `{"command": "reset"}` at the input `control`, make the machine cold again.
//! The method `status` says how it is.

mod simulation;
mod time;

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::timer::{self, Tick};
use wasm_edge_sdk::{Failure, Message, Outgoing, Result, Value, json, log, module, twin};

use simulation::{Reading, Simulation};

/// The timer that a reading is taken at.
const TIMER: &str = "reading";

/// The input that takes commands.
const CONTROL: &str = "control";

/// The desired properties, with what counts where one is not set.
#[derive(Clone, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "PascalCase")]
struct Settings {
    /// In seconds; parts of one are allowed.
    send_interval: f64,
    send_data: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            send_interval: 5.0,
            send_data: true,
        }
    }
}

#[derive(Deserialize)]
struct Command {
    command: String,
}

struct TemperatureSensor {
    settings: Settings,
    simulation: Simulation,
    sequence_number: u64,
    /// One for each start, so that a reader can tell sequence numbers of two starts.
    batch_id: String,
}

impl Default for TemperatureSensor {
    fn default() -> Self {
        let seed = RandomState::new().hash_one(());
        Self {
            settings: Settings::default(),
            simulation: Simulation::new(seed),
            sequence_number: 0,
            batch_id: format!("{:016x}", RandomState::new().hash_one(seed)),
        }
    }
}

#[module]
impl TemperatureSensor {
    fn desired(&mut self, desired: Settings) -> Result {
        let interval = Duration::try_from_secs_f64(desired.send_interval)?;
        timer::every(TIMER, interval)?;
        log::info!(
            "a reading each {} s{}",
            desired.send_interval,
            if desired.send_data { "" } else { ", none sent" }
        );
        self.settings = desired;
        twin::report(&self.settings)?;
        Ok(())
    }

    fn timer(&mut self, _: Tick) -> Result {
        self.simulation.step();
        if self.settings.send_data {
            self.send_reading()?;
        }
        Ok(())
    }

    fn message(&mut self, message: &Message) -> Result {
        if message.input() != CONTROL {
            return Err(Failure::reject(format_args!(
                "commands come to the input `{CONTROL}`"
            )));
        }
        let Command { command } = message.json()?;
        match command.as_str() {
            "reset" => {
                self.reset();
                Ok(())
            }
            other => Err(Failure::reject(format_args!("no command `{other}`"))),
        }
    }

    fn method(&mut self, name: &str, _: Value) -> Response {
        match name {
            "reset" => {
                self.reset();
                Response::ok(&Value::Null)
            }
            "status" => Response::ok(&json!({
                "machine": self.simulation.machine(),
                "sequenceNumber": self.sequence_number,
                "sending": self.settings.send_data,
            })),
            name => Response::unknown_method(name),
        }
    }
}

impl TemperatureSensor {
    fn send_reading(&mut self) -> Result {
        let reading = Reading {
            machine: self.simulation.machine(),
            ambient: self.simulation.ambient(),
            time_created: time::rfc_3339(SystemTime::now()),
        };
        let number = self.sequence_number + 1;
        Outgoing::json(&reading)?
            .property("sequenceNumber", number.to_string())
            .property("batchId", &self.batch_id)
            .send("temperatureOutput")?;
        self.sequence_number = number;
        Ok(())
    }

    fn reset(&mut self) {
        log::info!("the machine is cold again");
        self.simulation.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_edge_sdk::testing::{Fault, Harness, Incoming, Outcome};

    const SECOND: Duration = Duration::from_secs(1);

    fn sensor() -> Harness<TemperatureSensor> {
        Harness::new().with_desired(json!({ "SendInterval": 1 }))
    }

    fn temperature(sensor: &mut Harness<TemperatureSensor>) -> f64 {
        let status = sensor.method("status", Value::Null).expect_ok();
        let status: Value = status.response().json().expect("JSON");
        status["machine"]["temperature"].as_f64().expect("a number")
    }

    #[test]
    fn a_reading_has_the_form_of_the_tutorials_sensor() {
        let mut sensor = sensor();
        let sent = sensor.advance(2 * SECOND).expect_ok().sent;
        let readings: Vec<Value> = sent.iter().map(|sent| sent.json()).collect();
        assert_eq!(readings.len(), 2);
        for pointer in [
            "/machine/temperature",
            "/machine/pressure",
            "/ambient/temperature",
            "/ambient/humidity",
        ] {
            let value = readings[0].pointer(pointer).and_then(Value::as_f64);
            assert!(value.is_some_and(|value| value > 0.0), "{pointer}");
        }
        let time = readings[0]["timeCreated"].as_str().expect("text");
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        assert_eq!(sent[0].output, "temperatureOutput");
        assert_eq!(sent[0].property("sequenceNumber"), Some("1"));
        assert_eq!(sent[1].property("sequenceNumber"), Some("2"));
        assert!(sent[0].property("batchId").is_some());
        assert_eq!(sent[0].property("batchId"), sent[1].property("batchId"));
    }

    #[test]
    fn the_twin_says_how_often_and_whether() {
        let mut sensor = sensor();
        let changed = sensor.desired(json!({ "SendInterval": 0.1 })).expect_ok();
        let settings = json!({ "SendInterval": 0.1, "SendData": true });
        assert_eq!(changed.reported, [settings]);
        assert_eq!(sensor.advance(SECOND).expect_ok().sent.len(), 10);
        sensor.desired(json!({ "SendData": false })).expect_ok();
        assert_eq!(sensor.advance(SECOND).expect_ok().sent, []);
        // It runs on meanwhile.
        assert_ne!(temperature(&mut sensor), 21.0);
    }

    #[test]
    fn an_interval_that_cannot_be_leaves_the_old_one() {
        let mut sensor = sensor();
        for interval in [0.0, -1.0, 1e300] {
            let refused = sensor.desired(json!({ "SendInterval": interval }));
            assert!(matches!(refused.outcome, Outcome::Failed(_)), "{interval}");
        }
        assert_eq!(sensor.advance(SECOND).expect_ok().sent.len(), 1);
    }

    #[test]
    fn a_reset_by_method_and_by_message_makes_the_machine_cold() {
        let mut sensor = sensor();
        sensor.advance(20 * SECOND).expect_ok();
        assert_ne!(temperature(&mut sensor), 21.0);
        sensor.method("reset", Value::Null).expect_ok();
        assert_eq!(temperature(&mut sensor), 21.0);
        sensor.advance(20 * SECOND).expect_ok();
        let reset = Incoming::from(json!({ "command": "reset" })).input("control");
        sensor.message(reset).expect_ok();
        assert_eq!(temperature(&mut sensor), 21.0);
    }

    #[test]
    fn what_is_no_command_is_put_aside() {
        let mut sensor = sensor();
        for message in [
            Incoming::from(json!({ "command": "reset" })),
            Incoming::from(json!({ "command": "explode" })).input("control"),
            Incoming::from("reset").input("control"),
        ] {
            let outcome = sensor.message(message).outcome;
            assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
        }
        let unknown = sensor.method("explode", Value::Null);
        assert_eq!(unknown.response().status, 404);
    }

    #[test]
    fn a_reading_that_finds_no_place_takes_no_number() {
        let mut sensor = sensor();
        sensor.inject(Fault::FullQueues);
        let full = sensor.advance(SECOND);
        assert!(matches!(full.outcome, Outcome::Failed(_)));
        sensor.clear_faults();
        let next = sensor.advance(SECOND).expect_ok();
        assert_eq!(next.only_sent().property("sequenceNumber"), Some("1"));
    }
}

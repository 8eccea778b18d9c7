//! Gathers JSON messages and passes them on as one array, on `batches`: when it has `messages_max` of them, or the first has waited `wait_max_ms`.
//!
//! A program with a loop of its own, because its messages stay open until the batch is on its way: if it ends before, they come again.
//! They come again, too, in the short time between the batch's completion and theirs: then they are passed on twice, and never lost.
//! The method `flush` passes on what is there.

mod batch;

use std::error::Error;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wasm_edge_sdk::events::{self, CompletionError, Delivery, Event, MethodCall};
use wasm_edge_sdk::methods::Response;
use wasm_edge_sdk::{json, log, timer, twin};

use batch::{Batch, Full};

/// The timer that ends the wait for more.
const TIMER: &str = "wait";

/// Messages that are kept at once: each is a handle that the host holds for the module.
const MESSAGES_MAX: usize = 500;

#[derive(Clone, Copy, Deserialize, PartialEq, Serialize)]
#[serde(default)]
struct Settings {
    messages_max: usize,
    wait_max_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            messages_max: 10,
            wait_max_ms: 5_000,
        }
    }
}

#[derive(Default)]
struct Relay {
    settings: Settings,
    batch: Batch,
    passed_on: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut relay = Relay::default();
    let started = Instant::now();
    for event in events::all() {
        match event {
            Event::Desired(_) => relay.take_settings(),
            Event::Message(delivery) => relay.take(delivery)?,
            Event::Timer(_) => relay.flush()?,
            Event::Method(call) => relay.answer(&call)?,
            Event::Shutdown(_) => {
                relay.flush()?;
                let (count, seconds) = (relay.passed_on, started.elapsed().as_secs());
                log::info!("passed on {count} messages in {seconds} s");
            }
        }
    }
    Ok(())
}

impl Relay {
    /// Takes over what is desired now; what cannot be leaves the old settings.
    fn take_settings(&mut self) {
        let desired = twin::desired::<Settings>().map_err(|err| err.to_string());
        let taken = desired.and_then(|desired| {
            if !(1..=MESSAGES_MAX).contains(&desired.messages_max) || desired.wait_max_ms == 0 {
                return Err(format!(
                    "`messages_max` is 1 to {MESSAGES_MAX}, `wait_max_ms` at least 1"
                ));
            }
            twin::report(&json!({ "settings": desired })).map_err(|err| err.to_string())?;
            Ok(desired)
        });
        match taken {
            Ok(settings) => {
                self.settings = settings;
                log::info!(
                    "passes on {} messages at a time, each within {} ms",
                    settings.messages_max,
                    settings.wait_max_ms
                );
            }
            Err(err) => log::error!("settings not changed: {err}"),
        }
    }

    fn take(&mut self, delivery: Delivery) -> Result<(), Box<dyn Error>> {
        match self.batch.add(delivery)? {
            Ok(()) => {}
            Err(Full(delivery)) => {
                self.flush()?;
                if let Err(Full(delivery)) = self.batch.add(delivery)? {
                    delivery.reject("too large for a batch")?;
                }
            }
        }
        if self.batch.len() >= self.settings.messages_max {
            self.flush()?;
        } else if self.batch.len() == 1 {
            timer::once(TIMER, Duration::from_millis(self.settings.wait_max_ms))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CompletionError> {
        timer::cancel(TIMER);
        self.passed_on += std::mem::take(&mut self.batch).pass_on()?;
        Ok(())
    }

    fn answer(&mut self, call: &MethodCall) -> Result<(), CompletionError> {
        match call.name().as_str() {
            "flush" => {
                let count = self.batch.len();
                self.flush()?;
                call.respond(Response::ok(&json!({ "messages": count })))
            }
            name => call.respond(Response::unknown_method(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_edge_sdk::Value;
    use wasm_edge_sdk::testing::{Fault, Harness, Outcome, Program};

    const SECOND: Duration = Duration::from_secs(1);

    fn relay() -> Harness<Program> {
        Harness::program(main).with_desired(json!({ "messages_max": 3, "wait_max_ms": 2_000 }))
    }

    #[test]
    fn a_full_batch_goes_out_with_all_its_messages_completed() {
        let mut relay = relay();
        assert_eq!(relay.message(json!(1)).outcome, Outcome::Kept);
        assert_eq!(relay.message(json!({ "a": 2 })).outcome, Outcome::Kept);
        let third = relay.message(json!("three")).expect_ok();
        assert_eq!(third.only_sent().output, "batches");
        assert_eq!(third.only_sent().property("count"), Some("3"));
        assert_eq!(
            third.only_sent().json::<Value>(),
            json!([1, { "a": 2 }, "three"])
        );
        assert_eq!(relay.delivery(0), Outcome::Done);
        assert_eq!(relay.delivery(1), Outcome::Done);
        // Nothing is left, and nobody waits for it.
        assert_eq!(relay.advance(9 * SECOND).expect_ok().sent, []);
    }

    #[test]
    fn a_message_waits_no_longer_than_it_may() {
        let mut relay = relay();
        relay.message(json!(1));
        assert_eq!(relay.advance(SECOND).expect_ok().sent, []);
        relay.message(json!(2));
        let waited = relay.advance(SECOND).expect_ok();
        assert_eq!(waited.only_sent().json::<Value>(), json!([1, 2]));
    }

    #[test]
    fn flush_and_shutdown_pass_on_what_is_there() {
        let mut relay = relay();
        relay.message(json!(1));
        let flushed = relay.method("flush", Value::Null).expect_ok();
        assert_eq!(flushed.response().payload, r#"{"messages":1}"#);
        assert_eq!(flushed.sent.len(), 1);
        let nothing = relay.method("flush", Value::Null).expect_ok();
        assert_eq!(nothing.sent, []);
        relay.message(json!(2));
        let ended = relay.shutdown(SECOND).expect_ok();
        assert_eq!(ended.only_sent().json::<Value>(), json!([2]));
        assert!(ended.logged("passed on 2 messages"));
        assert_eq!(relay.method("other", Value::Null).response().status, 404);
    }

    #[test]
    fn large_messages_make_several_batches() {
        let mut relay = relay();
        let large = "x".repeat(120_000);
        relay.message(json!(large));
        relay.message(json!(large));
        let third = relay.message(json!(large));
        assert_eq!((third.outcome, third.sent.len()), (Outcome::Kept, 1));
        let alone = relay.message(json!("x".repeat(260_000)));
        assert!(
            matches!(alone.outcome, Outcome::Rejected(_)),
            "{:?}",
            alone.outcome
        );
    }

    #[test]
    fn what_is_no_json_is_put_aside_and_the_rest_goes_on() {
        let mut relay = relay();
        relay.message(json!(1));
        let outcome = relay.message("{").outcome;
        assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
        let waited = relay.advance(2 * SECOND).expect_ok();
        assert_eq!(waited.only_sent().json::<Value>(), json!([1]));
    }

    #[test]
    fn where_there_is_no_place_all_messages_come_again() {
        let mut relay = relay();
        for fault in [Fault::FullQueue("batches".to_owned()), Fault::CommitFails] {
            relay.restart().expect_ok();
            relay.inject(fault);
            for n in 0..3 {
                relay.message(json!(n));
            }
            for n in 0..3 {
                let outcome = relay.delivery(n);
                assert!(matches!(outcome, Outcome::Retry(_)), "{n}: {outcome:?}");
            }
            assert!(relay.is_running());
            relay.clear_faults();
        }
    }

    #[test]
    fn settings_that_cannot_be_leave_the_old_ones() {
        let mut relay = relay();
        for desired in [
            json!({ "messages_max": 0 }),
            json!({ "messages_max": "many" }),
        ] {
            assert!(relay.desired(desired).expect_ok().logged("not changed"));
        }
        for n in 0..2 {
            relay.message(json!(n));
        }
        assert_eq!(relay.message(json!(2)).expect_ok().sent.len(), 1);
    }
}

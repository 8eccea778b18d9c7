//! `timer`: starts and stops the instance's timers.

use std::time::Duration;

use crate::bindings::wasm_edge::module::timer;
use crate::state::GuestState;
use crate::timers::{Schedule, Tick, TimerError};

impl timer::Host for GuestState {
    fn start(
        &mut self,
        name: String,
        schedule: timer::Schedule,
    ) -> wasmtime::Result<Result<(), timer::TimerError>> {
        let schedule = match schedule {
            timer::Schedule::Once(after_ms) => Schedule::Once(Duration::from_millis(after_ms)),
            timer::Schedule::Every(period_ms) => Schedule::Every(Duration::from_millis(period_ms)),
        };
        let started = self
            .events
            .lock()
            .start_timer(&name, schedule, wasm_edge_clock::now());
        Ok(started.map_err(|err| match err {
            TimerError::TooMany => timer::TimerError::TooMany,
            TimerError::Invalid(text) => timer::TimerError::Invalid(text),
        }))
    }

    fn cancel(&mut self, name: String) -> wasmtime::Result<()> {
        self.events.lock().cancel_timer(&name);
        Ok(())
    }
}

impl From<Tick> for timer::Tick {
    fn from(tick: Tick) -> Self {
        Self {
            name: tick.name,
            missed: tick.missed,
        }
    }
}

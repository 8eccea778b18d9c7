//! `timer`: on the test's clock.

use std::time::Duration;

use crate::bindings::generated::wasm_edge::module::timer as wit;
use crate::testing::record::TimerChange;
use crate::testing::world;

pub use wit::{Schedule, Tick, TimerError};

pub fn start(name: &str, schedule: Schedule) -> Result<(), TimerError> {
    let world = world::current();
    let mut state = world.lock();
    let now = state.now;
    state.timers.start(name, schedule, now)?;
    let name = name.to_owned();
    state.record.timers.push(match schedule {
        Schedule::Once(after_ms) => TimerChange::Once {
            name,
            after: Duration::from_millis(after_ms),
        },
        Schedule::Every(period_ms) => TimerChange::Every {
            name,
            period: Duration::from_millis(period_ms),
        },
    });
    Ok(())
}

pub fn cancel(name: &str) {
    let world = world::current();
    let mut state = world.lock();
    state.timers.cancel(name);
    let name = name.to_owned();
    state.record.timers.push(TimerChange::Cancelled { name });
}

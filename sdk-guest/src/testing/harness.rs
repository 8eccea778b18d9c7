//! The harness: a device for one module, which does what the test says and tells what the module did.

mod module;
mod program;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use log::LevelFilter;
use serde_json::Value;

use super::Fault;
use super::host::messages::Held;
use super::incoming::Incoming;
use super::record::Handled;
use super::twin::section;
use super::world::{State, World};
use crate::bindings::timer::Tick;
use crate::methods::{InvokeError, Response};

/// Ticks that one call may give out: more of them come from a period that was not meant.
const TICKS_MAX: usize = 100_000;

/// A device for one module: `Harness::<MyModule>::new()` for one with handlers, [`Harness::program`] for a program.
///
/// The module starts with the first call, or with `start` where its start is what the test looks at: `init`, then the desired properties.
/// After a panic, and after `shutdown`, the next call starts another instance; twin, files and the harness's settings stay as they are.
pub struct Harness<T> {
    world: Arc<World>,
    /// The instance; of a program, its `main` and thread.
    running: Option<T>,
}

/// What the device is like. These come before the first call.
impl<T> Harness<T> {
    /// Sets the desired properties that the module starts with; none unless told.
    ///
    /// # Panics
    /// Where the value is no JSON object, or against a rule for twins.
    #[must_use]
    #[track_caller]
    pub fn with_desired(self, desired: Value) -> Self {
        self.lock().twin.desired = allowed(section(&desired));
        self
    }

    /// Sets what the module has reported before.
    ///
    /// # Panics
    /// As [`Harness::with_desired`].
    #[must_use]
    #[track_caller]
    pub fn with_reported(self, reported: Value) -> Self {
        self.lock().twin.reported = allowed(section(&reported));
        self
    }

    /// Says which module of which device it is; `test-module` of `test-device` unless told.
    #[must_use]
    pub fn with_identity(self, device: &str, module: &str) -> Self {
        {
            let identity = &mut self.lock().identity;
            identity.device = device.to_owned();
            identity.module = module.to_owned();
        }
        self
    }

    /// Sets the key that [`identity::sign`](crate::identity::sign) uses.
    #[must_use]
    pub fn with_key(self, key: &[u8]) -> Self {
        self.lock().identity.key = key.to_vec();
        self
    }

    /// Says what another module of the device answers to direct methods, from the method's name and payload.
    ///
    /// A module that nothing is said of is not there: `NotFound`.
    /// An error [`InvokeError::Timeout`] or [`InvokeError::NotFound`] lets the time pass that the caller would have waited.
    /// The answer may come from a harness of its own:
    ///
    /// ```
    /// use wasm_edge_sdk::methods::{Call, Response};
    /// use wasm_edge_sdk::testing::Harness;
    /// use wasm_edge_sdk::{Result, Value, module};
    ///
    /// #[derive(Default)]
    /// struct Lamp;
    ///
    /// #[module]
    /// impl Lamp {
    ///     fn method(&mut self, _name: &str, _payload: Value) -> Response {
    ///         Response::ok("on")
    ///     }
    /// }
    ///
    /// #[derive(Default)]
    /// struct Switch;
    ///
    /// #[module]
    /// impl Switch {
    ///     fn init(&mut self) -> Result {
    ///         Call::module("lamp", "on").invoke()?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut lamp = Harness::<Lamp>::new();
    /// let mut switch = Harness::<Switch>::new()
    ///     .with_module("lamp", move |name, payload| Ok(lamp.method(name, payload).response().clone()));
    /// let started = switch.start().expect_ok();
    /// assert_eq!(started.invoked[0].method, "on");
    /// ```
    #[must_use]
    pub fn with_module(
        self,
        id: &str,
        answer: impl FnMut(&str, Value) -> Result<Response, InvokeError> + Send + 'static,
    ) -> Self {
        self.set_module(id, answer);
        self
    }

    /// As [`Harness::with_module`], at any time.
    pub fn set_module(
        &self,
        id: &str,
        answer: impl FnMut(&str, Value) -> Result<Response, InvokeError> + Send + 'static,
    ) {
        let callee = Arc::new(Mutex::new(answer));
        self.lock().callees.insert(id.to_owned(), callee);
    }

    /// Sets what [`data_folder`](crate::data_folder) is, and leaves it there afterwards; a temporary folder unless told.
    #[must_use]
    pub fn with_data_folder(self, path: impl Into<PathBuf>) -> Self {
        self.lock().set_data_folder(path.into());
        self
    }

    /// Sets the least level of log lines that are kept, as `WASM_EDGE_LOG` does on the device; `info` unless told.
    #[must_use]
    pub fn with_log_level(self, level: LevelFilter) -> Self {
        self.lock().log_level = level;
        self
    }

    /// Lets something go wrong from now on.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// The desired properties, without their version.
    pub fn desired_properties(&self) -> Value {
        self.lock().twin.desired.clone().into()
    }

    /// The reported properties, without their version.
    pub fn reported_properties(&self) -> Value {
        self.lock().twin.reported.clone().into()
    }

    /// The names of the timers that are running, sorted.
    pub fn timers_running(&self) -> Vec<String> {
        self.lock().timers.names().map(str::to_owned).collect()
    }

    /// The module's [`data_folder`](crate::data_folder).
    pub fn data_folder(&self) -> PathBuf {
        self.lock().data_folder()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.world.lock()
    }

    /// Lets go of the instance. On the device its memory is thrown away: what destructors do here is not seen.
    fn discard(&mut self) {
        let running = self.running.take();
        let record = self.lock().take_record();
        // A destructor that panics has no one to tell.
        let _ = self.world.enter(|| drop(running));
        self.lock().record = record;
    }
}

impl<T> Drop for Harness<T> {
    fn drop(&mut self) {
        self.discard();
    }
}

impl State {
    /// A new instance has no timers, and what an old one had staged is gone.
    fn begin(&mut self) {
        self.timers = super::timers::Timers::default();
        self.staged.clear();
        self.panic = None;
    }

    /// Moves the clock to the next tick, at most so far, and takes it.
    fn tick_until(&mut self, target: Duration) -> Option<Tick> {
        let due = self.timers.next_due().filter(|due| *due <= target)?;
        self.now = self.now.max(due);
        self.take_tick()
    }

    /// Takes the tick that has been due longest, if any is.
    #[track_caller]
    fn take_tick(&mut self) -> Option<Tick> {
        let now = self.now;
        let tick = self.timers.take_due(now)?;
        self.record.ticks.push(tick.clone().into());
        assert!(
            self.record.ticks.len() <= TICKS_MAX,
            "more than {TICKS_MAX} ticks in one call"
        );
        Some(tick)
    }
}

/// A message as a test writes it.
#[track_caller]
fn held(message: Incoming) -> Arc<Held> {
    Held::new(message).unwrap_or_else(|err| {
        let err = crate::SendError::from(err);
        panic!("no message like this comes to a module: {err}")
    })
}

/// What a test does to the twin.
#[track_caller]
fn allowed<T>(change: Result<T, crate::bindings::twin::TwinError>) -> T {
    change.unwrap_or_else(|err| {
        let err = crate::twin::Error::from(err);
        panic!("no hub has such properties: {err}")
    })
}

/// What both kinds of modules do alike, in their own ways.
#[track_caller]
fn expect_started(started: &Handled, is_running: bool) {
    assert!(
        is_running,
        "the module did not start: {:?}",
        started.outcome
    );
}

/// The grace time in milliseconds, as far as it can be counted.
fn grace_ms(grace: Duration) -> u32 {
    crate::failure::millis(grace)
}

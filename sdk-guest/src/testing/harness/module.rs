//! The calls of a harness for a module with handlers.

use std::time::Duration;

use serde_json::Value;

use super::{Harness, allowed, expect_started, grace_ms, held};
use crate::bindings::messages::{Failure, Message};
use crate::bindings::{timer, twin};
use crate::handlers::Module;
use crate::testing::Fault;
use crate::testing::host::events::{REASON_MAX_BYTES, RETRY_MAX};
use crate::testing::host::log::cut;
use crate::testing::host::methods::checked_response;
use crate::testing::incoming::Incoming;
use crate::testing::record::{Handled, Outcome};
use crate::testing::world::{Kind, World};

impl<M: Module> Default for Harness<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Module> Harness<M> {
    /// A device with this module, which was not started yet.
    pub fn new() -> Self {
        Self {
            world: World::new(Kind::Handlers),
            running: None,
        }
    }

    /// Starts the module: `init`, then `desired` with all desired properties. One that is running is killed before.
    ///
    /// Where `init` fails, it is not running afterwards.
    pub fn start(&mut self) -> Handled {
        self.discard();
        self.lock().begin();
        let made = self.world.enter(M::default);
        let Ok(instance) = made else {
            let outcome = self.world.trapped();
            return self.finish(outcome);
        };
        self.running = Some(instance);
        if has::<M>("init") {
            let outcome = self.plain(M::init);
            if outcome != Outcome::Done {
                self.discard();
                return self.finish(outcome);
            }
        }
        let full = self.lock().twin.full();
        let outcome = self.tell(full);
        self.finish(outcome)
    }

    /// Kills the module as a power cut would, and starts it again: its state and timers are gone, twin and files are not.
    pub fn restart(&mut self) -> Handled {
        self.start()
    }

    /// Whether there is an instance.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The instance, to look at its state.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn module(&self) -> &M {
        self.running.as_ref().expect("the module is running")
    }

    /// Hands over a message.
    ///
    /// # Panics
    /// Where the module takes none, did not start, or there can be no such message.
    #[track_caller]
    pub fn message(&mut self, message: impl Into<Incoming>) -> Handled {
        self.ensure("message");
        let message = Message::new(held(message.into()));
        let answer = self.call(|module| module.message(&message));
        let outcome = match answer {
            Err(trapped) => trapped,
            Ok(Ok(())) if self.lock().has(&Fault::CommitFails) => {
                self.lock().staged.clear();
                Outcome::Retry(Duration::ZERO)
            }
            Ok(Ok(())) => self.let_out(),
            Ok(Err(failure)) => {
                self.lock().staged.clear();
                match failure {
                    Failure::Retry(after_ms) => {
                        Outcome::Retry(Duration::from_millis(after_ms.into()).min(RETRY_MAX))
                    }
                    Failure::Reject(reason) => Outcome::Rejected(cut(&reason, REASON_MAX_BYTES)),
                }
            }
        };
        self.finish(outcome)
    }

    /// Merges a patch into the desired properties, and tells the module where it has a handler for them.
    ///
    /// # Panics
    /// Where the module did not start, or the patch is against a rule for twins.
    #[track_caller]
    pub fn desired(&mut self, patch: Value) -> Handled {
        self.ensure_started();
        let update = allowed(self.lock().twin.patch_desired(&patch));
        let outcome = self.tell(update);
        self.finish(outcome)
    }

    /// Puts others in place of the desired properties: the module is told all of them, as after a gap.
    ///
    /// # Panics
    /// As [`Harness::desired`].
    #[track_caller]
    pub fn replace_desired(&mut self, desired: Value) -> Handled {
        self.ensure_started();
        let update = allowed(self.lock().twin.replace_desired(&desired));
        let outcome = self.tell(update);
        self.finish(outcome)
    }

    /// Calls a direct method; the answer is [`Handled::response`].
    ///
    /// # Panics
    /// Where the module takes no methods, or did not start.
    #[track_caller]
    pub fn method(&mut self, name: &str, payload: Value) -> Handled {
        self.ensure("method");
        let (name, payload) = (name.to_owned(), payload.to_string());
        let answer = self.call(|module| module.method(name, payload));
        let (response, outcome) = match answer {
            Ok(response) => (Some(checked_response(response)), self.let_out()),
            Err(trapped) => (None, trapped),
        };
        Handled {
            response,
            ..self.finish(outcome)
        }
    }

    /// Lets time pass while the module is idle: each tick comes when it is due.
    ///
    /// # Panics
    /// Where the module did not start.
    #[track_caller]
    pub fn advance(&mut self, time: Duration) -> Handled {
        self.ensure_started();
        let target = self.lock().now + time;
        let mut outcome = Handled::new();
        while self.running.is_some() {
            let Some(tick) = self.lock().tick_until(target) else {
                break;
            };
            outcome.end(self.tick(tick));
        }
        {
            let mut state = self.lock();
            // A method that was called may have taken longer.
            state.now = state.now.max(target);
        }
        self.finish(outcome.outcome)
    }

    /// Lets time pass while the module is busy: of each timer one tick comes afterwards, with the number of those that were missed.
    ///
    /// # Panics
    /// As [`Harness::advance`].
    #[track_caller]
    pub fn stall(&mut self, time: Duration) -> Handled {
        self.ensure_started();
        let now = {
            let mut state = self.lock();
            state.now += time;
            state.now
        };
        let mut outcome = Handled::new();
        while self.running.is_some() {
            let Some(tick) = self.lock().tick_until(now) else {
                break;
            };
            outcome.end(self.tick(tick));
        }
        self.finish(outcome.outcome)
    }

    /// Asks whether the module is well: [`Outcome::Failed`] says what is wrong. One without the handler is.
    ///
    /// # Panics
    /// Where the module did not start.
    #[track_caller]
    pub fn health(&mut self) -> Handled {
        self.ensure_started();
        let outcome = match has::<M>("health") {
            true => match self.call(M::health) {
                Ok(checked) => {
                    let sent = self.let_out();
                    checked.map_or_else(
                        |text| Outcome::Failed(cut(&text, REASON_MAX_BYTES)),
                        |()| sent,
                    )
                }
                Err(trapped) => trapped,
            },
            false => Outcome::Done,
        };
        self.finish(outcome)
    }

    /// Stops the module, which has this time to tidy up.
    ///
    /// # Panics
    /// Where the module did not start.
    #[track_caller]
    pub fn shutdown(&mut self, grace: Duration) -> Handled {
        self.ensure_started();
        let mut outcome = Outcome::Done;
        if has::<M>("shutdown") {
            let answer = self.call(|module| module.shutdown(grace_ms(grace)));
            outcome = match answer {
                Ok(()) => self.let_out(),
                Err(trapped) => trapped,
            };
        }
        self.discard();
        self.lock().begin();
        self.finish(outcome)
    }

    #[track_caller]
    fn ensure(&mut self, handler: &str) {
        assert!(
            has::<M>(handler),
            "the module has no handler `{handler}`; it has {}",
            M::HANDLERS.join(", ")
        );
        self.ensure_started();
    }

    /// What a start on the way did is not part of the call's own record.
    #[track_caller]
    fn ensure_started(&mut self) {
        if self.running.is_none() {
            let started = self.start();
            expect_started(&started, self.is_running());
        }
    }

    /// Calls a handler; a panic ends the instance.
    fn call<R>(&mut self, handler: impl FnOnce(&mut M) -> R) -> Result<R, Outcome> {
        let instance = self.running.as_mut().expect("it was started");
        let answer = self.world.enter(|| handler(instance));
        answer.map_err(|_| {
            let trapped = self.world.trapped();
            self.discard();
            self.lock().begin();
            trapped
        })
    }

    /// Calls a handler whose error is logged and changes nothing else; what it sent goes out only if it was well.
    fn plain(&mut self, handler: impl FnOnce(&mut M) -> Result<(), String>) -> Outcome {
        match self.call(handler) {
            Ok(Ok(())) => self.let_out(),
            Ok(Err(text)) => {
                self.lock().staged.clear();
                Outcome::Failed(cut(&text, REASON_MAX_BYTES))
            }
            Err(trapped) => trapped,
        }
    }

    fn tell(&mut self, update: twin::DesiredUpdate) -> Outcome {
        match has::<M>("desired") || has::<M>("desired_update") {
            true => self.plain(|module| module.desired(update)),
            false => Outcome::Done,
        }
    }

    fn tick(&mut self, tick: timer::Tick) -> Outcome {
        match has::<M>("timer") {
            true => self.plain(|module| module.timer(tick)),
            false => Outcome::Done,
        }
    }

    fn let_out(&mut self) -> Outcome {
        let mut state = self.lock();
        let staged = std::mem::take(&mut state.staged);
        if !state.has(&Fault::CommitFails) {
            state.let_out(staged);
        }
        Outcome::Done
    }

    fn finish(&mut self, outcome: Outcome) -> Handled {
        let mut handled = self.lock().take_record();
        handled.end(outcome);
        handled
    }
}

fn has<M: Module>(handler: &str) -> bool {
    M::HANDLERS.contains(&handler)
}

//! The calls of a harness for a program with a loop of its own.

use std::time::Duration;

use serde_json::Value;

use super::{Harness, allowed, expect_started, grace_ms, held};
use crate::testing::incoming::Incoming;
use crate::testing::program::{Happening, MainAnswer, Program};
use crate::testing::record::{Handled, Outcome};
use crate::testing::world::{Kind, State, World};

impl Harness<Program> {
    /// A device with a program, whose `main` was not called yet.
    ///
    /// It has the same calls as one for handlers; each comes back when the program waits for the next event.
    /// `main` runs on a thread of its own, where it sees this device and no other.
    ///
    /// ```
    /// use std::error::Error;
    /// use std::time::Duration;
    /// use wasm_edge_sdk::events::{self, Event};
    /// use wasm_edge_sdk::testing::Harness;
    /// use wasm_edge_sdk::{Outgoing, timer};
    ///
    /// fn beats() -> Result<(), Box<dyn Error>> {
    ///     timer::every("beat", Duration::from_secs(1))?;
    ///     for event in events::all() {
    ///         match event {
    ///             Event::Timer(_) => Outgoing::text("still here").send("beats")?,
    ///             Event::Message(delivery) => delivery.complete()?,
    ///             _ => {}
    ///         }
    ///     }
    ///     Ok(())
    /// }
    ///
    /// let mut program = Harness::program(beats);
    /// assert_eq!(program.advance(Duration::from_secs(3)).expect_ok().sent.len(), 3);
    /// program.message("anything").expect_ok();
    /// program.shutdown(Duration::from_secs(1)).expect_ok();
    /// ```
    pub fn program<A: MainAnswer>(main: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Self {
            world: World::new(Kind::Program),
            running: Some(Program::new(main)),
        }
    }

    /// Calls `main`, and tells it all desired properties as its first event. One that is running is killed before.
    pub fn start(&mut self) -> Handled {
        self.stop();
        self.lock().begin();
        let world = self.world.clone();
        self.thread().start(&world);
        self.turn(|_| {});
        self.happen(|state| {
            let full = state.twin.full();
            state.board.offer(Happening::Desired(full));
        })
    }

    /// Kills the program as a power cut would, and starts it again: its state and timers are gone, twin and files are not.
    pub fn restart(&mut self) -> Handled {
        self.start()
    }

    /// Whether `main` was called and has not returned.
    pub fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(Program::is_running)
    }

    /// Hands over a message, and says what became of it until the program waits again; [`Outcome::Kept`] where it has not ended it.
    ///
    /// # Panics
    /// Where the program did not start, or there can be no such message.
    #[track_caller]
    pub fn message(&mut self, message: impl Into<Incoming>) -> Handled {
        self.ensure_started();
        let held = held(message.into());
        let mut number = 0;
        let mut handled = self.happen(|state| number = state.board.offer_message(held));
        handled.end(self.delivery(number));
        handled
    }

    /// What has become of a message by now, of those handed over since the start, from 0.
    ///
    /// # Panics
    /// Where there was no such message.
    #[track_caller]
    pub fn delivery(&self, number: usize) -> Outcome {
        let state = self.lock();
        let delivered = state.board.deliveries.get(number);
        let delivered = delivered.expect("the message was handed over since the start");
        delivered.outcome.clone()
    }

    /// Merges a patch into the desired properties, and tells the program.
    ///
    /// # Panics
    /// Where the program did not start, or the patch is against a rule for twins.
    #[track_caller]
    pub fn desired(&mut self, patch: Value) -> Handled {
        self.ensure_started();
        let update = allowed(self.lock().twin.patch_desired(&patch));
        self.happen(|state| state.board.offer(Happening::Desired(update)))
    }

    /// Puts others in place of the desired properties: the program is told all of them, as after a gap.
    ///
    /// # Panics
    /// As [`Harness::desired`].
    #[track_caller]
    pub fn replace_desired(&mut self, desired: Value) -> Handled {
        self.ensure_started();
        let update = allowed(self.lock().twin.replace_desired(&desired));
        self.happen(|state| state.board.offer(Happening::Desired(update)))
    }

    /// Calls a direct method. [`Handled::response`] is there if the program has answered when it waits again.
    ///
    /// # Panics
    /// Where the program did not start.
    #[track_caller]
    pub fn method(&mut self, name: &str, payload: Value) -> Handled {
        self.ensure_started();
        let (name, payload) = (name.to_owned(), payload.to_string());
        let mut number = 0;
        let mut handled = self.happen(|state| number = state.board.offer_method(name, payload));
        handled.response = self.lock().board.responses[number].clone();
        handled
    }

    /// Lets time pass while the program waits: each tick comes when it is due, and its own time limits run out when they do.
    ///
    /// # Panics
    /// Where the program did not start.
    #[track_caller]
    pub fn advance(&mut self, time: Duration) -> Handled {
        self.ensure_started();
        let target = self.lock().now + time;
        loop {
            let is_told = {
                let mut state = self.lock();
                let wakes_at = state.board.wakes_at().filter(|at| *at <= target);
                match state.tick_until(wakes_at.unwrap_or(target)) {
                    _ if state.board.ended().is_some() => false,
                    Some(tick) => {
                        state.board.offer(Happening::Timer(tick));
                        true
                    }
                    None => {
                        state.now = state.now.max(wakes_at.unwrap_or(target));
                        wakes_at.is_some()
                    }
                }
            };
            if !is_told {
                return self.happen(|_| {});
            }
            self.turn(|_| {});
        }
    }

    /// Lets time pass while the program is busy: of each timer one tick comes afterwards, with the number of those that were missed.
    ///
    /// # Panics
    /// As [`Harness::advance`].
    #[track_caller]
    pub fn stall(&mut self, time: Duration) -> Handled {
        self.ensure_started();
        self.happen(|state| {
            state.now += time;
            while let Some(tick) = state.take_tick() {
                state.board.offer(Happening::Timer(tick));
            }
        })
    }

    /// Tells the program to return from `main` within this time, and says whether it did.
    ///
    /// # Panics
    /// Where the program did not start.
    #[track_caller]
    pub fn shutdown(&mut self, grace: Duration) -> Handled {
        self.ensure_started();
        let shutdown = Happening::Shutdown(grace_ms(grace));
        let mut handled = self.happen(|state| state.board.offer(shutdown));
        if self.is_running() {
            let text = "`main` has not returned after the event `Shutdown`";
            handled.end(Outcome::Failed(text.to_owned()));
            self.stop();
        }
        handled
    }

    /// What a start on the way did is not part of the call's own record.
    #[track_caller]
    fn ensure_started(&mut self) {
        if !self.is_running() {
            let started = self.start();
            expect_started(&started, self.is_running());
        }
    }

    fn thread(&mut self) -> &mut Program {
        self.running.as_mut().expect("a program keeps its `main`")
    }

    /// Lets something happen, gives the program its turn, and tells what it did.
    #[track_caller]
    fn happen(&mut self, change: impl FnOnce(&mut State)) -> Handled {
        self.turn(change);
        let (mut handled, ended) = {
            let mut state = self.lock();
            (state.take_record(), state.board.ended().cloned())
        };
        if let Some(outcome) = ended {
            handled.end(outcome);
            self.stop();
        }
        handled
    }

    #[track_caller]
    fn turn(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        if state.board.ended().is_none() {
            change(&mut state);
        }
        drop(Program::take_turn(&self.world, state));
    }

    fn stop(&mut self) {
        self.thread().stop();
    }
}

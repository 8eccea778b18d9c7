//! `events`: what a program hears of, from the test's side of the board.

use std::sync::Arc;
use std::time::Duration;

use super::log::cut;
use super::messages::{self, Held, Message, Outgoing, PropertyChange, SendError};
use super::methods::{Response, checked_response};
use super::poll::Pollable;
use super::timer::Tick;
use super::twin::DesiredUpdate;
use crate::bindings::generated::wasm_edge::module::events as wit;
use crate::testing::Fault;
use crate::testing::program::{self, Happening};
use crate::testing::record::{Outcome, Sent};
use crate::testing::world::World;

pub use wit::CompletionError;

/// Longest wait of a retry, and longest reason in bytes.
pub(in crate::testing) const RETRY_MAX: Duration = Duration::from_secs(3600);
pub(in crate::testing) const REASON_MAX_BYTES: usize = 1024;

pub enum Event {
    Message(Delivery),
    Desired(DesiredUpdate),
    Method(MethodCall),
    Timer(Tick),
    Shutdown(u32),
}

pub fn next(timeout_ms: Option<u32>) -> Option<Event> {
    let timeout = timeout_ms.map(|ms| Duration::from_millis(ms.into()));
    let (world, happening) = program::next(timeout)?;
    Some(match happening {
        Happening::Message { number, held } => Event::Message(Delivery {
            world,
            number,
            held,
        }),
        Happening::Desired(update) => Event::Desired(update),
        Happening::Method {
            number,
            name,
            payload,
        } => Event::Method(MethodCall {
            world,
            number,
            name,
            payload,
        }),
        Happening::Timer(tick) => Event::Timer(tick),
        Happening::Shutdown(grace_ms) => Event::Shutdown(grace_ms),
    })
}

pub fn subscribe() -> Pollable {
    Pollable::for_events()
}

pub struct Delivery {
    world: Arc<World>,
    number: usize,
    held: Arc<Held>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Delivery").field(&self.held).finish()
    }
}

impl Delivery {
    pub fn message(&self) -> Message {
        Message::new(Arc::clone(&self.held))
    }

    pub fn send(&self, output: &str, message: &Outgoing) -> Result<(), SendError> {
        self.stage(messages::new_message(output, message))
    }

    pub fn forward(&self, output: &str, changes: &[PropertyChange]) -> Result<(), SendError> {
        self.stage(messages::changed_message(output, &self.held, changes))
    }

    pub fn complete(&self) -> Result<(), CompletionError> {
        let commit_fails = self.world.lock().has(&Fault::CommitFails);
        if commit_fails {
            self.end(Outcome::Retry(Duration::ZERO))?;
            return Err(CompletionError::WouldBlock);
        }
        let staged = self.end(Outcome::Done)?;
        self.world.lock().let_out(staged);
        Ok(())
    }

    pub fn retry(&self, after_ms: u32) -> Result<(), CompletionError> {
        let after = Duration::from_millis(after_ms.into()).min(RETRY_MAX);
        self.end(Outcome::Retry(after)).map(drop)
    }

    pub fn reject(&self, reason: &str) -> Result<(), CompletionError> {
        let reason = cut(reason, REASON_MAX_BYTES);
        self.end(Outcome::Rejected(reason)).map(drop)
    }

    fn stage(&self, sent: Result<Sent, SendError>) -> Result<(), SendError> {
        let mut state = self.world.lock();
        let Some(delivered) = state.board.open_delivery(self.number) else {
            let text = "the delivery was ended before".to_owned();
            return Err(SendError::Invalid(text));
        };
        let staged = std::mem::take(&mut delivered.staged);
        let (staged, answer) = match sent {
            Ok(sent) => messages::stage(&state, staged, sent),
            Err(err) => (staged, Err(err)),
        };
        if let Some(delivered) = state.board.open_delivery(self.number) {
            delivered.staged = staged;
        }
        answer
    }

    /// Ends it once, and gives what was staged with it.
    fn end(&self, outcome: Outcome) -> Result<Vec<Sent>, CompletionError> {
        let mut state = self.world.lock();
        let delivered = state
            .board
            .open_delivery(self.number)
            .ok_or(CompletionError::AlreadyEnded)?;
        delivered.outcome = outcome;
        Ok(std::mem::take(&mut delivered.staged))
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        // What the module had in hand when it panicked is a failed try, which is noted when its thread ends.
        if !std::thread::panicking() {
            // One that was ended before stays as it is.
            let _ = self.retry(0);
        }
    }
}

pub struct MethodCall {
    world: Arc<World>,
    number: usize,
    name: String,
    payload: String,
}

impl std::fmt::Debug for MethodCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MethodCall").field(&self.name).finish()
    }
}

impl MethodCall {
    pub fn name(&self) -> String {
        self.name.clone()
    }

    pub fn payload(&self) -> String {
        self.payload.clone()
    }

    pub fn respond(&self, response: &Response) -> Result<(), CompletionError> {
        let mut state = self.world.lock();
        match state.board.responses.get_mut(self.number) {
            Some(answer @ None) => *answer = Some(checked_response(response.clone())),
            _ => return Err(CompletionError::AlreadyEnded),
        }
        Ok(())
    }
}

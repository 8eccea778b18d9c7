//! What a program hears of, in its own loop.
//!
//! A program is a plain `fn main`, for what does not fit into handlers:
//!
//! ```
//! use std::time::Duration;
//! use wasm_edge_sdk::events::{self, Event};
//! use wasm_edge_sdk::{log, timer};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     timer::every("beat", Duration::from_secs(1))?;
//!     for event in events::all() {
//!         if let Event::Timer(tick) = event {
//!             log::info!("{}: still here", tick.name);
//!         }
//!     }
//!     Ok(())
//! # }
//! # let mut program = wasm_edge_sdk::testing::Harness::program(main);
//! # assert_eq!(program.advance(Duration::from_secs(3)).expect_ok().logs.len(), 3);
//! # Ok(())
//! }
//! ```

use std::time::Duration;

use crate::bindings::events as raw;
use crate::bindings::poll as raw_poll;
use crate::failure::millis;
use crate::logger::install_logger;
use crate::message::{Forward, Message, Outgoing, SendError};
use crate::methods::Response;
use crate::timer::Tick;
use crate::twin::DesiredUpdate;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A message came to one of the module's inputs.
    Message(Delivery),
    /// The desired properties changed.
    Desired(DesiredUpdate),
    /// A direct method was called.
    Method(MethodCall),
    /// A timer was due.
    Timer(Tick),
    /// The module is being stopped, and has this time to return from `main`.
    Shutdown(Duration),
}

/// Waits for the next event, at most so long; [`None`] when the time is over.
///
/// The program's running time is counted from one wait to the next.
pub fn next(timeout: Duration) -> Option<Event> {
    install_logger();
    raw::next(Some(millis(timeout))).map(Event::from)
}

/// Waits for the next event as long as it takes.
pub fn wait() -> Event {
    install_logger();
    loop {
        // Without a time limit the host answers with an event; asking again is right should it not.
        if let Some(event) = raw::next(None) {
            return event.into();
        }
    }
}

/// All events as they happen, up to and with the [`Event::Shutdown`].
pub fn all() -> impl Iterator<Item = Event> {
    install_logger();
    let mut ended = false;
    std::iter::from_fn(move || {
        (!ended)
            .then(wait)
            .inspect(|event| ended = matches!(event, Event::Shutdown(_)))
    })
}

/// A pollable that is ready while an event is waiting, for a program that waits for other things of WASI as well.
pub fn subscribe() -> Pollable {
    Pollable(raw::subscribe())
}

/// Something of WASI that can be waited for.
#[derive(Debug)]
pub struct Pollable(raw_poll::Pollable);

impl Pollable {
    /// Whether waiting would end at once.
    pub fn ready(&self) -> bool {
        self.0.ready()
    }

    /// Waits until it is ready.
    pub fn block(&self) {
        self.0.block();
    }
}

/// A message handed to this program, until it is ended.
///
/// Dropping it without an end means `retry` at once.
#[derive(Debug)]
pub struct Delivery(raw::Delivery);

impl Delivery {
    /// The message: a new handle each time, which stays good until it is dropped.
    pub fn message(&self) -> Message<'static> {
        Message::owned(self.0.message())
    }

    /// Sends a new message, staged: it goes out with [`complete`](Self::complete), or not at all.
    ///
    /// # Errors
    /// As [`Outgoing::send`].
    pub fn send(&self, output: &str, outgoing: Outgoing) -> Result<(), SendError> {
        self.0
            .send(output, &outgoing.into())
            .map_err(SendError::from)
    }

    /// Passes the message on, staged likewise.
    pub fn forward(&self) -> Forward<'_, raw::Delivery> {
        Forward::new(&self.0)
    }

    /// The message is dealt with: it leaves the queue and what was staged goes out, in one step.
    ///
    /// # Errors
    /// [`CompletionError::WouldBlock`], after which the message comes again; [`CompletionError::AlreadyEnded`].
    pub fn complete(&self) -> Result<(), CompletionError> {
        self.0.complete().map_err(CompletionError::from)
    }

    /// Not now: it comes again after this time, at most an hour. What was staged is dropped.
    ///
    /// # Errors
    /// [`CompletionError::AlreadyEnded`].
    pub fn retry(&self, after: Duration) -> Result<(), CompletionError> {
        self.0.retry(millis(after)).map_err(CompletionError::from)
    }

    /// Never: it is put aside with the reason, at most 1 KiB.
    ///
    /// # Errors
    /// [`CompletionError::AlreadyEnded`].
    pub fn reject(&self, reason: &str) -> Result<(), CompletionError> {
        self.0.reject(reason).map_err(CompletionError::from)
    }
}

/// A direct method called on this program.
///
/// Dropping it without an answer tells the caller at once that there is none.
#[derive(Debug)]
pub struct MethodCall(raw::MethodCall);

impl MethodCall {
    /// Name of the method.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// What was handed over: JSON text, `null` where the caller gave nothing.
    pub fn payload(&self) -> String {
        self.0.payload()
    }

    /// Answers.
    ///
    /// # Errors
    /// [`CompletionError::AlreadyEnded`] where it was answered before.
    pub fn respond(&self, response: Response) -> Result<(), CompletionError> {
        self.0
            .respond(&response.into())
            .map_err(CompletionError::from)
    }
}

/// Why a delivery or a method call could not be ended this way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompletionError {
    /// It was ended before.
    #[error("ended before")]
    AlreadyEnded,
    /// What was staged with it could not be stored: nothing went out, and the message comes again.
    #[error("what was staged cannot be stored now")]
    WouldBlock,
    /// Anything else.
    #[error("not ended: {0}")]
    Other(String),
}

impl From<raw::CompletionError> for CompletionError {
    fn from(error: raw::CompletionError) -> Self {
        match error {
            raw::CompletionError::AlreadyEnded => Self::AlreadyEnded,
            raw::CompletionError::WouldBlock => Self::WouldBlock,
            raw::CompletionError::Other(text) => Self::Other(text),
        }
    }
}

impl From<raw::Event> for Event {
    fn from(event: raw::Event) -> Self {
        match event {
            raw::Event::Message(delivery) => Self::Message(Delivery(delivery)),
            raw::Event::Desired(update) => Self::Desired(update.into()),
            raw::Event::Method(call) => Self::Method(MethodCall(call)),
            raw::Event::Timer(tick) => Self::Timer(tick.into()),
            raw::Event::Shutdown(grace_ms) => {
                Self::Shutdown(Duration::from_millis(grace_ms.into()))
            }
        }
    }
}

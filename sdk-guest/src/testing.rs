//! Tests of modules with `cargo test`: no device and no WebAssembly, but the device's rules.
//!
//! A [`Harness`] is a device for one module.
//! Each of its calls hands something to the module and answers with a [`Handled`]: how it ended, and all that the module did meanwhile.
//!
//! ```
//! use wasm_edge_sdk::testing::{Harness, Outcome};
//! use wasm_edge_sdk::{Message, Outgoing, Result, json, log, module, twin};
//!
//! #[derive(Default)]
//! struct Hello;
//!
//! #[module]
//! impl Hello {
//!     fn message(&mut self, message: &Message) -> Result {
//!         let name = message.text()?;
//!         log::info!("greeting {name}");
//!         Outgoing::text(format!("Hello, {name}!")).property("tone", "warm").send("greetings")?;
//!         twin::report(&json!({ "last": name }))?;
//!         Ok(())
//!     }
//! }
//!
//! let mut hello = Harness::<Hello>::new();
//!
//! let handled = hello.message("Ada").expect_ok();
//! assert_eq!(handled.only_sent().output, "greetings");
//! assert_eq!(handled.only_sent().text(), "Hello, Ada!");
//! assert_eq!(handled.only_sent().property("tone"), Some("warm"));
//! assert_eq!(handled.reported, [json!({ "last": "Ada" })]);
//! assert!(handled.logged("greeting Ada"));
//!
//! let handled = hello.message(vec![0xff]);
//! assert!(matches!(handled.outcome, Outcome::Rejected(_)));
//! assert!(handled.sent.is_empty());
//! ```
//!
//! The rules are the device's: what a handler sends counts only if it answered well; sizes, names, twins, timers and payloads have the same limits; a panic ends the instance.
//! What a test does not show is in the component alone: memory, running time, the sandbox, and what queues and routes do.
//! `wasm-edge test` has the component itself for that.
//!
//! The clock stands still but for [`Harness::advance`] and [`Harness::stall`]; `std::time` and random numbers are the test machine's.
//! `/data` is [`data_folder`](crate::data_folder), a temporary folder here.
//! What is printed goes to the test's own output.
//!
//! Harnesses do not meet: each has its own twin, timers and files, whatever the number of threads.
//! Log lines reach them through the `log` facade; where a test installs a logger of its own before, that one has them.
//!
//! Tests in `src/` need nothing beside the SDK; for tests in a folder `tests/` the crate's type is `["cdylib", "rlib"]`.
//! Where Cargo is configured to build for `wasm32-wasip2`, name the machine's own target: `cargo test --target x86_64-unknown-linux-gnu`.
//! This module is not part of components.

mod harness;
#[expect(
    missing_docs,
    reason = "documented where the rest of the crate gives them their form"
)]
pub(crate) mod host;
mod incoming;
mod keys;
mod program;
mod record;
mod timers;
mod twin;
pub(crate) mod world;

pub use crate::handlers::Module;
pub use harness::Harness;
pub use incoming::Incoming;
pub use program::{MainAnswer, Program};
pub use record::{Handled, Invoked, LogLine, Outcome, Sent, TimerChange};

/// Something that goes wrong on the device, until [`Harness::clear_faults`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A queue behind this output is full: [`SendError::WouldBlock`](crate::SendError::WouldBlock).
    FullQueue(String),
    /// All queues are.
    FullQueues,
    /// What was staged cannot be stored when the handler has answered well: the message comes again. A program's `complete` fails with [`CompletionError::WouldBlock`](crate::events::CompletionError::WouldBlock).
    CommitFails,
    /// The twin takes no patches: [`twin::Error::WouldBlock`](crate::twin::Error::WouldBlock).
    FullTwin,
    /// Keys cannot be used: [`CryptoError::Other`](crate::identity::CryptoError::Other).
    KeysUnusable,
}

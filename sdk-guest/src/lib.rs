//! What a wasm-edge module in Rust is written with.
//!
//! A module is a type with a few handlers, built as a `cdylib` for `wasm32-wasip2`, and tested natively:
//!
//! ```
//! use wasm_edge_sdk::testing::Harness;
//! use wasm_edge_sdk::{Message, Outgoing, Result, log, module};
//!
//! #[derive(Default)]
//! struct Hello {
//!     greeted: u32,
//! }
//!
//! #[module]
//! impl Hello {
//!     fn message(&mut self, message: &Message) -> Result {
//!         self.greeted += 1;
//!         let name = message.text()?;
//!         log::info!("greeting {name}, number {}", self.greeted);
//!         Outgoing::text(format!("Hello, {name}!")).send("greetings")?;
//!         Ok(())
//!     }
//! }
//!
//! let handled = Harness::<Hello>::new().message("Ada").expect_ok();
//! assert_eq!(handled.only_sent().text(), "Hello, Ada!");
//! ```
//!
//! Only the handlers that are written are exported; [`module`] lists them.
//! The [`guide`] has every capability with an example.
//! What a handler may call is in the modules of this crate: [`twin`], [`timer`], [`methods`], [`identity`], [`lifecycle`], and [`Message`] and [`Outgoing`] for messages.
//! Log lines go through the `log` facade, files are `std::fs` under [`data_folder`].
//!
//! A program with a loop of its own is a plain `fn main` that asks [`events`] what happened.
//!
//! This crate owns the Rust view of the WIT package `wasm-edge:module`; the contract itself, with its limits, is the WIT.
//! Natively, calls to the host work inside of a harness of `testing`, and panic elsewhere.

#![warn(missing_docs)]

mod bindings;
mod data;
pub mod events;
mod failure;
#[expect(
    clippy::test_attr_in_doctest,
    reason = "it shows how a test is written; its lines run beside it"
)]
pub mod guide;
mod handlers;
pub mod identity;
pub mod lifecycle;
mod logger;
mod message;
pub mod methods;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod timer;
pub mod twin;

pub use data::data_folder;
pub use failure::{Failure, Result};
pub use log;
pub use logger::install_logger;
pub use message::{BodyError, Forward, Message, Outgoing, SendError, SystemProperty};
pub use serde_json::{self, Value, json};
pub use wasm_edge_sdk_macros::module;

/// What the code that [`module`] writes calls. No part of the contract: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub mod bindings {
        pub use crate::bindings::*;
    }
    pub use crate::handlers::*;
    pub use wit_bindgen;
}

/// Compiles the code of the guide for module authors.
#[cfg(doctest)]
#[doc = include_str!("../../docs/modules.md")]
struct Guide;

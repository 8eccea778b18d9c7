//! The host side of the WIT package `wasm-edge:module`, one file per interface.
//!
//! Each function checks what came from the guest, charges what it will hold, and hands on to
//! [`crate::guest::ModuleHost`].

pub(crate) mod events;
pub(crate) mod messages;

mod identity;
mod lifecycle;
mod log;
pub(crate) mod methods;
mod timer;
mod twin;

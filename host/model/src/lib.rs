//! The vocabulary of wasm-edge: identity, time, twin, message, route, manifest, status.
//!
//! Owns what these words mean: their checked types, limits and pure
//! decisions. Leaves to others everything that waits, stores, reads a clock
//! or talks: there is no I/O and no runtime here, and the time is always an
//! argument. Every other host crate builds on this one.
//!
//! The behaviour follows the public documentation of Azure IoT Hub and
//! Azure IoT Edge; where these leave room, the documentation of the item
//! says what was chosen.

pub mod identity;
pub mod time;

pub mod connection_string;
pub mod shared_access;

pub mod error;
pub mod json;
pub mod percent;

pub mod message;
pub mod route;
pub mod twin;

pub mod manifest;
pub mod status;

pub mod agent_method;
pub mod blob;
pub mod moment;

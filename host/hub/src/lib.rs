//! The hub: identity registry, twins, direct methods, telemetry; embedded in a process or on its own.
//!
//! Owns what Azure calls IoT Hub: the far side of a device. Leaves the device
//! to the daemon, which it does not know, and the meaning of twins and
//! messages to the model. An embedding process opens a [`hub::Hub`] and
//! connects its modules through [`session`]s; others come through the faces,
//! such as [`rest`], which ask [`access`] who they are.

pub mod hub;

pub mod access;
pub mod command;
pub mod error;
pub mod forward;
pub mod identity;
pub mod method;
pub mod metrics;
pub mod mqtt;
pub mod query;
pub mod rest;
pub mod server;
pub mod session;
pub mod telemetry;

pub mod store;

mod record;

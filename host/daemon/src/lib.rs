//! The device: what IoT Edge's agent, hub and daemons are, in one process.
//!
//! [`device`] is the root: it builds all parts and connects them, and nothing imports it but who runs a
//! device. The [`agent`] makes the device match a manifest, the [`supervisor`] keeps instances alive,
//! [`provisioning`] says which hub is the device's, [`upstream`] is the way to it, [`api`] the management API.
//! [`twins`], [`methods`], [`logs`], [`keys`] and [`code`] are what these share.
//! `testbed`, in the full build, is a device for one module that its author tests.

pub mod agent;
pub mod api;
pub mod code;
pub mod config;
pub mod deployment;
pub mod device;
pub mod folder;
pub mod free_memory;
pub mod images;
pub mod injector;
pub mod keys;
pub mod logs;
pub mod measure;
pub mod methods;
pub mod metrics;
pub mod pieces;
pub mod provisioning;
pub mod pulse;
pub mod queues;
pub mod supervisor;
#[cfg(feature = "testbed")]
pub mod testbed;
pub mod timekeeping;
pub mod twins;
pub mod uploads;
pub mod upstream;

mod clock;
mod record;
mod sealed;

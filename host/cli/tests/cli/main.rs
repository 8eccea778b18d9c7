//! Runs the binary as a person or a script does and compares exit code, standard output and standard error.
//!
//! Devices are faked: a small HTTP server on the socket of a temporary data folder, which answers as the management
//! API and the hub's REST interface do. Nothing here runs a module.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod deploy_check;
mod fake_device;
mod finding_the_device;
mod grammar;
mod invocation;
mod pipes;
mod snapshots;
mod verbs;

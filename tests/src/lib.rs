//! The harness of the black-box tests: it starts the binary, feeds it, and waits for what it does.
//!
//! It owns processes, private home folders and test deployments, and knows the product only as a user does: by its
//! command line, its output, its data folder and its management socket.
//! It depends on no crate of the host.
//! What is expected is said in `tests/*.rs`, one topic per file.
//!
//! Nothing here sleeps for a guess: a wait names what it waits for, looks often, and fails loudly after
//! [`wait::LIMIT`] with all that the process printed.

pub mod blob_stand_in;
pub mod certificates;
pub mod console;
pub mod daemon;
pub mod debian;
pub mod deployment;
pub mod desk;
pub mod doors;
pub mod dps_stand_in;
pub mod home;
pub mod hostile_registry;
pub mod http;
pub mod hub;
pub mod line;
pub mod lines;
pub mod management;
pub mod meddler;
pub mod mqtt;
pub mod numbers;
pub mod oci_clients;
pub mod outcome;
pub mod package;
pub mod padding;
pub mod paths;
pub mod process;
pub mod proxy;
pub mod python;
pub mod registry;
pub mod rude;
pub mod run;
pub mod service;
pub mod soak;
pub mod space;
pub mod tls;
pub mod tokens;
pub mod wait;

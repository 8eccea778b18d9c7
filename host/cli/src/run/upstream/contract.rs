//! What every `Upstream` does: one suite, run against the hub in this process and against the same hub over loopback
//! TLS, as a device on the network meets it.
//!
//! The command line is the only crate that knows both sides. [`bed`] builds them, `cases` holds what has to be true of
//! both, `wire` what only a network can do.

mod bed;
mod cases;
mod wire;

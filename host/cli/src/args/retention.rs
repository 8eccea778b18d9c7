//! Options of every command that runs a hub: how much telemetry it keeps.

use std::time::Duration;

use clap::Args;
use wasm_edge_hub::telemetry::{RETENTION_MIN_BYTES, Retention};

use crate::duration;

/// How much telemetry a hub keeps.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct RetentionArgs {
    /// How much telemetry the hub keeps; the oldest goes first, read or not
    #[arg(long, value_name = "BYTES", default_value_t = Retention::default().max_bytes)]
    #[arg(value_parser = clap::value_parser!(u64).range(RETENTION_MIN_BYTES..))]
    telemetry_max_bytes: u64,

    /// How long the hub keeps telemetry, as far as it runs
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration::parse)]
    telemetry_max_age: Duration,
}

impl RetentionArgs {
    /// As the hub takes it.
    pub(crate) fn retention(&self) -> Retention {
        Retention {
            max_bytes: self.telemetry_max_bytes,
            max_age: self.telemetry_max_age,
        }
    }
}

//! The wall clock, read here and in no other place of this crate.

use std::time::UNIX_EPOCH;

use wasm_edge_model::time::Timestamp;

/// The present time.
pub(crate) fn now() -> Timestamp {
    let since_epoch = wasm_edge_clock::wall_now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

//! Tells the binary when it was built: `WASM_EDGE_BUILD_TIME`, in seconds since 1970.
//!
//! A clock that shows an earlier time is wrong, and `wasm-edge check` says so. `SOURCE_DATE_EPOCH` keeps builds
//! reproducible (<https://reproducible-builds.org/specs/source-date-epoch/>). The script runs anew only when one of its
//! inputs changes, so the time is that of an earlier build in the same target folder, which is early enough.
//!
//! `build/sdk_files.rs` makes the table of the SDK's files that the binary carries.

#[path = "build/sdk_files.rs"]
mod sdk_files;

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let given = std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = given.unwrap_or_else(|| now().map_or(0, |time| time.as_secs()));
    println!("cargo::rustc-env=WASM_EDGE_BUILD_TIME={seconds}");
    sdk_files::write();
}

//! The files that an instance sees: its own `/data` with a quota, and what was granted by name.
//!
//! wasmtime-wasi does the work on descriptors; [`guard`] stands in front of it and lets through only
//! what lies in `/data` or in a grant. [`grants`] opens and checks grants, [`quota`] counts `/data`.

pub(crate) mod grants;
pub(crate) mod guard;
pub(crate) mod quota;

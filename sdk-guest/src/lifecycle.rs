//! The module's own say on its start.

use crate::bindings::lifecycle as raw;

/// Says that the module is ready, so that modules with a later `startupOrder` may start.
///
/// A module that calls this anywhere is not ready before it did; one that never does is ready when its `init` answered well.
/// Calls after the first change nothing.
pub fn ready() {
    raw::ready();
}

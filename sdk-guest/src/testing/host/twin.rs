//! `twin`: the test's twin.

use crate::bindings::generated::wasm_edge::module::twin as wit;
use crate::testing::{Fault, world};

pub use wit::{DesiredUpdate, TwinError};

pub fn desired() -> String {
    world::current().lock().twin.desired_text()
}

pub fn reported() -> String {
    world::current().lock().twin.reported_text()
}

pub fn update_reported(patch: &str) -> Result<(), TwinError> {
    let world = world::current();
    let mut state = world.lock();
    if state.has(&Fault::FullTwin) {
        return Err(TwinError::WouldBlock);
    }
    let patch = state.twin.report(patch)?;
    state.record.reported.push(patch);
    Ok(())
}

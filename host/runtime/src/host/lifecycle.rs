//! `lifecycle`: the module says that it is ready.

use crate::bindings::wasm_edge::module::lifecycle;
use crate::state::GuestState;

impl lifecycle::Host for GuestState {
    fn ready(&mut self) -> wasmtime::Result<()> {
        self.host.ready();
        Ok(())
    }
}

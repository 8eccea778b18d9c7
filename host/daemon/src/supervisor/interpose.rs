//! Standing between a module's instances and the device: a test bed sees, and changes, what passes.

use wasm_edge_runtime::exit::Exit;
use wasm_edge_runtime::instance::InstanceConfig;

/// Stands between the instances of all modules and the device.
pub trait Interposer: Send + Sync + 'static {
    /// An instance is about to start; it gets what is answered.
    fn starting(&self, config: InstanceConfig) -> InstanceConfig;

    /// An instance has ended.
    fn ended(&self, exit: &Exit);
}

//! Where the module's own files are.

use std::path::PathBuf;

/// The module's own folder, which stays over restarts: `/data`, or, in a test, the harness's.
///
/// It takes 16 MiB unless the manifest says otherwise; beyond it, writing fails.
///
/// # Panics
/// Outside of a component and of a harness.
pub fn data_folder() -> PathBuf {
    #[cfg(target_arch = "wasm32")]
    return PathBuf::from("/data");
    #[cfg(not(target_arch = "wasm32"))]
    return crate::testing::world::current().data_folder();
}

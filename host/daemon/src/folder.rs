//! The data folder of a process, for the root that opens it and hands its parts to devices and hub.

pub use wasm_edge_store::folder::device::DeviceFolder;
pub use wasm_edge_store::folder::{DataFolder, FolderError};

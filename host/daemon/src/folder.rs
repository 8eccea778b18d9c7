//! The data folder of a process, for the root that opens it and hands its parts to devices and hub.

pub use wasm_edge_store::folder::device::DeviceFolder;
pub use wasm_edge_store::folder::view::DataFolderView;
pub use wasm_edge_store::folder::{DataFolder, FORMAT_VERSION, FolderError};

/// A look at a data folder from outside, for `wasm-edge check`.
pub mod survey {
    pub use wasm_edge_store::database::{DatabaseError, RecordedFormat};
    pub use wasm_edge_store::keys::{KeyError, MASTER_KEY_BYTES};
    pub use wasm_edge_store::survey::{Content, DatabaseFile, Holder, KeyFile, Survey};
}

//! What is told while a deployment is prepared and applied.

use std::time::Duration;

use wasm_edge_model::identity::ModuleId;

/// What is worth telling while a deployment is prepared and applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// An image is pulled; told in steps.
    Pulling {
        /// The module.
        module: ModuleId,
        /// Bytes of it that are here.
        done_bytes: u64,
        /// All of its bytes.
        size_bytes: u64,
    },
    /// A component is loaded or compiled.
    Loading {
        /// The module.
        module: ModuleId,
        /// Size of the component in bytes.
        size_bytes: usize,
    },
    /// Its code was compiled.
    Compiled {
        /// The module.
        module: ModuleId,
        /// How long it took.
        took: Duration,
    },
    /// Its code was there already.
    Cached {
        /// The module.
        module: ModuleId,
    },
    /// A mirror did not serve an image, which came from elsewhere.
    MirrorFailed {
        /// The mirror's address.
        mirror: String,
        /// Why not.
        problem: String,
    },
    /// Nobody could be asked what a tag means now, and the image that it meant before is taken.
    ImageBefore {
        /// The module.
        module: ModuleId,
        /// Which image that is, and why.
        warning: String,
    },
    /// A module was not ready in time; the others go on.
    NotReady {
        /// The module.
        module: ModuleId,
    },
}

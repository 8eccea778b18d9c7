//! The calls to the host; the rest of the crate gives them their Rust form.
//!
//! In a component they are the imports of the WIT package as generated.
//! Elsewhere there is no host: the records and variants are the same, and the calls lead to the harness of `testing`.

#[expect(missing_docs, reason = "generated from the WIT")]
pub(crate) mod generated {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package wasm-edge:sdk;
            world sdk {
                include wasm-edge:module/imports@0.1.0;
                include wasm-edge:module/with-lifecycle@0.1.0;
                include wasm-edge:module/with-events@0.1.0;
            }
        ",
        generate_all,
    });
}

#[cfg(target_arch = "wasm32")]
pub use generated::{wasi::io::poll, wasm_edge::module::*};

#[cfg(not(target_arch = "wasm32"))]
pub use crate::testing::host::*;

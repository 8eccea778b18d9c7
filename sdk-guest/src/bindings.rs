//! The imports of the WIT package as generated; the rest of the crate gives them their Rust form.
#![expect(missing_docs, reason = "generated from the WIT")]

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

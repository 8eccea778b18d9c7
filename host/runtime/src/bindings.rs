//! The WIT package `wasm-edge:module` as Rust: generated, one world with all imports and handlers.

#![allow(
    missing_docs,
    reason = "generated from the WIT, which documents every item"
)]

wasmtime::component::bindgen!({
    path: "../../sdk-guest/wit",
    world: "wasm-edge:module/everything",
    imports: {
        "wasm-edge:module/messages.send": async | trappable,
        "wasm-edge:module/messages.forward": async | trappable,
        "wasm-edge:module/twin.update-reported": async | trappable,
        "wasm-edge:module/methods.invoke": async | trappable,
        "wasm-edge:module/events.next": async | trappable,
        "wasm-edge:module/events.[method]delivery.complete": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "wasi:io/poll": wasmtime_wasi_io::bindings::wasi::io::poll,
        "wasm-edge:module/messages.message": crate::host::messages::MessageHandle,
        "wasm-edge:module/events.delivery": crate::host::events::DeliveryHandle,
        "wasm-edge:module/events.method-call": crate::host::events::MethodCallHandle,
    },
});

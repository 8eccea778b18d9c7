//! The vocabulary of wasm-edge: identity, twin, manifest, route, message, status.

//! The binary `wasm-edge`.
fn main() {}

//! Runs WebAssembly components as module instances.
//!
//! This crate owns the engine, the loading of components, the stores that instances run in with all
//! their limits, and the host side of the WIT package `wasm-edge:module`.
//! What a module's calls lead to (queues, twins, keys, logs) is behind [`guest::ModuleHost`], which
//! the device implements.
//! It is the only crate that names wasmtime, and no type of wasmtime leaves it.

pub mod engine;
pub mod events;
pub mod exit;
pub mod guest;
#[cfg(feature = "compiler")]
pub mod inspection;
pub mod instance;
pub mod measure;
pub mod method_payload;
pub mod precompiled;
pub mod profile;
pub mod timers;

mod bindings;
mod budget;
mod code;
mod deadline;
mod filesystem;
mod host;
mod seed;
mod state;
mod stdio;
mod wasi;

#[cfg(test)]
mod fake;

//! Runs WebAssembly components: engine, component, instance, limits and the host side of the WIT.

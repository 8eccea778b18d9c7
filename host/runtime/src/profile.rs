//! The engine profiles: every setting that goes into compiled code, under a name that never changes
//! its meaning.
//!
//! An artifact says which profile it was compiled with, and an engine loads only those of its own.
//! A change to a setting needs a new profile; a golden test holds the present ones.

use wasmtime::Config;

/// A frozen set of engine settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineProfile {
    /// Native code for 64-bit machines, for the base instruction set of the architecture.
    Native64V1,
    /// Code for the Pulley interpreter on 32-bit machines.
    Pulley32V1,
}

/// The largest stack of WebAssembly frames in bytes.
/// Deep recursion in a guest ends here as a stack overflow; the fiber leaves as much again to host functions.
pub const WASM_STACK_MAX_BYTES: usize = 256 * 1024;

/// The stack of the fiber that an instance runs on, in bytes. Pages are committed when touched.
const FIBER_STACK_BYTES: usize = 512 * 1024;

/// Address space set aside per linear memory, in bytes: enough that a usual module never moves,
/// small enough that hundreds fit where address space is limited.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 20;

/// Address space set aside beyond a memory that had to move, in bytes.
const MEMORY_GROWTH_RESERVATION_BYTES: u64 = 1 << 20;

/// The guard behind each linear memory, in bytes.
const MEMORY_GUARD_BYTES: u64 = 64 * 1024;

/// Address space that an instance sets aside at its start, in bytes: its memory, its guard and its stack.
pub const INSTANCE_RESERVATION_BYTES: u64 =
    MEMORY_RESERVATION_BYTES + MEMORY_GUARD_BYTES + FIBER_STACK_BYTES as u64;

impl EngineProfile {
    /// The profile of the machine this program was built for.
    pub const fn of_this_machine() -> Self {
        if cfg!(target_pointer_width = "64") {
            Self::Native64V1
        } else {
            Self::Pulley32V1
        }
    }

    /// The name that artifacts and folders carry, such as `native64-1`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native64V1 => "native64-1",
            Self::Pulley32V1 => "pulley32-1",
        }
    }

    /// The target that compiled code is made for.
    ///
    /// Naming it keeps the features of the compiling machine's processor out of the code.
    fn target(self) -> &'static str {
        match self {
            Self::Native64V1 if cfg!(target_arch = "aarch64") => "aarch64-unknown-linux-gnu",
            Self::Native64V1 => "x86_64-unknown-linux-gnu",
            Self::Pulley32V1 => "pulley32",
        }
    }

    /// The engine configuration of this profile.
    pub(crate) fn config(self) -> wasmtime::Result<Config> {
        let mut config = Config::new();
        config
            .target(self.target())?
            .epoch_interruption(true)
            .concurrency_support(false)
            .max_wasm_stack(WASM_STACK_MAX_BYTES)
            .async_stack_size(FIBER_STACK_BYTES)
            .memory_reservation(MEMORY_RESERVATION_BYTES)
            .memory_reservation_for_growth(MEMORY_GROWTH_RESERVATION_BYTES)
            .memory_guard_size(MEMORY_GUARD_BYTES)
            .guard_before_linear_memory(false)
            .memory_may_move(true)
            .memory_init_cow(true)
            .table_lazy_init(true)
            .generate_address_map(false)
            .debug_symbols(false)
            .native_unwind_info(false)
            .signals_based_traps(matches!(self, Self::Native64V1))
            .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
        features(&mut config);
        compilation(&mut config);
        Ok(config)
    }
}

/// The proposals that a component may use, each named so that a new wasmtime changes nothing.
fn features(config: &mut Config) {
    config
        .wasm_multi_memory(true)
        .wasm_multi_value(true)
        .wasm_bulk_memory(true)
        .wasm_tail_call(true)
        .wasm_extended_const(true)
        .wasm_simd(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .shared_memory(false);
}

#[cfg(feature = "compiler")]
fn compilation(config: &mut Config) {
    config
        .strategy(wasmtime::Strategy::Cranelift)
        .cranelift_opt_level(wasmtime::OptLevel::Speed)
        .cranelift_nan_canonicalization(false);
}

#[cfg(not(feature = "compiler"))]
fn compilation(_config: &mut Config) {}

#[cfg(all(test, feature = "compiler"))]
mod tests;

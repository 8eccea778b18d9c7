//! From an error of a call to the way the instance ended.

use wasm_edge_model::manifest::Limits;
use wasmtime::component::ResourceTableError;
use wasmtime::{Error, Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::calls::WAIT_MAX;
use crate::exit::{Exit, ExitReason};
use crate::guest::{InjectedFailure, cut};
use crate::host::events::HostLimitExceeded;
use crate::state::GuestState;

/// Longest cause that is kept, in bytes.
const CAUSE_MAX_BYTES: usize = 2048;

/// Functions of a backtrace that are kept.
const BACKTRACE_MAX: usize = 32;

/// A guest ran longer than its deadline.
#[derive(Debug, thiserror::Error)]
#[error("the call deadline is over")]
pub(super) struct DeadlineExceeded;

/// A call waited longer in the host than any may.
#[derive(Debug, thiserror::Error)]
#[error("a call waited too long in the host")]
pub(super) struct WaitedTooLong;

/// A trap that a test bed asked for.
#[derive(Debug, thiserror::Error)]
#[error("a trap that was injected")]
pub(crate) struct InjectedTrap;

/// The error of a call that ends as a test bed asked for.
pub(crate) fn injected(failure: InjectedFailure) -> Error {
    match failure {
        InjectedFailure::Trap => Error::new(InjectedTrap),
        InjectedFailure::Deadline => Error::new(DeadlineExceeded),
    }
}

/// Says how an instance ended whose call failed with `err`.
pub(super) fn exit(err: &Error, store: &mut Store<GuestState>, limits: &Limits) -> Exit {
    let out_of_memory = store.data_mut().limiter.take_refused();
    let reason = reason(err, out_of_memory, limits);
    Exit {
        reason,
        backtrace: backtrace(err),
        over_message: false,
    }
}

fn reason(err: &Error, out_of_memory: bool, limits: &Limits) -> ExitReason {
    if let Some(I32Exit(code)) = err.downcast_ref::<I32Exit>() {
        return ExitReason::Exited { code: *code };
    }
    if err.is::<DeadlineExceeded>() {
        return ExitReason::DeadlineExceeded {
            limit_ms: millis(limits.call_deadline),
        };
    }
    if err.is::<WaitedTooLong>() {
        return ExitReason::WaitedTooLong {
            limit_ms: millis(WAIT_MAX),
        };
    }
    if let Some(HostLimitExceeded(cause)) = err.downcast_ref::<HostLimitExceeded>() {
        return ExitReason::HostLimit {
            cause: cause.clone(),
        };
    }
    if let Some(ResourceTableError::Full) = err.downcast_ref::<ResourceTableError>() {
        return ExitReason::HostLimit {
            cause: "the module holds too many handles".to_owned(),
        };
    }
    let cause = cut(format!("{:#}", root(err)), CAUSE_MAX_BYTES);
    if is_transfer_limit(&cause) {
        return ExitReason::HostLimit { cause };
    }
    if out_of_memory {
        return ExitReason::OutOfMemory {
            limit_bytes: limits.memory_limit_bytes,
        };
    }
    ExitReason::Trapped { cause }
}

/// wasmtime keeps these two errors to itself; their words are all there is.
fn is_transfer_limit(cause: &str) -> bool {
    cause.contains("store handle limit exceeded") || cause.contains("fuel allocated for hostcalls")
}

/// The trap itself, without wasmtime's list of frames in front.
fn root(err: &Error) -> String {
    match err.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => err.root_cause().to_string(),
    }
}

fn backtrace(err: &Error) -> Vec<String> {
    let Some(backtrace) = err.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let names = backtrace
        .frames()
        .iter()
        .filter_map(|frame| frame.func_name());
    names
        .take(BACKTRACE_MAX)
        .map(|name| cut(format!("{:#}", rustc_demangle::demangle(name)), 256))
        .collect()
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! One call into a guest: its clock starts anew, its waits are bounded, others get their turns.

use std::time::Duration;

use wasmtime::{Result, Store};

use super::failure::WaitedTooLong;
use crate::engine::Engine;
use crate::state::GuestState;

/// Longest time that one call may last, waits in the host included: a direct method may take 300 s to
/// connect and 300 s to answer.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(660);

/// Runs a call of a handler.
pub(super) async fn bounded<T>(
    engine: &Engine,
    store: &mut Store<GuestState>,
    call: impl AsyncFnOnce(&mut Store<GuestState>) -> Result<T>,
) -> Result<T> {
    match wasm_edge_clock::timeout(WAIT_MAX, unbounded(engine, store, call)).await {
        Ok(result) => result,
        Err(_) => Err(wasmtime::Error::new(WaitedTooLong)),
    }
}

/// Runs a call that may wait for ever: a program's `run`.
pub(super) async fn unbounded<T>(
    engine: &Engine,
    store: &mut Store<GuestState>,
    call: impl AsyncFnOnce(&mut Store<GuestState>) -> Result<T>,
) -> Result<T> {
    store.data().deadline.restart();
    // What an earlier call was refused and got over is no reason of this one's failure.
    store.data_mut().limiter.take_refused();
    store.set_epoch_deadline(1);
    let _running = engine.running();
    call(store).await
}

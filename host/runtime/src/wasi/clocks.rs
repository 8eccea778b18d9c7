//! `wasi:clocks` on the time of the device's parts: the machine's own clocks, or a virtual one in a test bed.

use std::time::{Duration, UNIX_EPOCH};

use tokio::time::Instant;
use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::clocks::{
    HostMonotonicClock, HostWallClock, WasiClocksCtxView, WasiClocksView as _,
};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{WasiCtxBuilder, async_trait};

use crate::state::GuestState;

/// Gives a guest virtual clocks where this thread has one; else it has the machine's.
pub(crate) fn choose(wasi: &mut WasiCtxBuilder) {
    if wasm_edge_clock::is_virtual() {
        let started = wasm_edge_clock::now();
        wasi.wall_clock(VirtualWall)
            .monotonic_clock(VirtualMonotonic { started });
    }
}

pub(super) struct HasClocks;

impl HasData for HasClocks {
    type Data<'a> = Clocks<'a>;
}

/// `wasi:clocks/monotonic-clock`, whose waits are on virtual time where the clock is.
pub(crate) struct Clocks<'a>(WasiClocksCtxView<'a>);

impl GuestState {
    pub(super) fn monotonic_clock(&mut self) -> Clocks<'_> {
        Clocks(self.clocks())
    }
}

impl Clocks<'_> {
    fn subscribe(&mut self, wait: Duration) -> wasmtime::Result<Resource<DynPollable>> {
        let at = wasm_edge_clock::now().checked_add(wait);
        let wait = self.0.table.push(VirtualWait { at })?;
        subscribe(self.0.table, wait)
    }
}

impl monotonic_clock::Host for Clocks<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.0.now()
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        self.0.resolution()
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        if !wasm_edge_clock::is_virtual() {
            return self.0.subscribe_instant(when);
        }
        let wait = when.saturating_sub(self.0.now()?);
        self.subscribe(Duration::from_nanos(wait))
    }

    fn subscribe_duration(&mut self, wait: u64) -> wasmtime::Result<Resource<DynPollable>> {
        if !wasm_edge_clock::is_virtual() {
            return self.0.subscribe_duration(wait);
        }
        self.subscribe(Duration::from_nanos(wait))
    }
}

struct VirtualWall;

impl HostWallClock for VirtualWall {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        wasm_edge_clock::wall_now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }
}

struct VirtualMonotonic {
    started: Instant,
}

impl HostMonotonicClock for VirtualMonotonic {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        let passed = wasm_edge_clock::now().duration_since(self.started);
        u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Ready at a virtual time; never for one too far to be told.
struct VirtualWait {
    at: Option<Instant>,
}

#[async_trait]
impl Pollable for VirtualWait {
    async fn ready(&mut self) {
        match self.at {
            Some(at) => wasm_edge_clock::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

//! The parts of WASI 0.2 that modules get. What is not linked here cannot be imported at all.

pub(crate) mod clocks;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::{cli, filesystem, random};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_io::bindings::wasi::io;

use crate::deadline::Deadline;
use crate::engine::Clock;
use crate::filesystem::guard::{GuardedFiles, HasFiles};
use crate::state::{GuestState, Kind};
use clocks::HasClocks;

/// Adds the allowed interfaces: clocks, random numbers, environment, arguments, standard streams,
/// files. No sockets, no HTTP.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    type T = GuestState;
    let l = linker;
    io::error::add_to_linker::<T, HasTable>(l, |t| &mut t.table)?;
    io::streams::add_to_linker::<T, HasTable>(l, |t| &mut t.table)?;
    io::poll::add_to_linker::<T, HasWaits>(l, GuestState::waits)?;
    wall_clock::add_to_linker::<T, WasiClocks>(l, T::clocks)?;
    monotonic_clock::add_to_linker::<T, HasClocks>(l, GuestState::monotonic_clock)?;
    random::random::add_to_linker::<T, WasiRandom>(l, |t| t.wasi.random())?;
    random::insecure::add_to_linker::<T, WasiRandom>(l, |t| t.wasi.random())?;
    random::insecure_seed::add_to_linker::<T, WasiRandom>(l, |t| t.wasi.random())?;
    cli::exit::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::environment::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::stdin::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::stdout::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::stderr::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_input::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_output::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stdin::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stdout::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stderr::add_to_linker::<T, WasiCli>(l, T::cli)?;
    filesystem::types::add_to_linker::<T, HasFiles>(l, GuestState::guarded_files)?;
    filesystem::preopens::add_to_linker::<T, HasFiles>(l, GuestState::guarded_files)
}

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl GuestState {
    fn waits(&mut self) -> Waits<'_> {
        Waits {
            table: &mut self.table,
            deadline: &self.deadline,
            clock: &self.clock,
            kind: self.kind,
        }
    }

    fn guarded_files(&mut self) -> GuardedFiles<'_> {
        GuardedFiles {
            files: &mut self.files,
            table: &mut self.table,
            budget: &self.budget,
        }
    }
}

struct HasWaits;

impl HasData for HasWaits {
    type Data<'a> = Waits<'a>;
}

/// `wasi:io/poll`, in which a program's wait starts its running time anew.
pub(crate) struct Waits<'a> {
    table: &'a mut ResourceTable,
    deadline: &'a Deadline,
    clock: &'a Clock,
    kind: Kind,
}

impl Waits<'_> {
    fn waited(&self) {
        if self.kind == Kind::Program {
            self.deadline.restart();
        }
    }
}

impl io::poll::Host for Waits<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let paused = self.clock.pause();
        let ready = io::poll::Host::poll(self.table, pollables).await;
        drop(paused);
        self.waited();
        ready
    }
}

impl io::poll::HostPollable for Waits<'_> {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        io::poll::HostPollable::ready(self.table, pollable).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        let paused = self.clock.pause();
        let ready = io::poll::HostPollable::block(self.table, pollable).await;
        drop(paused);
        self.waited();
        ready
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        io::poll::HostPollable::drop(self.table, pollable)
    }
}

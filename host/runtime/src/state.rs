//! What lies behind a store: the data that host calls of one instance work on.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;

use crate::budget::{Charge, HostBudget, MemoryLimiter};
use crate::deadline::Deadline;
use crate::engine::Clock;
use crate::events::SharedEvents;
use crate::filesystem::guard::Files;
use crate::guest::{ModuleHost, Staged};
use crate::instance::Gauges;

/// How a component is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The host calls its handlers.
    Handlers,
    /// It has a loop of its own.
    Program,
}

/// A message that waits for the end of the call that sent it, with its place in the host budget.
pub(crate) struct StagedSend {
    pub(crate) staged: Staged,
    _charge: Charge,
}

impl StagedSend {
    pub(crate) fn new(staged: Staged, charge: Charge) -> Self {
        Self {
            staged,
            _charge: charge,
        }
    }
}

/// The data of one store.
pub(crate) struct GuestState {
    pub(crate) host: Arc<dyn ModuleHost>,
    pub(crate) kind: Kind,
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) files: Files,
    pub(crate) limiter: MemoryLimiter,
    pub(crate) budget: Arc<HostBudget>,
    pub(crate) deadline: Deadline,
    pub(crate) clock: Clock,
    pub(crate) events: SharedEvents,
    pub(crate) gauges: Arc<Gauges>,
    /// What the running handler has sent; always empty for a program outside a delivery.
    pub(crate) staged: Vec<StagedSend>,
}

impl GuestState {
    /// Takes what the call that just ended has sent.
    pub(crate) fn take_staged(&mut self) -> Vec<Staged> {
        self.staged.drain(..).map(|send| send.staged).collect()
    }
}

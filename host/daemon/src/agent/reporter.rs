//! Keeps what `$edgeAgent` and `$edgeHub` report in step with the device, as differences.
//!
//! The first change is reported at once, further ones at most once a second, so that a burst travels once.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wasm_edge_model::identity::DeviceId;
use wasm_edge_model::time::Timestamp;
use wasm_edge_model::twin::diff;
use wasm_edge_runtime::guest::TwinError;

use super::follow::OwnTwins;
use super::report::{self, Extent, Outcome, Running};
use crate::supervisor::Supervisor;
use crate::supervisor::report::ModuleReport;
use crate::twins::Twin;

/// The least time between two reports.
const PAUSE: Duration = Duration::from_secs(1);

/// What reports are made of.
#[derive(Clone)]
pub(super) struct Reporter {
    pub(super) device: DeviceId,
    pub(super) supervisor: Supervisor,
    pub(super) twins: OwnTwins,
    pub(super) outcome: watch::Receiver<Outcome>,
    /// When the agent was started.
    pub(super) started: Timestamp,
}

impl Reporter {
    /// Reports until it is told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut modules = self.supervisor.watch();
        loop {
            self.outcome.mark_unchanged();
            modules.mark_unchanged();
            if self.outcome.borrow().status.is_some() {
                self.report(Running::Yes, &self.supervisor.reports()).await;
            }
            tokio::select! {
                _ = modules.changed() => {}
                _ = self.outcome.changed() => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = wasm_edge_clock::sleep(PAUSE) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Reports these modules and how the deployment is now.
    pub(super) async fn report(&self, running: Running, modules: &[ModuleReport]) {
        let outcome = self.outcome.borrow().clone();
        let agent = |extent| report::agent(&outcome, modules, self.started, running, extent);
        store(&self.twins.agent, agent).await;
        let hub = |extent| report::hub(&self.device, &outcome, modules, running, extent);
        store(&self.twins.hub, hub).await;
    }
}

/// Stores the largest extent that the twin takes; its session sends what differs.
async fn store(twin: &Twin, reported: impl Fn(Extent) -> Map<String, Value>) {
    for extent in [Extent::Full, Extent::Less, Extent::Least] {
        let patch = match extent {
            Extent::Full | Extent::Less => diff(&twin.reported_properties(), &reported(extent)),
            // What is there beside stays: it fitted.
            Extent::Least => reported(extent),
        };
        match twin.report(&patch).await {
            Ok(_) => return,
            Err(err @ TwinError::Limit(_)) => {
                tracing::debug!(module = %twin.module(), ?extent, %err, "a report is too large");
            }
            Err(err) => {
                tracing::error!(module = %twin.module(), %err, "a report cannot be stored");
                return;
            }
        }
    }
}

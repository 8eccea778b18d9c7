//! Whether a deployment is healthy: pure.
//!
//! Looks at the modules that a deployment touched, as the supervisor reports them. Leaves waiting, and what
//! follows from an answer, to the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::manifest::DesiredStatus;
use wasm_edge_model::status::RuntimeStatus;

use crate::supervisor::report::ModuleReport;

/// How long all has to stay well before a deployment counts as healthy: a module that fails right after it said
/// that it is ready is not.
const SETTLE: Duration = Duration::from_secs(2);

/// What is looked at until a deployment is healthy, or its time is over.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    touched: BTreeSet<ModuleId>,
    deadline: Instant,
    settle: Duration,
    /// Since when all is well without a restart, and the restarts at that time.
    well: Option<(Instant, BTreeMap<ModuleId, u64>)>,
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All is well and stayed so.
    Healthy,
    /// Its time is over, and this is wrong.
    Unhealthy(Vec<String>),
    /// Not decided; nothing changes before this time unless a module does.
    Undecided(Instant),
}

impl Watch {
    /// Watches these modules for at most `timeout` from `now` on.
    pub(super) fn new(touched: BTreeSet<ModuleId>, timeout: Duration, now: Instant) -> Self {
        Self {
            touched,
            deadline: now + timeout,
            settle: SETTLE.min(timeout / 2),
            well: None,
        }
    }

    /// Looks at the modules as they are at `now`.
    pub(super) fn look(&mut self, reports: &[ModuleReport], now: Instant) -> Verdict {
        if self.touched.is_empty() {
            return Verdict::Healthy;
        }
        let wrong = self.wrong(reports);
        if !wrong.is_empty() {
            self.well = None;
            if now >= self.deadline {
                return Verdict::Unhealthy(wrong);
            }
            return Verdict::Undecided(self.deadline);
        }
        let restarts: BTreeMap<ModuleId, u64> = reports
            .iter()
            .map(|report| (report.module().clone(), report.restart_count))
            .collect();
        // Well at the deadline is given the time to stay so: it may have become ready at the last moment.
        let since = match &self.well {
            Some((since, before)) if *before == restarts => *since,
            _ => now,
        };
        self.well = Some((since, restarts));
        let settled = since + self.settle;
        if now >= settled {
            Verdict::Healthy
        } else {
            Verdict::Undecided(settled)
        }
    }

    fn wrong(&self, reports: &[ModuleReport]) -> Vec<String> {
        self.touched
            .iter()
            .filter_map(|id| {
                let report = reports.iter().find(|report| report.module() == id);
                match report {
                    Some(report) => not_well(report),
                    None => Some(format!("module `{id}` is not there")),
                }
            })
            .collect()
    }
}

/// What is wrong with a module, if anything.
fn not_well(report: &ModuleReport) -> Option<String> {
    if report.spec.status == DesiredStatus::Stopped {
        return None;
    }
    let id = report.module();
    match report.status {
        RuntimeStatus::Running if report.ready => None,
        RuntimeStatus::Running | RuntimeStatus::Unknown => {
            Some(format!("module `{id}` is not ready"))
        }
        // It ended well, and its policy lets it stay so; or a person stopped it.
        RuntimeStatus::Stopped => None,
        RuntimeStatus::Backoff
        | RuntimeStatus::Unhealthy
        | RuntimeStatus::Failed
        | RuntimeStatus::Dead => Some(format!(
            "module `{id}` is in status `{}`: {}",
            report.status, report.status_description
        )),
    }
}

#[cfg(test)]
mod tests;

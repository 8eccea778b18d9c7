//! Asks one running instance for its health, and says when an answer did not come in time.
//!
//! What follows from the answers is decided in [`super::life`].

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use wasm_edge_model::manifest::Supervision;
use wasm_edge_runtime::events::Control;

/// How the health of modules is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthChecks {
    /// Time from one question to the next.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Failures in a row that make a module unhealthy.
    pub failures_max: u32,
}

impl Default for HealthChecks {
    /// Every 30 s, 30 s for an answer, three failures.
    fn default() -> Self {
        Self {
            interval: Supervision::HEALTH_INTERVAL_DEFAULT,
            timeout: Supervision::HEALTH_TIMEOUT_DEFAULT,
            failures_max: Supervision::HEALTH_FAILURES_MAX_DEFAULT,
        }
    }
}

/// What an instance said of its health: nothing, or what is wrong.
pub(super) type Checked = Result<(), String>;

/// The questions to one instance. At most one of them waits for it at a time.
#[derive(Debug)]
pub(super) struct Questions {
    checks: HealthChecks,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The next question is put at that time; an answer that comes before, if one is still open, is late.
    Waits {
        until: Instant,
        open: Option<oneshot::Receiver<Checked>>,
    },
    /// A question waits for its answer until then; `None` if the instance's queue has had no place for it.
    Asked {
        since: Instant,
        open: Option<oneshot::Receiver<Checked>>,
    },
}

impl Questions {
    /// Questions from now on, the first after one interval.
    pub(super) fn new(checks: HealthChecks) -> Self {
        let until = wasm_edge_clock::now() + checks.interval;
        let phase = Phase::Waits { until, open: None };
        Self { checks, phase }
    }

    /// Goes on by other settings, from the next question on.
    pub(super) fn set(&mut self, checks: HealthChecks) {
        self.checks = checks;
    }

    /// Puts the questions; done with each answer, or each time there is none in time.
    ///
    /// A question that was not answered in time stays the open one, so that an instance that is long busy
    /// finds one of them in its queue, not many.
    ///
    /// # Cancel safety
    /// Goes on where it was with the next call.
    pub(super) async fn next(&mut self, control: &mpsc::Sender<Control>) -> Checked {
        loop {
            match &mut self.phase {
                Phase::Waits { until, open } => {
                    let until = *until;
                    wasm_edge_clock::sleep_until(until).await;
                    let open = open.take().filter(oneshot::Receiver::is_empty);
                    let since = wasm_edge_clock::now();
                    self.phase = Phase::Asked { since, open };
                }
                Phase::Asked { since, open: None } => {
                    let due = *since + self.checks.timeout;
                    let Ok(place) = wasm_edge_clock::timeout_at(due, control.reserve()).await
                    else {
                        return self.unanswered(None);
                    };
                    let Ok(place) = place else {
                        // The instance has ended, which is told otherwise.
                        return std::future::pending().await;
                    };
                    let (answer, open) = oneshot::channel();
                    place.send(Control::Health(answer));
                    let since = *since;
                    self.phase = Phase::Asked {
                        since,
                        open: Some(open),
                    };
                }
                Phase::Asked {
                    since,
                    open: Some(open),
                } => {
                    let due = *since + self.checks.timeout;
                    match wasm_edge_clock::timeout_at(due, &mut *open).await {
                        Ok(Ok(checked)) => {
                            self.wait(None);
                            return checked;
                        }
                        // It ended over the question.
                        Ok(Err(_)) => return std::future::pending().await,
                        Err(_) => {
                            let open = self.take_open();
                            return self.unanswered(open);
                        }
                    }
                }
            }
        }
    }

    fn unanswered(&mut self, open: Option<oneshot::Receiver<Checked>>) -> Checked {
        self.wait(open);
        let timeout_ms = self.checks.timeout.as_millis();
        Err(format!("no answer within {timeout_ms} ms"))
    }

    /// Waits for the time of the next question, which is counted from the last one.
    fn wait(&mut self, open: Option<oneshot::Receiver<Checked>>) {
        let asked = match self.phase {
            Phase::Asked { since, .. } => since,
            Phase::Waits { until, .. } => until,
        };
        let until = (asked + self.checks.interval).max(wasm_edge_clock::now());
        self.phase = Phase::Waits { until, open };
    }

    fn take_open(&mut self) -> Option<oneshot::Receiver<Checked>> {
        match &mut self.phase {
            Phase::Waits { open, .. } | Phase::Asked { open, .. } => open.take(),
        }
    }
}

#[cfg(test)]
mod tests;

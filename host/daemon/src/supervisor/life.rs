//! The life of one module: one enum and one pure transition function.
//!
//! The time is passed in; what is to be done comes out as an [`Action`], and the module's task does it.

use std::time::Duration;

use tokio::time::Instant;
use wasm_edge_model::manifest::{ModuleSpec, RestartPolicy, Supervision};

use super::health::HealthChecks;

/// How long a module waits before it is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartWaits {
    /// Before the first restart; it doubles with each further one.
    pub first: Duration,
    /// The longest wait; one below `first` is as long as that.
    pub max: Duration,
    /// A module that has run so long without a failure begins anew.
    pub forgiven_after: Duration,
}

impl Default for RestartWaits {
    /// 10 s, doubling to 300 s, forgiven after 10 minutes (IoT Edge's restart policy).
    fn default() -> Self {
        Self {
            first: Supervision::RESTART_WAIT_DEFAULT,
            max: Supervision::RESTART_WAIT_MAX_DEFAULT,
            forgiven_after: Supervision::RESTART_FORGIVEN_AFTER_DEFAULT,
        }
    }
}

/// What a module's life goes by: what its manifest says, and where it does not, the device's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// When it is started again.
    pub policy: RestartPolicy,
    /// How long it waits before.
    pub waits: RestartWaits,
    /// How its health is asked.
    pub health: HealthChecks,
}

impl Rules {
    /// Those of one module on a device with these settings.
    pub fn of(spec: &ModuleSpec, waits: &RestartWaits, health: &HealthChecks) -> Self {
        let own = &spec.supervision;
        Self {
            policy: spec.restart_policy,
            waits: RestartWaits {
                first: own.restart_wait.unwrap_or(waits.first),
                max: own.restart_wait_max.unwrap_or(waits.max),
                forgiven_after: own.restart_forgiven_after.unwrap_or(waits.forgiven_after),
            },
            health: HealthChecks {
                interval: own.health_interval.unwrap_or(health.interval),
                timeout: own.health_timeout.unwrap_or(health.timeout),
                failures_max: own.health_failures_max.unwrap_or(health.failures_max),
            },
        }
    }
}

/// Where a module is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It is not to run, and does not.
    Stopped,
    /// An instance runs, since then.
    Running {
        /// When it was started.
        since: Instant,
        /// Restarts in a row that count for the wait.
        in_a_row: u32,
        /// Health checks that failed in a row.
        failed_checks: u32,
    },
    /// An instance runs, since then; too many health checks failed, and its policy leaves it so.
    Unhealthy {
        /// When it was started.
        since: Instant,
        /// Restarts in a row that count for the wait.
        in_a_row: u32,
    },
    /// An instance was asked to stop.
    Stopping {
        /// What comes after.
        then: AfterStop,
    },
    /// No instance runs; one is started at that time.
    BackingOff {
        /// When.
        until: Instant,
        /// Restarts in a row that count for the wait.
        in_a_row: u32,
    },
    /// It ended, and its policy says that it stays so.
    Ended {
        /// Whether it ended well.
        well: bool,
    },
}

/// What follows once an instance has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterStop {
    /// Nothing.
    Stay,
    /// Another instance of the same.
    StartAgain,
    /// An instance of what takes its place.
    StartReplacement,
    /// The wait before a restart, since it was unhealthy.
    BackOff {
        /// Restarts in a row that count for the wait, without the coming one.
        in_a_row: u32,
    },
}

/// What happened to a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeEvent {
    /// It is to run.
    Start,
    /// It is not to run.
    Stop,
    /// It is to run anew.
    Restart,
    /// Other code or another configuration takes its place.
    Replace,
    /// It answered that it is well.
    CheckPassed,
    /// It answered that it is not well, or not in time.
    CheckFailed,
    /// Its instance ended.
    Exited(Ended),
    /// The wait may be over.
    Woke,
}

/// How an instance ended, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, and well.
    Well,
    /// In a failure.
    Badly,
    /// In a failure while it handled a message. The message waits then, not the module.
    OverMessage,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Start an instance.
    StartInstance,
    /// Start an instance, which counts as a restart.
    RestartInstance,
    /// Ask the instance to stop.
    StopInstance,
}

/// The next state, and what is to be done.
pub fn next(life: Life, event: LifeEvent, rules: &Rules, now: Instant) -> (Life, Action) {
    match life {
        Life::Stopped => match event {
            LifeEvent::Start => (running(now, 0), Action::StartInstance),
            _ => (life, Action::None),
        },
        Life::Ended { .. } => match event {
            LifeEvent::Start | LifeEvent::Restart => (running(now, 0), Action::RestartInstance),
            LifeEvent::Replace => (running(now, 0), Action::StartInstance),
            LifeEvent::Stop => (Life::Stopped, Action::None),
            _ => (life, Action::None),
        },
        Life::BackingOff { until, in_a_row } => match event {
            LifeEvent::Woke if now >= until => (running(now, in_a_row), Action::RestartInstance),
            LifeEvent::Start | LifeEvent::Restart => (running(now, 0), Action::RestartInstance),
            LifeEvent::Replace => (running(now, 0), Action::StartInstance),
            LifeEvent::Stop => (Life::Stopped, Action::None),
            _ => (life, Action::None),
        },
        Life::Running {
            since,
            in_a_row,
            failed_checks,
        } => match event {
            LifeEvent::CheckPassed => (running(since, in_a_row), Action::None),
            LifeEvent::CheckFailed => {
                check_failed(since, in_a_row, failed_checks.saturating_add(1), rules, now)
            }
            event => while_running(life, since, in_a_row, event, rules, now),
        },
        Life::Unhealthy { since, in_a_row } => match event {
            LifeEvent::CheckPassed => (running(since, in_a_row), Action::None),
            // The policy may have changed since.
            LifeEvent::CheckFailed => {
                check_failed(since, in_a_row, rules.health.failures_max, rules, now)
            }
            event => while_running(life, since, in_a_row, event, rules, now),
        },
        Life::Stopping { then } => while_stopping(then, event, rules, now),
    }
}

/// What happens to an instance that runs, apart from its health.
fn while_running(
    life: Life,
    since: Instant,
    in_a_row: u32,
    event: LifeEvent,
    rules: &Rules,
    now: Instant,
) -> (Life, Action) {
    let then = match event {
        LifeEvent::Stop => AfterStop::Stay,
        LifeEvent::Restart => AfterStop::StartAgain,
        LifeEvent::Replace => AfterStop::StartReplacement,
        LifeEvent::Exited(ended) => {
            let in_a_row = not_forgiven(since, in_a_row, &rules.waits, now);
            return exited(in_a_row, ended, rules, now);
        }
        _ => return (life, Action::None),
    };
    (Life::Stopping { then }, Action::StopInstance)
}

/// What is wanted last holds.
fn while_stopping(
    then: AfterStop,
    event: LifeEvent,
    rules: &Rules,
    now: Instant,
) -> (Life, Action) {
    let then = match (event, then) {
        (LifeEvent::Exited(_), AfterStop::Stay) => return (Life::Stopped, Action::None),
        (LifeEvent::Exited(_), AfterStop::StartAgain) => {
            return (running(now, 0), Action::RestartInstance);
        }
        (LifeEvent::Exited(_), AfterStop::StartReplacement) => {
            return (running(now, 0), Action::StartInstance);
        }
        (LifeEvent::Exited(_), AfterStop::BackOff { in_a_row }) => {
            return (backing_off(in_a_row, rules, now), Action::None);
        }
        (LifeEvent::Stop, _) => AfterStop::Stay,
        (LifeEvent::Start, AfterStop::Stay | AfterStop::BackOff { .. })
        | (LifeEvent::Restart, AfterStop::BackOff { .. }) => AfterStop::StartAgain,
        (LifeEvent::Replace, AfterStop::StartAgain | AfterStop::BackOff { .. }) => {
            AfterStop::StartReplacement
        }
        (_, then) => then,
    };
    (Life::Stopping { then }, Action::None)
}

fn check_failed(
    since: Instant,
    in_a_row: u32,
    failed_checks: u32,
    rules: &Rules,
    now: Instant,
) -> (Life, Action) {
    if failed_checks < rules.health.failures_max {
        let life = Life::Running {
            since,
            in_a_row,
            failed_checks,
        };
        return (life, Action::None);
    }
    match rules.policy {
        RestartPolicy::Never | RestartPolicy::OnFailure => {
            (Life::Unhealthy { since, in_a_row }, Action::None)
        }
        RestartPolicy::OnUnhealthy | RestartPolicy::Always => {
            let in_a_row = not_forgiven(since, in_a_row, &rules.waits, now);
            let then = AfterStop::BackOff { in_a_row };
            (Life::Stopping { then }, Action::StopInstance)
        }
    }
}

fn exited(in_a_row: u32, ended: Ended, rules: &Rules, now: Instant) -> (Life, Action) {
    let restarts = match rules.policy {
        RestartPolicy::Never => false,
        RestartPolicy::OnFailure | RestartPolicy::OnUnhealthy => ended != Ended::Well,
        RestartPolicy::Always => true,
    };
    match ended {
        _ if !restarts => {
            let well = ended == Ended::Well;
            (Life::Ended { well }, Action::None)
        }
        Ended::OverMessage => (running(now, in_a_row), Action::RestartInstance),
        Ended::Well | Ended::Badly => (backing_off(in_a_row, rules, now), Action::None),
    }
}

fn running(since: Instant, in_a_row: u32) -> Life {
    Life::Running {
        since,
        in_a_row,
        failed_checks: 0,
    }
}

fn backing_off(in_a_row: u32, rules: &Rules, now: Instant) -> Life {
    Life::BackingOff {
        until: now + wait_before(in_a_row, &rules.waits),
        in_a_row: in_a_row.saturating_add(1),
    }
}

/// The restarts in a row that still count for a module that was started at `since`.
fn not_forgiven(since: Instant, in_a_row: u32, waits: &RestartWaits, now: Instant) -> u32 {
    let forgiven = now.duration_since(since) >= waits.forgiven_after;
    if forgiven { 0 } else { in_a_row }
}

/// The wait after so many restarts in a row.
fn wait_before(in_a_row: u32, waits: &RestartWaits) -> Duration {
    let factor = 1_u32.checked_shl(in_a_row.min(31)).unwrap_or(u32::MAX);
    let most = waits.max.max(waits.first);
    waits.first.saturating_mul(factor).min(most)
}

#[cfg(test)]
mod tests;

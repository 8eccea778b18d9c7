//! The life of one module: one enum and one pure transition function.
//!
//! The time is passed in; what is to be done comes out as an [`Action`], and the module's task does it.

use std::time::Duration;

use tokio::time::Instant;
use wasm_edge_model::manifest::RestartPolicy;

/// How long a module waits before it is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartWaits {
    /// Before the first restart; it doubles with each further one.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
    /// A module that has run so long without a failure begins anew.
    pub forgiven_after: Duration,
}

impl Default for RestartWaits {
    /// 10 s, doubling to 300 s, forgiven after 10 minutes (IoT Edge's restart policy).
    fn default() -> Self {
        Self {
            first: Duration::from_secs(10),
            max: Duration::from_secs(300),
            forgiven_after: Duration::from_secs(600),
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
    /// Another instance.
    StartAgain,
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
    /// Ask the instance to stop.
    StopInstance,
}

/// The next state, and what is to be done.
pub fn next(
    life: Life,
    event: LifeEvent,
    policy: RestartPolicy,
    waits: &RestartWaits,
    now: Instant,
) -> (Life, Action) {
    let started = |in_a_row| {
        (
            Life::Running {
                since: now,
                in_a_row,
            },
            Action::StartInstance,
        )
    };
    match (life, event) {
        (
            Life::Stopped | Life::Ended { .. } | Life::BackingOff { .. },
            LifeEvent::Start | LifeEvent::Restart,
        ) => started(0),
        (Life::Stopped | Life::Ended { .. } | Life::BackingOff { .. }, LifeEvent::Stop) => {
            (Life::Stopped, Action::None)
        }
        (Life::Running { .. }, LifeEvent::Stop) => (
            Life::Stopping {
                then: AfterStop::Stay,
            },
            Action::StopInstance,
        ),
        (Life::Running { .. }, LifeEvent::Restart) => (
            Life::Stopping {
                then: AfterStop::StartAgain,
            },
            Action::StopInstance,
        ),
        (Life::Stopping { .. }, LifeEvent::Start | LifeEvent::Restart) => (
            Life::Stopping {
                then: AfterStop::StartAgain,
            },
            Action::None,
        ),
        (Life::Stopping { .. }, LifeEvent::Stop) => (
            Life::Stopping {
                then: AfterStop::Stay,
            },
            Action::None,
        ),
        (
            Life::Stopping {
                then: AfterStop::Stay,
            },
            LifeEvent::Exited(_),
        ) => (Life::Stopped, Action::None),
        (
            Life::Stopping {
                then: AfterStop::StartAgain,
            },
            LifeEvent::Exited(_),
        ) => started(0),
        (Life::Running { since, in_a_row }, LifeEvent::Exited(ended)) => {
            exited(since, in_a_row, ended, policy, waits, now)
        }
        (Life::BackingOff { until, in_a_row }, LifeEvent::Woke) if now >= until => {
            started(in_a_row)
        }
        (life, _) => (life, Action::None),
    }
}

fn exited(
    since: Instant,
    in_a_row: u32,
    ended: Ended,
    policy: RestartPolicy,
    waits: &RestartWaits,
    now: Instant,
) -> (Life, Action) {
    let restarts = match policy {
        RestartPolicy::Never => false,
        RestartPolicy::OnFailure | RestartPolicy::OnUnhealthy => ended != Ended::Well,
        RestartPolicy::Always => true,
    };
    if !restarts {
        return (
            Life::Ended {
                well: ended == Ended::Well,
            },
            Action::None,
        );
    }
    let forgiven = now.duration_since(since) >= waits.forgiven_after;
    let in_a_row = if forgiven { 0 } else { in_a_row };
    if ended == Ended::OverMessage {
        return (
            Life::Running {
                since: now,
                in_a_row,
            },
            Action::StartInstance,
        );
    }
    let wait = wait_before(in_a_row, waits);
    (
        Life::BackingOff {
            until: now + wait,
            in_a_row: in_a_row.saturating_add(1),
        },
        Action::None,
    )
}

/// The wait after so many restarts in a row.
fn wait_before(in_a_row: u32, waits: &RestartWaits) -> Duration {
    let factor = 1_u32.checked_shl(in_a_row.min(31)).unwrap_or(u32::MAX);
    waits.first.saturating_mul(factor).min(waits.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: RestartWaits = RestartWaits {
        first: Duration::from_secs(10),
        max: Duration::from_secs(300),
        forgiven_after: Duration::from_secs(600),
    };

    fn check(
        life: Life,
        event: LifeEvent,
        policy: RestartPolicy,
        now: Instant,
        expected: (Life, Action),
    ) {
        assert_eq!(
            next(life, event, policy, &WAITS, now),
            expected,
            "{life:?} {event:?} {policy:?}"
        );
    }

    #[test]
    fn a_crashing_module_backs_off_twice_as_long_each_time_and_never_gives_up() {
        let mut now = Instant::now();
        let mut life = Life::Running {
            since: now,
            in_a_row: 0,
        };
        let mut waits = Vec::new();
        for _ in 0..40 {
            now += Duration::from_secs(1);
            (life, _) = next(
                life,
                LifeEvent::Exited(Ended::Badly),
                RestartPolicy::Always,
                &WAITS,
                now,
            );
            let Life::BackingOff { until, .. } = life else {
                panic!("{life:?}")
            };
            waits.push((until - now).as_secs());
            let early = next(life, LifeEvent::Woke, RestartPolicy::Always, &WAITS, now);
            assert_eq!(early, (life, Action::None));
            now = until;
            let action;
            (life, action) = next(life, LifeEvent::Woke, RestartPolicy::Always, &WAITS, now);
            assert_eq!(action, Action::StartInstance);
        }
        assert_eq!(waits[..7], [10, 20, 40, 80, 160, 300, 300]);
        assert!(waits[7..].iter().all(|wait| *wait == 300));
    }

    #[test]
    fn ten_good_minutes_are_forgiving() {
        let start = Instant::now();
        let now = start + Duration::from_secs(600);
        let expected = Life::BackingOff {
            until: now + Duration::from_secs(10),
            in_a_row: 1,
        };
        let running = Life::Running {
            since: start,
            in_a_row: 9,
        };
        check(
            running,
            LifeEvent::Exited(Ended::Badly),
            RestartPolicy::Always,
            now,
            (expected, Action::None),
        );
    }

    #[test]
    fn a_failure_over_a_message_does_not_wait_and_does_not_count() {
        let start = Instant::now();
        let now = start + Duration::from_secs(1);
        let running = Life::Running {
            since: start,
            in_a_row: 3,
        };
        let expected = Life::Running {
            since: now,
            in_a_row: 3,
        };
        let event = LifeEvent::Exited(Ended::OverMessage);
        check(
            running,
            event,
            RestartPolicy::OnUnhealthy,
            now,
            (expected, Action::StartInstance),
        );
        let ended = (Life::Ended { well: false }, Action::None);
        check(running, event, RestartPolicy::Never, now, ended);
    }

    #[test]
    fn policies_tell_good_ends_from_bad_ones() {
        let now = Instant::now();
        let running = Life::Running {
            since: now,
            in_a_row: 0,
        };
        let well = LifeEvent::Exited(Ended::Well);
        let ended = (Life::Ended { well: true }, Action::None);
        for policy in [
            RestartPolicy::Never,
            RestartPolicy::OnFailure,
            RestartPolicy::OnUnhealthy,
        ] {
            check(running, well, policy, now, ended);
        }
        let backing_off = Life::BackingOff {
            until: now + Duration::from_secs(10),
            in_a_row: 1,
        };
        check(
            running,
            well,
            RestartPolicy::Always,
            now,
            (backing_off, Action::None),
        );
    }

    #[test]
    fn what_is_wanted_last_holds_while_it_stops() {
        let now = Instant::now();
        let running = Life::Running {
            since: now,
            in_a_row: 0,
        };
        let stay = Life::Stopping {
            then: AfterStop::Stay,
        };
        let again = Life::Stopping {
            then: AfterStop::StartAgain,
        };
        let policy = RestartPolicy::Always;
        check(
            running,
            LifeEvent::Stop,
            policy,
            now,
            (stay, Action::StopInstance),
        );
        check(stay, LifeEvent::Start, policy, now, (again, Action::None));
        check(again, LifeEvent::Stop, policy, now, (stay, Action::None));
        check(
            stay,
            LifeEvent::Exited(Ended::Badly),
            policy,
            now,
            (Life::Stopped, Action::None),
        );
        check(
            again,
            LifeEvent::Exited(Ended::Well),
            policy,
            now,
            (running, Action::StartInstance),
        );
        check(
            running,
            LifeEvent::Restart,
            policy,
            now,
            (again, Action::StopInstance),
        );
        check(
            Life::Stopped,
            LifeEvent::Exited(Ended::Well),
            policy,
            now,
            (Life::Stopped, Action::None),
        );
    }
}

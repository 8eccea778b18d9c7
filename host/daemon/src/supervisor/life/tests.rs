use proptest::prelude::*;

use super::*;

const WAITS: RestartWaits = RestartWaits {
    first: Duration::from_secs(10),
    max: Duration::from_secs(300),
    forgiven_after: Duration::from_secs(600),
};

const POLICIES: [RestartPolicy; 4] = [
    RestartPolicy::Never,
    RestartPolicy::OnFailure,
    RestartPolicy::OnUnhealthy,
    RestartPolicy::Always,
];

fn rules(policy: RestartPolicy) -> Rules {
    Rules {
        policy,
        waits: WAITS,
        health: HealthChecks::default(),
    }
}

fn check(
    life: Life,
    event: LifeEvent,
    policy: RestartPolicy,
    now: Instant,
    expected: (Life, Action),
) {
    assert_eq!(
        next(life, event, &rules(policy), now),
        expected,
        "{life:?} {event:?} {policy:?}"
    );
}

fn stopping(then: AfterStop) -> Life {
    Life::Stopping { then }
}

fn waits_until(now: Instant, seconds: u64, in_a_row: u32) -> Life {
    Life::BackingOff {
        until: now + Duration::from_secs(seconds),
        in_a_row,
    }
}

#[test]
fn a_crashing_module_backs_off_twice_as_long_each_time_and_never_gives_up() {
    let rules = rules(RestartPolicy::Always);
    let mut now = Instant::now();
    let mut life = running(now, 0);
    let mut waits = Vec::new();
    for _ in 0..40 {
        now += Duration::from_secs(1);
        (life, _) = next(life, LifeEvent::Exited(Ended::Badly), &rules, now);
        let Life::BackingOff { until, .. } = life else {
            panic!("{life:?}")
        };
        waits.push((until - now).as_secs());
        let early = next(life, LifeEvent::Woke, &rules, now);
        assert_eq!(early, (life, Action::None));
        now = until;
        let action;
        (life, action) = next(life, LifeEvent::Woke, &rules, now);
        assert_eq!(action, Action::RestartInstance);
    }
    assert_eq!(waits[..7], [10, 20, 40, 80, 160, 300, 300]);
    assert!(waits[7..].iter().all(|wait| *wait == 300));
}

#[test]
fn waits_at_the_ends_of_their_range_are_kept() {
    let check = |first: u64, max: u64, in_a_row: u32, expected: u64| {
        let waits = RestartWaits {
            first: Duration::from_secs(first),
            max: Duration::from_secs(max),
            ..WAITS
        };
        let wait = wait_before(in_a_row, &waits);
        assert_eq!(wait, Duration::from_secs(expected), "{waits:?} {in_a_row}");
    };
    check(10, 10, 0, 10);
    check(10, 10, 5, 10);
    check(86_400, 86_400, 31, 86_400);
    check(86_400, 86_400, u32::MAX, 86_400);
    // Only the first one is in the manifest, and longer than the device's longest.
    check(600, 300, 0, 600);
    check(600, 300, 3, 600);
}

#[test]
fn ten_good_minutes_are_forgiving() {
    let start = Instant::now();
    let almost = start + Duration::from_millis(599_999);
    let now = start + Duration::from_secs(600);
    let policy = RestartPolicy::Always;
    let before = running(start, 9);
    let badly = LifeEvent::Exited(Ended::Badly);
    let forgiven = (waits_until(now, 10, 1), Action::None);
    check(before, badly, policy, now, forgiven);
    let not_yet = (waits_until(almost, 300, 10), Action::None);
    check(before, badly, policy, almost, not_yet);
    // Of one that was unhealthy likewise.
    let sick = Life::Running {
        since: start,
        in_a_row: 9,
        failed_checks: 2,
    };
    for (now, in_a_row) in [(almost, 9), (now, 0)] {
        let then = AfterStop::BackOff { in_a_row };
        let expected = (stopping(then), Action::StopInstance);
        check(sick, LifeEvent::CheckFailed, policy, now, expected);
    }
}

#[test]
fn a_failure_over_a_message_does_not_wait_and_does_not_count() {
    let start = Instant::now();
    let now = start + Duration::from_secs(1);
    let event = LifeEvent::Exited(Ended::OverMessage);
    for policy in POLICIES {
        let expected = match policy {
            RestartPolicy::Never => (Life::Ended { well: false }, Action::None),
            _ => (running(now, 3), Action::RestartInstance),
        };
        check(running(start, 3), event, policy, now, expected);
    }
}

#[test]
fn each_policy_has_its_answer_to_each_end() {
    use RestartPolicy::{Always, Never, OnFailure, OnUnhealthy};
    let now = Instant::now();
    let again = (waits_until(now, 10, 1), Action::None);
    let stays = |well| (Life::Ended { well }, Action::None);
    let lives = [
        running(now, 0),
        Life::Unhealthy {
            since: now,
            in_a_row: 0,
        },
    ];
    for life in lives {
        for (policy, well, badly) in [
            (Never, stays(true), stays(false)),
            (OnFailure, stays(true), again),
            (OnUnhealthy, stays(true), again),
            (Always, again, again),
        ] {
            check(life, LifeEvent::Exited(Ended::Well), policy, now, well);
            check(life, LifeEvent::Exited(Ended::Badly), policy, now, badly);
        }
    }
}

#[test]
fn three_failed_checks_in_a_row_make_it_unhealthy() {
    let start = Instant::now();
    let now = start + Duration::from_secs(90);
    for policy in POLICIES {
        let rules = rules(policy);
        let mut life = running(start, 2);
        // One that passes between them begins the row anew.
        for event in [
            LifeEvent::CheckFailed,
            LifeEvent::CheckFailed,
            LifeEvent::CheckPassed,
            LifeEvent::CheckFailed,
            LifeEvent::CheckFailed,
        ] {
            let action;
            (life, action) = next(life, event, &rules, now);
            assert!(
                matches!(life, Life::Running { in_a_row: 2, .. }),
                "{life:?}"
            );
            assert_eq!(action, Action::None);
        }
        let (life, action) = next(life, LifeEvent::CheckFailed, &rules, now);
        match policy {
            RestartPolicy::Never | RestartPolicy::OnFailure => {
                let (since, in_a_row) = (start, 2);
                let unhealthy = Life::Unhealthy { since, in_a_row };
                assert_eq!((life, action), (unhealthy, Action::None));
                check(
                    life,
                    LifeEvent::CheckFailed,
                    policy,
                    now,
                    (life, Action::None),
                );
                let well = (running(start, 2), Action::None);
                check(life, LifeEvent::CheckPassed, policy, now, well);
            }
            RestartPolicy::OnUnhealthy | RestartPolicy::Always => {
                let stops = stopping(AfterStop::BackOff { in_a_row: 2 });
                assert_eq!((life, action), (stops, Action::StopInstance));
                // However it ends then: it is a restart.
                for ended in [Ended::Well, Ended::Badly, Ended::OverMessage] {
                    let waits = (waits_until(now, 40, 3), Action::None);
                    check(life, LifeEvent::Exited(ended), policy, now, waits);
                }
            }
        }
    }
}

#[test]
fn an_unhealthy_module_is_restarted_once_its_policy_says_so() {
    let (since, in_a_row) = (Instant::now(), 0);
    let expected = (
        stopping(AfterStop::BackOff { in_a_row }),
        Action::StopInstance,
    );
    check(
        Life::Unhealthy { since, in_a_row },
        LifeEvent::CheckFailed,
        RestartPolicy::Always,
        since,
        expected,
    );
}

#[test]
fn what_is_wanted_last_holds_while_it_stops() {
    use AfterStop::{BackOff, StartAgain, StartReplacement, Stay};
    use LifeEvent::{Replace, Restart, Start, Stop};
    let now = Instant::now();
    let policy = RestartPolicy::Always;
    let back_off = BackOff { in_a_row: 3 };
    for (then, event, expected) in [
        (Stay, Start, StartAgain),
        (Stay, Stop, Stay),
        (Stay, Restart, Stay),
        (Stay, Replace, Stay),
        (StartAgain, Start, StartAgain),
        (StartAgain, Stop, Stay),
        (StartAgain, Restart, StartAgain),
        (StartAgain, Replace, StartReplacement),
        (StartReplacement, Start, StartReplacement),
        (StartReplacement, Stop, Stay),
        (StartReplacement, Restart, StartReplacement),
        (StartReplacement, Replace, StartReplacement),
        (back_off, Start, StartAgain),
        (back_off, Stop, Stay),
        (back_off, Restart, StartAgain),
        (back_off, Replace, StartReplacement),
        (back_off, LifeEvent::CheckPassed, back_off),
        (back_off, LifeEvent::Woke, back_off),
    ] {
        let expected = (stopping(expected), Action::None);
        check(stopping(then), event, policy, now, expected);
    }
    for (then, expected) in [
        (Stay, (Life::Stopped, Action::None)),
        (StartAgain, (running(now, 0), Action::RestartInstance)),
        (StartReplacement, (running(now, 0), Action::StartInstance)),
        (back_off, (waits_until(now, 80, 4), Action::None)),
    ] {
        let event = LifeEvent::Exited(Ended::Badly);
        check(stopping(then), event, policy, now, expected);
    }
}

#[test]
fn orders_lead_on_from_every_state_without_an_instance() {
    use LifeEvent::{Exited, Replace, Restart, Start, Stop, Woke};
    let now = Instant::now();
    let policy = RestartPolicy::OnFailure;
    let fresh = (running(now, 0), Action::StartInstance);
    let again = (running(now, 0), Action::RestartInstance);
    let stopped = (Life::Stopped, Action::None);
    for event in [Stop, Restart, Replace, Exited(Ended::Well), Woke] {
        check(Life::Stopped, event, policy, now, stopped);
    }
    check(Life::Stopped, Start, policy, now, fresh);
    let waits = waits_until(now, 5, 7);
    for life in [Life::Ended { well: false }, waits] {
        check(life, Start, policy, now, again);
        check(life, Restart, policy, now, again);
        check(life, Replace, policy, now, fresh);
        check(life, Stop, policy, now, stopped);
        check(
            life,
            LifeEvent::CheckFailed,
            policy,
            now,
            (life, Action::None),
        );
    }
}

#[test]
fn orders_stop_an_instance_that_runs_first() {
    let now = Instant::now();
    let policy = RestartPolicy::Never;
    let (since, in_a_row) = (now, 1);
    for life in [running(now, 1), Life::Unhealthy { since, in_a_row }] {
        for (event, then) in [
            (LifeEvent::Stop, AfterStop::Stay),
            (LifeEvent::Restart, AfterStop::StartAgain),
            (LifeEvent::Replace, AfterStop::StartReplacement),
        ] {
            let expected = (stopping(then), Action::StopInstance);
            check(life, event, policy, now, expected);
        }
        for event in [LifeEvent::Start, LifeEvent::Woke] {
            check(life, event, policy, now, (life, Action::None));
        }
    }
}

fn event() -> impl Strategy<Value = LifeEvent> {
    prop_oneof![
        Just(LifeEvent::Start),
        Just(LifeEvent::Stop),
        Just(LifeEvent::Restart),
        Just(LifeEvent::Replace),
        Just(LifeEvent::CheckPassed),
        Just(LifeEvent::CheckFailed),
        Just(LifeEvent::CheckFailed),
        Just(LifeEvent::Exited(Ended::Well)),
        Just(LifeEvent::Exited(Ended::Badly)),
        Just(LifeEvent::Exited(Ended::OverMessage)),
        Just(LifeEvent::Woke),
    ]
}

proptest! {
    /// Whatever happens in whatever order: one instance at a time, each asked to stop at most once, none
    /// forgotten, and what was wanted last is what comes about.
    #[test]
    fn a_life_has_one_instance_at_a_time_and_leads_where_it_is_wanted(
        policy in prop::sample::select(POLICIES.to_vec()),
        events in prop::collection::vec((event(), 0_u64..700), 0..60),
    ) {
        let rules = rules(policy);
        let mut now = Instant::now();
        let (mut life, mut runs, mut asked_to_stop) = (Life::Stopped, false, false);
        let mut wanted = false;
        for (event, seconds) in events {
            if matches!(event, LifeEvent::Exited(_)) && !runs {
                continue;
            }
            now += Duration::from_secs(seconds);
            let action;
            (life, action) = next(life, event, &rules, now);
            if matches!(event, LifeEvent::Exited(_)) {
                (runs, asked_to_stop) = (false, false);
            }
            match action {
                Action::None => {}
                Action::StartInstance | Action::RestartInstance => {
                    prop_assert!(!runs, "a second instance: {life:?} {event:?}");
                    runs = true;
                }
                Action::StopInstance => {
                    prop_assert!(runs && !asked_to_stop, "{life:?} {event:?}");
                    asked_to_stop = true;
                }
            }
            let expects = matches!(life, Life::Running { .. } | Life::Unhealthy { .. } | Life::Stopping { .. });
            prop_assert_eq!(expects, runs, "{:?} {:?}", life, event);
            prop_assert_eq!(matches!(life, Life::Stopping { .. }), asked_to_stop);
            match event {
                LifeEvent::Start => wanted = true,
                LifeEvent::Stop => wanted = false,
                _ => {}
            }
            let stays_stopped = matches!(life, Life::Stopped | Life::Stopping { then: AfterStop::Stay });
            prop_assert_eq!(stays_stopped, !wanted, "{:?} {:?}", life, event);
        }
        // Nothing but an order leaves what was stopped, and a wait always ends.
        if let Life::BackingOff { until, .. } = life {
            let (_, action) = next(life, LifeEvent::Woke, &rules, until);
            prop_assert_eq!(action, Action::RestartInstance);
        }
    }
}

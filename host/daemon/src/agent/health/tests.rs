use std::sync::Arc;

use wasm_edge_model::manifest::{Manifest, Origin};
use wasm_edge_runtime::instance::Gauges;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(60);

fn report(name: &str, status: RuntimeStatus, ready: bool, restart_count: u64) -> ModuleReport {
    let text = format!(
        r#"{{"modulesContent": {{"$edgeAgent": {{"properties.desired": {{
            "schemaVersion": "1.1", "modules": {{"{name}": {{
                "type": "wasm", "settings": {{"image": "file:m.wasm"}}}}}}}}}}}}}}"#
    );
    let manifest = Manifest::check(&text, Origin::LocalFile)
        .expect("valid")
        .value;
    let spec = manifest.modules.into_values().next().expect("one module");
    ModuleReport {
        device: "d".parse().expect("valid"),
        spec: Arc::new(spec),
        image_digest: "sha256:1".to_owned(),
        component_digest: "sha256:1".to_owned(),
        takes_messages: true,
        status,
        status_description: "trapped".to_owned(),
        ready,
        restart_count,
        exit_code: None,
        last_start_time: None,
        last_exit_time: None,
        last_exit_reason: None,
        last_restart_time: None,
        gauges: Arc::new(Gauges::default()),
        runs: crate::supervisor::report::Runs::default(),
    }
}

fn watch(now: Instant) -> Watch {
    Watch::new([ModuleId::new("m").expect("valid")].into(), TIMEOUT, now)
}

#[test]
fn a_deployment_that_touched_nothing_is_healthy() {
    let now = Instant::now();
    let bad = [report("m", RuntimeStatus::Failed, false, 0)];
    assert_eq!(
        Watch::new(BTreeSet::new(), TIMEOUT, now).look(&bad, now),
        Verdict::Healthy
    );
}

#[test]
fn all_has_to_stay_well_for_a_moment() {
    let now = Instant::now();
    let mut watch = watch(now);
    let well = [
        report("m", RuntimeStatus::Running, true, 0),
        report("other", RuntimeStatus::Failed, false, 3),
    ];
    assert_eq!(watch.look(&well, now), Verdict::Undecided(now + SETTLE));
    assert_eq!(watch.look(&well, now + SETTLE), Verdict::Healthy);
}

#[test]
fn a_restart_in_between_begins_that_moment_anew() {
    let now = Instant::now();
    let mut watch = watch(now);
    watch.look(&[report("m", RuntimeStatus::Running, true, 0)], now);
    let later = now + SETTLE;
    let restarted = [report("m", RuntimeStatus::Running, true, 1)];
    assert_eq!(
        watch.look(&restarted, later),
        Verdict::Undecided(later + SETTLE)
    );
    assert_eq!(watch.look(&restarted, later + SETTLE), Verdict::Healthy);
}

#[test]
fn what_is_not_well_when_the_time_is_over_is_unhealthy() {
    let check = |status: RuntimeStatus, ready: bool, expected: Option<&str>| {
        let now = Instant::now();
        let mut watch = watch(now);
        let reports = [report("m", status, ready, 0)];
        watch.look(&reports, now);
        match (watch.look(&reports, now + TIMEOUT), expected) {
            (Verdict::Healthy, None) => {}
            (Verdict::Unhealthy(wrong), Some(text)) => {
                assert!(wrong[0].contains(text), "{wrong:?}");
            }
            (other, expected) => panic!("{status}: {other:?}, not {expected:?}"),
        }
    };
    check(RuntimeStatus::Running, true, None);
    check(RuntimeStatus::Stopped, false, None);
    check(RuntimeStatus::Running, false, Some("`m` is not ready"));
    check(RuntimeStatus::Unknown, false, Some("`m` is not ready"));
    check(RuntimeStatus::Backoff, false, Some("`backoff`: trapped"));
    check(RuntimeStatus::Failed, false, Some("`failed`"));
    check(RuntimeStatus::Unhealthy, true, Some("`unhealthy`"));
}

#[test]
fn a_module_that_is_not_there_is_named() {
    let now = Instant::now();
    let verdict = watch(now).look(&[], now + TIMEOUT);
    assert_eq!(
        verdict,
        Verdict::Unhealthy(vec!["module `m` is not there".to_owned()])
    );
}

#[test]
fn ready_at_the_last_moment_is_in_time_if_it_stays_so() {
    let now = Instant::now();
    let mut watch = watch(now);
    let last = now + TIMEOUT;
    let well = [report("m", RuntimeStatus::Running, true, 0)];
    assert_eq!(watch.look(&well, last), Verdict::Undecided(last + SETTLE));
    let fallen = [report("m", RuntimeStatus::Backoff, false, 0)];
    assert!(matches!(
        watch.look(&fallen, last + SETTLE / 2),
        Verdict::Unhealthy(_)
    ));
}

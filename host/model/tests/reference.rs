//! Holds the reference for users, `docs/manifest.md`, against the code.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use wasm_edge_model::manifest::{
    ARGS_MAX, Checked, ENV_MAX, Faults, GRANTS_MAX, Limits, MANIFEST_LIMITS,
    MANIFEST_SIZE_MAX_BYTES, Manifest, Origin, Supervision, TIME_TO_LIVE_DEFAULT,
};
use wasm_edge_model::twin;

fn reference() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manifest.md");
    fs::read_to_string(file).unwrap()
}

/// The texts of the blocks that are marked with a language.
fn blocks(language: &str) -> Vec<String> {
    let reference = reference();
    let start = format!("```{language}\n");
    let blocks = reference.split(&start).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap().into())
        .collect()
}

fn module_with(wasm: &Value) -> Result<Checked<Manifest>, Faults> {
    let manifest = json!({"modulesContent": {"$edgeAgent": {"properties.desired": {
        "schemaVersion": "1.1",
        "modules": {"m": {"type": "wasm", "settings": {"image": "m", "wasm": wasm}}},
    }}}});
    Manifest::check(&manifest.to_string(), Origin::LocalFile)
}

#[test]
fn the_manifests_shown_are_valid_without_warnings() {
    let blocks = blocks("json");
    assert_eq!(blocks.len(), 5);
    for block in blocks {
        let checked = match block.contains("modulesContent") {
            true => Manifest::check(&block, Origin::LocalFile),
            false => module_with(&serde_json::from_str(&block).unwrap()),
        };
        let checked = checked.unwrap_or_else(|faults| panic!("{block}\n{faults}"));
        assert_eq!(checked.warnings, [], "{block}");
    }
}

#[test]
fn the_table_of_limits_is_that_of_the_code() {
    let reference = reference();
    let rows = reference.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match cells[..] {
            [key, default, from, to, _] if key.starts_with('`') => {
                Some([key.trim_matches('`'), default, from, to].map(String::from))
            }
            _ => None,
        }
    });
    let default = Limits::default();
    let row = |key: &str, default: Option<u64>, range: RangeInclusive<u64>| {
        let default = default.map_or("none".into(), |number| number.to_string());
        [
            key.into(),
            default,
            range.start().to_string(),
            range.end().to_string(),
        ]
    };
    let millis = |duration: Duration| Some(duration.as_millis() as u64);
    let expected = [
        row(
            "memoryLimitBytes",
            Some(default.memory_limit_bytes),
            Limits::MEMORY_BYTES,
        ),
        row(
            "callDeadlineMs",
            millis(default.call_deadline),
            Limits::CALL_DEADLINE_MS,
        ),
        row(
            "hostMemoryLimitBytes",
            Some(default.host_memory_limit_bytes),
            Limits::HOST_MEMORY_BYTES,
        ),
        row(
            "dataLimitBytes",
            Some(default.data_limit_bytes),
            Limits::DATA_BYTES,
        ),
        row(
            "cpuLimitMillis",
            default.cpu_limit_millis.map(u64::from),
            Limits::CPU_MILLIS,
        ),
        row(
            "logLinesPerSecond",
            Some(default.log_lines_per_second.into()),
            Limits::LOG_LINES_PER_SECOND,
        ),
        row(
            "logSizeMaxBytes",
            Some(default.log_size_max_bytes),
            Limits::LOG_SIZE_BYTES,
        ),
        row(
            "healthIntervalMs",
            millis(Supervision::HEALTH_INTERVAL_DEFAULT),
            Supervision::HEALTH_INTERVAL_MS,
        ),
        row(
            "healthTimeoutMs",
            millis(Supervision::HEALTH_TIMEOUT_DEFAULT),
            Supervision::HEALTH_TIMEOUT_MS,
        ),
        row(
            "healthFailuresMax",
            Some(Supervision::HEALTH_FAILURES_MAX_DEFAULT.into()),
            Supervision::HEALTH_FAILURES_MAX,
        ),
        row(
            "restartWaitMs",
            millis(Supervision::RESTART_WAIT_DEFAULT),
            Supervision::RESTART_WAIT_MS,
        ),
        row(
            "restartWaitMaxMs",
            millis(Supervision::RESTART_WAIT_MAX_DEFAULT),
            Supervision::RESTART_WAIT_MS,
        ),
        row(
            "restartForgivenAfterMs",
            millis(Supervision::RESTART_FORGIVEN_AFTER_DEFAULT),
            Supervision::RESTART_FORGIVEN_AFTER_MS,
        ),
    ];
    assert_eq!(rows.collect::<Vec<_>>(), expected);
}

#[test]
fn every_limit_is_read_under_its_name_and_held_to_its_range() {
    let check = |key: &str, range: RangeInclusive<u64>| {
        for number in [*range.start(), *range.end()] {
            assert!(
                module_with(&json!({ key: number })).is_ok(),
                "{key} {number}"
            );
        }
        assert!(
            module_with(&json!({ key: range.end() + 1 })).is_err(),
            "{key}"
        );
        if let Some(less) = range.start().checked_sub(1) {
            assert!(module_with(&json!({ key: less })).is_err(), "{key}");
        }
    };
    check("memoryLimitBytes", Limits::MEMORY_BYTES);
    check("callDeadlineMs", Limits::CALL_DEADLINE_MS);
    check("hostMemoryLimitBytes", Limits::HOST_MEMORY_BYTES);
    check("dataLimitBytes", Limits::DATA_BYTES);
    check("cpuLimitMillis", Limits::CPU_MILLIS);
    check("logLinesPerSecond", Limits::LOG_LINES_PER_SECOND);
    check("healthIntervalMs", Supervision::HEALTH_INTERVAL_MS);
    check("healthTimeoutMs", Supervision::HEALTH_TIMEOUT_MS);
    check("healthFailuresMax", Supervision::HEALTH_FAILURES_MAX);
    check("restartWaitMs", Supervision::RESTART_WAIT_MS);
    check("restartWaitMaxMs", Supervision::RESTART_WAIT_MS);
    check(
        "restartForgivenAfterMs",
        Supervision::RESTART_FORGIVEN_AFTER_MS,
    );
    check("logSizeMaxBytes", Limits::LOG_SIZE_BYTES);
}

#[test]
fn the_numbers_in_the_text_are_those_of_the_code() {
    let reference = reference();
    let check = |text: String| assert!(reference.contains(&text), "{text:?} is not there");
    check(format!("may see, at most {GRANTS_MAX}."));
    check(format!("at most {ARGS_MAX} texts"));
    check(format!("a boolean; at most {ENV_MAX}."));
    check(format!(
        "negative is for ever. | {} |",
        TIME_TO_LIVE_DEFAULT.as_secs()
    ));
    check(format!(
        "at most {} KB, {} levels of objects",
        twin::SECTION_SIZE_MAX_BYTES / 1024,
        twin::DEPTH_MAX
    ));
    check(format!(
        "integers from {} to {}",
        twin::INTEGER_MIN,
        twin::INTEGER_MAX
    ));
    check(format!("each part at most {} bytes", twin::TEXT_MAX_BYTES));
    assert_eq!(
        (MANIFEST_SIZE_MAX_BYTES, MANIFEST_LIMITS.values_max),
        (1024 * 1024, 65_536)
    );
    check("at most 1 MiB and 65,536 values".into());
}

//! The object `wasm`: what a module may take and see, and how it is watched.
//!
//! The form is our own, so that a key without meaning is a fault here: a
//! limit with a slip in its name would not limit.

use std::time::Duration;

use super::super::check_guest_path;
use super::super::check_host_path;
use super::super::fault::Findings;
use super::super::grant::{GRANTS_MAX, Grant, GrantAccess, GrantKind, PlaceError};
use super::super::limits::Limits;
use super::super::read::{Fields, Place, shown};
use super::super::supervision::Supervision;
use super::options::arguments;

/// What a module may take and see, how it is watched, and its arguments.
#[derive(Default)]
pub(super) struct Sandbox {
    pub(super) limits: Limits,
    pub(super) supervision: Supervision,
    pub(super) grants: Vec<Grant>,
    pub(super) keep_data: bool,
    pub(super) keep_local_changes: bool,
    pub(super) args: Vec<String>,
}

/// The keys of the object.
const KEYS: &str = "`memoryLimitBytes`, `callDeadlineMs`, `hostMemoryLimitBytes`, `dataLimitBytes`, `cpuLimitMillis`, `logLinesPerSecond`, `logSizeMaxBytes`, `healthIntervalMs`, `healthTimeoutMs`, `healthFailuresMax`, `restartWaitMs`, `restartWaitMaxMs`, `restartForgivenAfterMs`, `grants`, `keepData`, `keepLocalChanges` or `args`";

/// The keys of a grant.
const GRANT_KEYS: &str = "`file` or `folder`, `as` and `access`";

const ACCESS_WORDS: &[(&str, GrantAccess)] = &[
    ("read", GrantAccess::Read),
    ("read-write", GrantAccess::ReadWrite),
];

pub(super) fn read(findings: &mut Findings, place: &Place<'_>) -> Option<Sandbox> {
    let mut fields = findings.object(place)?;
    let mut sandbox = Sandbox {
        limits: limits(findings, &mut fields),
        supervision: supervision(findings, &mut fields),
        ..Sandbox::default()
    };
    if let Some(place) = fields.take("grants") {
        for item in findings.array(&place, GRANTS_MAX).unwrap_or_default() {
            if let Some(grant) = grant(findings, &item) {
                add_grant(findings, &item, &mut sandbox.grants, grant);
            }
        }
    }
    if let Some(place) = fields.take("keepData") {
        sandbox.keep_data = findings.boolean(&place).unwrap_or_default();
    }
    if let Some(place) = fields.take("keepLocalChanges") {
        sandbox.keep_local_changes = findings.boolean(&place).unwrap_or_default();
    }
    if let Some(place) = fields.take("args") {
        sandbox.args = arguments(findings, &place).unwrap_or_default();
    }
    unknown_keys(findings, fields, KEYS);
    Some(sandbox)
}

/// Adds a grant, unless there are too many or its place is taken.
pub(super) fn add_grant(
    findings: &mut Findings,
    place: &Place<'_>,
    grants: &mut Vec<Grant>,
    grant: Grant,
) {
    if grants.len() >= GRANTS_MAX {
        let problem = format!("the module has more than {GRANTS_MAX} grants");
        findings.fault(
            &place.path,
            place.position(),
            problem,
            format!("at most {GRANTS_MAX}"),
        );
    } else if grants.iter().any(|known| known.guest == grant.guest) {
        let problem = format!("the module sees another grant at `{}`", shown(&grant.guest));
        findings.fault(&place.path, place.position(), problem, "each place once");
    } else {
        grants.push(grant);
    }
}

/// The plain form of a path that passes the check.
pub(super) fn checked_path(
    findings: &mut Findings,
    place: &Place<'_>,
    path: &str,
    check: fn(&str) -> Result<String, PlaceError>,
) -> Option<String> {
    match check(path) {
        Ok(plain) => Some(plain),
        Err(error) => {
            let problem = format!("`{}` {error}", shown(path));
            let expected = match error {
                PlaceError::Relative | PlaceError::Parent => "an absolute path without `..`",
                PlaceError::Data => "a path beside it",
                _ => "a path that can be granted",
            };
            findings.fault(&place.path, place.position(), problem, expected);
            None
        }
    }
}

fn limits(findings: &mut Findings, fields: &mut Fields<'_>) -> Limits {
    let mut limits = Limits::default();
    let mut number = |key, range| {
        let place = fields.take(key)?;
        findings.integer(&place, range)
    };
    if let Some(bytes) = number("memoryLimitBytes", Limits::MEMORY_BYTES) {
        limits.memory_limit_bytes = bytes;
    }
    if let Some(millis) = number("callDeadlineMs", Limits::CALL_DEADLINE_MS) {
        limits.call_deadline = Duration::from_millis(millis);
    }
    if let Some(bytes) = number("hostMemoryLimitBytes", Limits::HOST_MEMORY_BYTES) {
        limits.host_memory_limit_bytes = bytes;
    }
    if let Some(bytes) = number("dataLimitBytes", Limits::DATA_BYTES) {
        limits.data_limit_bytes = bytes;
    }
    if let Some(bytes) = number("logSizeMaxBytes", Limits::LOG_SIZE_BYTES) {
        limits.log_size_max_bytes = bytes;
    }
    // The ranges of these two are within 32 bits.
    if let Some(millis) = number("cpuLimitMillis", Limits::CPU_MILLIS) {
        limits.cpu_limit_millis = Some(millis as u32);
    }
    if let Some(lines) = number("logLinesPerSecond", Limits::LOG_LINES_PER_SECOND) {
        limits.log_lines_per_second = lines as u32;
    }
    limits
}

fn supervision(findings: &mut Findings, fields: &mut Fields<'_>) -> Supervision {
    let mut millis = |key, range| {
        let place = fields.take(key)?;
        let millis = findings.integer(&place, range)?;
        Some((place, Duration::from_millis(millis)))
    };
    let interval = millis("healthIntervalMs", Supervision::HEALTH_INTERVAL_MS);
    let timeout = millis("healthTimeoutMs", Supervision::HEALTH_TIMEOUT_MS);
    let wait = millis("restartWaitMs", Supervision::RESTART_WAIT_MS);
    let wait_max = millis("restartWaitMaxMs", Supervision::RESTART_WAIT_MS);
    let forgiven_after = millis(
        "restartForgivenAfterMs",
        Supervision::RESTART_FORGIVEN_AFTER_MS,
    );
    let failures = fields.take("healthFailuresMax");
    let failures =
        failures.and_then(|place| findings.integer(&place, Supervision::HEALTH_FAILURES_MAX));
    if let (Some((_, least)), Some((place, most))) = (&wait, &wait_max)
        && most < least
    {
        let problem = format!("{} stands here", most.as_millis());
        let expected = format!("not less than `restartWaitMs`, {}", least.as_millis());
        findings.fault(&place.path, place.position(), problem, expected);
    }
    let duration = |found: Option<(Place<'_>, Duration)>| found.map(|(_, duration)| duration);
    Supervision {
        health_interval: duration(interval),
        health_timeout: duration(timeout),
        // The range is within 32 bits.
        health_failures_max: failures.map(|number| number as u32),
        restart_wait: duration(wait),
        restart_wait_max: duration(wait_max),
        restart_forgiven_after: duration(forgiven_after),
    }
}

fn grant(findings: &mut Findings, place: &Place<'_>) -> Option<Grant> {
    let mut fields = findings.object(place)?;
    let (file, folder) = (fields.take("file"), fields.take("folder"));
    let seen_as = fields.take("as");
    let access = match fields.take("access") {
        Some(place) => findings.word(&place, ACCESS_WORDS),
        None => Some(GrantAccess::Read),
    };
    unknown_keys(findings, fields, GRANT_KEYS);
    let (kind, host_place) = match (file, folder) {
        (Some(file), None) => (GrantKind::File, file),
        (None, Some(folder)) => (GrantKind::Folder, folder),
        (file, _) => {
            let problem = match file {
                Some(_) => "`file` and `folder` stand here together",
                None => "neither `file` nor `folder` stands here",
            };
            findings.fault(
                &place.path,
                place.position(),
                problem,
                "one of `file` and `folder`",
            );
            return None;
        }
    };
    let host = findings.text(&host_place, "an absolute path")?;
    let guest = match &seen_as {
        Some(place) => (place, findings.text(place, "an absolute path")?),
        None => (&host_place, host),
    };
    let host = checked_path(findings, &host_place, host, check_host_path)?;
    let guest = checked_path(findings, guest.0, guest.1, check_guest_path)?;
    Some(Grant {
        kind,
        host,
        guest,
        access: access?,
    })
}

pub(super) fn unknown_keys(findings: &mut Findings, fields: Fields<'_>, known: &str) {
    for (entry, place) in fields.rest() {
        findings.fault(
            &place.path,
            entry.key_position,
            "the key is not known",
            known,
        );
    }
}

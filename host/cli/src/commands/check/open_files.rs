//! The limit of open files: a device raises its own as far as the system lets it.

use super::facts::{Device, Limits};
use super::verdict::Verdict;

/// What a device opens without modules: databases, sockets, connections of commands, the system's own.
const PROCESS_FILES: u64 = 256;
/// What one module may hold open by default, `/data` and grants included.
const MODULE_FILES: u64 = 64;

/// Judges the limit that a process can raise its own to.
pub(super) fn judge(limits: &Limits, device: &Device) -> Verdict {
    let Some(limit) = limits.open_files else {
        return Verdict::ok("open files are not limited");
    };
    let modules = device
        .modules()
        .unwrap_or_default()
        .iter()
        .filter(|it| it.is_to_run())
        .count() as u64;
    let needed = PROCESS_FILES + modules * MODULE_FILES;
    let hint = "raise it: `ulimit -Hn` in a shell, `LimitNOFILE=` in a systemd unit";
    match limit {
        _ if limit < PROCESS_FILES => Verdict::error(format!(
            "{limit} files may be open, and a device needs {PROCESS_FILES}"
        ))
        .hint(hint),
        _ if limit < needed => Verdict::warning(format!(
            "{limit} files may be open, and the modules may need {needed}"
        ))
        .hint(hint),
        _ => Verdict::ok(format!(
            "{limit} files may be open, and {needed} may be needed"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{answers_with, module};
    use super::super::verdict::Grade;
    use super::*;

    fn check(open_files: Option<u64>, modules: usize, grade: Grade) {
        let limits = Limits {
            address_space_bytes: None,
            open_files,
        };
        let device = answers_with((0..modules).map(|_| module("m")).collect());
        let verdict = judge(&limits, &device);
        assert_eq!(verdict.grade, grade, "{verdict:?}");
    }

    #[test]
    fn files_can_be_opened_for_all_modules() {
        check(None, 50, Grade::Ok);
        check(Some(4096), 50, Grade::Ok);
        check(Some(1024), 50, Grade::Warning);
        check(Some(1024), 4, Grade::Ok);
        check(Some(64), 0, Grade::Error);
    }
}

//! The exit codes of `wasm-edge`: the one place that gives numbers to endings.
//!
//! `docs/cli.md` holds the same table for users; a test compares the two.
//! Every command returns an [`ExitStatus`]; failures carry theirs in [`crate::failure::Failure`].

use std::process::ExitCode;

/// How a command ended.
///
/// The numbers are a promise to scripts and service managers: one is never given a second meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// The command did what was asked.
    Ok = 0,
    /// Something failed that has no code of its own.
    Failure = 1,
    /// The arguments are wrong.
    Usage = 2,
    /// No running device was found, or it cannot be reached or does not answer.
    NotRunning = 3,
    /// What was named does not exist.
    NotFound = 4,
    /// Several devices or processes fit: say which.
    Ambiguous = 5,
    /// The twin changed in between: its etag is no longer the given one.
    PreconditionFailed = 6,
    /// The given data is not acceptable.
    InvalidInput = 7,
    /// The deployment manifest or the configuration is wrong; trying again does not help.
    ///
    /// `EX_CONFIG` of `sysexits.h`; for `RestartPreventExitStatus=` of a service manager.
    BadConfig = 78,
    /// Interrupted before an orderly end.
    #[cfg_attr(
        not(any(feature = "hub", test)),
        expect(dead_code, reason = "only `run` ends so")
    )]
    Interrupted = 130,
}

impl ExitStatus {
    /// Every status, in the order of the numbers.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 10] = [
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::NotRunning,
        Self::NotFound,
        Self::Ambiguous,
        Self::PreconditionFailed,
        Self::InvalidInput,
        Self::BadConfig,
        Self::Interrupted,
    ];

    /// The number that the process ends with.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = include_str!("exit_codes.rs");
    const DOCS: &str = include_str!("../../../docs/cli.md");

    /// The variants as written above: name, number, first line of the doc comment.
    fn variants() -> Vec<(String, u8, String)> {
        let body = SOURCE.split("pub(crate) enum ExitStatus {").nth(1);
        let body = body
            .and_then(|rest| rest.split("\n}").next())
            .expect("the enum is in this file");
        let (mut found, mut doc) = (Vec::new(), None);
        for line in body.lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("/// ") {
                doc.get_or_insert_with(|| text.to_owned());
            } else if line.starts_with('#') {
                continue;
            } else if let Some((name, number)) = line.trim_end_matches(',').split_once(" = ") {
                let number = number.parse().expect("variants have plain numbers");
                found.push((
                    name.to_owned(),
                    number,
                    doc.take().expect("variants are documented"),
                ));
            }
        }
        found
    }

    #[test]
    fn every_status_is_listed_once_in_order() {
        let names: Vec<_> = ExitStatus::ALL
            .iter()
            .map(|s| (format!("{s:?}"), s.code()))
            .collect();
        let written: Vec<_> = variants()
            .into_iter()
            .map(|(name, code, _)| (name, code))
            .collect();
        assert_eq!(names, written);
        assert!(
            ExitStatus::ALL
                .windows(2)
                .all(|pair| pair[0].code() < pair[1].code())
        );
    }

    #[test]
    fn the_table_in_the_documentation_is_the_same() {
        let section = DOCS
            .split("## Exit codes")
            .nth(1)
            .expect("docs/cli.md has the section");
        let section = section
            .split("\n## ")
            .next()
            .expect("split gives at least one part");
        let documented: Vec<(u8, String)> = section
            .lines()
            .filter_map(|line| {
                let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
                let code = cells.next()?.parse().ok()?;
                Some((code, cells.next()?.to_owned()))
            })
            .collect();
        let written: Vec<_> = variants()
            .into_iter()
            .map(|(_, code, doc)| (code, doc))
            .collect();
        assert_eq!(documented, written);
    }
}

//! The exit codes of `wasm-edge`: the one place that gives numbers to endings.
//!
//! `--help` prints the table from here and `docs/cli.md` holds it for readers; a test compares the two.
//! Every command returns an [`ExitStatus`]; failures carry theirs in [`crate::failure::Failure`].

use std::fmt::Write as _;
use std::process::ExitCode;

/// How a command ended.
///
/// The numbers are a promise to scripts and service managers: one is never given a second meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// Success, also when the reader of the output had enough of it.
    Ok = 0,
    /// A failure that a script cannot act on.
    Failure = 1,
    /// The number that clap uses, too.
    Usage = 2,
    /// Nobody to talk to.
    NotRunning = 3,
    /// A device, module, twin or file that is not there.
    NotFound = 4,
    /// A choice that only the person can make.
    Ambiguous = 5,
    /// `If-Match` did not hold.
    PreconditionFailed = 6,
    /// A patch or another argument's content.
    InvalidInput = 7,
    /// A method's status other than 2xx, a message that was put aside.
    Declined = 8,
    /// A timeout, a full queue, a full disk, a data folder that another process uses for a moment.
    TryLater = 9,
    /// `EX_CONFIG` of `sysexits.h`; for `RestartPreventExitStatus=` of a service manager.
    BadConfig = 78,
    /// 128 and the number of `SIGINT`, as shells have it.
    Interrupted = 130,
}

/// What the numbers mean for `route test`, which answers a question of yes or no and has its own: scripts ask it as
/// they ask `test` or `grep`.
const ROUTE_TEST: [(ExitStatus, &str); 4] = [
    (ExitStatus::Ok, "The message is taken; all cases agree."),
    (
        ExitStatus::NOT_TRUE,
        "The condition is false or undefined; a case does not agree.",
    ),
    (
        ExitStatus::NOT_COMPILED,
        "The route or condition does not compile.",
    ),
    (
        ExitStatus::INPUT_UNREADABLE,
        "The message or the file of cases cannot be read.",
    ),
];

impl ExitStatus {
    /// Of `route test`: the message is not taken.
    pub(crate) const NOT_TRUE: Self = Self::Failure;
    /// Of `route test`: the route or condition does not compile.
    pub(crate) const NOT_COMPILED: Self = Self::NotRunning;
    /// Of `route test`: the message or the file of cases cannot be read.
    pub(crate) const INPUT_UNREADABLE: Self = Self::NotFound;

    /// Every status, in the order of the numbers.
    const ALL: [Self; 12] = [
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::NotRunning,
        Self::NotFound,
        Self::Ambiguous,
        Self::PreconditionFailed,
        Self::InvalidInput,
        Self::Declined,
        Self::TryLater,
        Self::BadConfig,
        Self::Interrupted,
    ];

    /// The number that the process ends with.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// What it means, in one sentence.
    const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "The command did what was asked.",
            Self::Failure => "Something failed that has no code of its own.",
            Self::Usage => "The arguments are wrong.",
            Self::NotRunning => {
                "No running device or hub was found, or it cannot be reached or does not answer."
            }
            Self::NotFound => "What was named does not exist.",
            Self::Ambiguous => "Several devices or processes fit: say which.",
            Self::PreconditionFailed => {
                "The twin or identity changed in between: its etag is no longer the given one."
            }
            Self::InvalidInput => "The given data is not acceptable.",
            Self::Declined => {
                "The module answered a method with a status other than 2xx, or did not complete a message."
            }
            Self::TryLater => {
                "Not now: no answer in time, or a queue or disk is full; the same may work later."
            }
            Self::BadConfig => {
                "The deployment manifest or the configuration is wrong; trying again does not help."
            }
            Self::Interrupted => "Interrupted before an orderly end.",
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

/// The table for `--help`.
pub(crate) fn help() -> String {
    table(ExitStatus::ALL.map(|status| (status, status.meaning())))
}

/// The table for `route test --help`.
pub(crate) fn route_test_help() -> String {
    table(ROUTE_TEST)
}

fn table<const N: usize>(rows: [(ExitStatus, &str); N]) -> String {
    let mut text = "Exit codes:".to_owned();
    for (status, meaning) in rows {
        let code = status.code();
        write!(text, "\n  {code:>3}  {meaning}").expect("a String takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCS: &str = include_str!("../../../docs/cli.md");

    /// Numbers and meanings of the first table behind a heading.
    fn documented(heading: &str) -> Vec<(u8, &'static str)> {
        let section = DOCS.split(heading).nth(1).unwrap();
        let section = section.split("\n##").next().unwrap();
        let row = |line: &'static str| {
            let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
            Some((cells.next()?.parse().ok()?, cells.next()?))
        };
        section.lines().filter_map(row).collect()
    }

    #[test]
    fn the_tables_in_the_documentation_are_the_same() {
        let ours = ExitStatus::ALL.map(|status| (status.code(), status.meaning()));
        assert_eq!(documented("## Exit codes"), ours);
        let ours = ROUTE_TEST.map(|(status, meaning)| (status.code(), meaning));
        assert_eq!(documented("### `route test`"), ours);
    }

    #[test]
    fn no_number_is_used_twice() {
        assert!(
            ExitStatus::ALL
                .windows(2)
                .all(|pair| pair[0].code() < pair[1].code())
        );
    }

    #[test]
    fn every_status_is_in_the_table() {
        // The variants are counted in the text above, since the language does not tell their number.
        let source = include_str!("exit_codes.rs");
        let body = source
            .split("enum ExitStatus {")
            .nth(1)
            .unwrap()
            .split("\n}")
            .next()
            .unwrap();
        let variants = body.lines().filter(|line| line.ends_with(',')).count();
        assert_eq!(variants, ExitStatus::ALL.len());
    }
}

//! `check`: looks for what keeps a device from running well, on this machine and in its data folder.
//!
//! [`facts`] gathers, with all I/O; each file below judges one thing from what was gathered and is a pure function.
//! The list of checks is closed: an id is a promise to scripts.

mod address_space;
mod certificates;
mod clock;
mod configuration;
mod data_folder;
mod disk;
mod facts;
mod images;
mod kernel;
mod keys;
mod lock;
mod memory;
mod modules;
mod open_files;
mod registries;
mod service;
mod socket;
mod store;
mod verdict;

use serde::Serialize;

use self::facts::Facts;
use self::verdict::{Grade, Verdict};
use crate::args::GlobalArgs;
use crate::args::check::CheckArgs;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::table::{Align, Table};
use crate::output::text::{Style, Text};
use crate::output::{Output, OutputError, human};

/// A check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    /// Home folders and the variables that name them.
    Configuration,
    /// The wall clock.
    Clock,
    /// The data folder as a whole.
    DataFolder,
    /// Who holds the data folder.
    Lock,
    /// Key files.
    Keys,
    /// Databases.
    Store,
    /// Images of modules.
    Images,
    /// Space on the disk.
    Disk,
    /// Free memory.
    Memory,
    /// The limit of the address space.
    AddressSpace,
    /// The limit of open files.
    OpenFiles,
    /// The system's kernel.
    Kernel,
    /// The device's socket.
    Socket,
    /// The modules of the running device.
    Modules,
    /// The configuration of the daemon.
    Service,
    /// The certificates that it names.
    Certificates,
    /// The name of its hub.
    HubName,
    /// The ports of its hub.
    HubPort,
    /// The device's credentials at its hub.
    HubAccess,
    /// Where images come from.
    Registries,
}

/// A check's result; the JSON output has a list of these.
#[derive(Serialize)]
struct CheckResult {
    id: &'static str,
    #[serde(flatten)]
    verdict: Verdict,
}

/// The JSON output.
#[derive(Serialize)]
struct Report {
    checks: Vec<CheckResult>,
    ok: usize,
    warnings: usize,
    errors: usize,
    skipped: usize,
}

/// Makes all checks but those left out, and prints what they found.
///
/// # Errors
/// When a check found an error, or, if the person wants that, a warning.
pub(super) async fn execute(
    args: CheckArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    if args.list {
        list(output)?;
        return Ok(ExitStatus::Ok);
    }
    let facts = facts::gather(global, Some(&args)).await?;
    let report = Report::of(&args, &facts);
    if output.is_json() {
        output.json(&report)?;
    } else {
        report.print(output)?;
    }
    report.status(&args)
}

/// What `check --output json` prints, whatever it found, for other commands.
///
/// # Errors
/// When the facts cannot be gathered.
pub(super) async fn report(global: &GlobalArgs) -> anyhow::Result<serde_json::Value> {
    let facts = facts::gather(global, None).await?;
    let report = Report::of(&CheckArgs::default(), &facts);
    Ok(serde_json::to_value(report)?)
}

fn list(output: &Output) -> Result<(), OutputError> {
    if output.is_json() {
        let of = |id: Id| serde_json::json!({ "id": id.as_str(), "description": id.description() });
        return output.json(&serde_json::json!({ "checks": Id::ALL.map(of) }));
    }
    let mut table = Table::new(&[("ID", Align::Left), ("LOOKS AT", Align::Left)]);
    for id in Id::ALL {
        table.row([id.as_str().to_owned(), id.description().to_owned()]);
    }
    output.table(&table)
}

impl Id {
    /// Every check, in the order in which they are made and printed.
    pub(crate) const ALL: [Self; 20] = [
        Self::Configuration,
        Self::Clock,
        Self::DataFolder,
        Self::Lock,
        Self::Keys,
        Self::Store,
        Self::Images,
        Self::Disk,
        Self::Memory,
        Self::AddressSpace,
        Self::OpenFiles,
        Self::Kernel,
        Self::Socket,
        Self::Modules,
        Self::Service,
        Self::Certificates,
        Self::HubName,
        Self::HubPort,
        Self::HubAccess,
        Self::Registries,
    ];

    /// The id as people and scripts write it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Clock => "clock",
            Self::DataFolder => "data-folder",
            Self::Lock => "lock",
            Self::Keys => "keys",
            Self::Store => "store",
            Self::Images => "images",
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::AddressSpace => "address-space",
            Self::OpenFiles => "open-files",
            Self::Kernel => "kernel",
            Self::Socket => "socket",
            Self::Modules => "modules",
            Self::Service => "service",
            Self::Certificates => "certificates",
            Self::HubName => "hub-name",
            Self::HubPort => "hub-port",
            Self::HubAccess => "hub-access",
            Self::Registries => "registries",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Configuration => "the user's home folders and the variables that name them",
            Self::Clock => "the time is possible and synchronised",
            Self::DataFolder => "the data folder is there, ours, private and can be written",
            Self::Lock => "the process that holds the data folder",
            Self::Keys => "key files are whole and private",
            Self::Store => "databases are whole and of a version that is read",
            Self::Images => "every image is whole, and how much they take of what they may",
            Self::Disk => "free space and inodes",
            Self::Memory => "free memory against what all modules may take",
            Self::AddressSpace => "the limit of the address space against what the engine reserves",
            Self::OpenFiles => "the limit of open files",
            Self::Kernel => "what the device needs of the kernel",
            Self::Socket => "the running device answers and has the version of this command",
            Self::Modules => "every module runs and its image is there",
            Self::Service => "the daemon's configuration, and the files that it names",
            Self::Certificates => "how long the certificates are good that the configuration names",
            Self::HubName => "the name of the daemon's hub is found",
            Self::HubPort => {
                "the daemon's hub answers by TLS and is trusted, through the proxy if there is one"
            }
            Self::HubAccess => "the hub knows the device and accepts its credentials",
            Self::Registries => {
                "the registries of the configuration and of modules answer, and take the login"
            }
        }
    }

    fn judge(self, facts: &Facts) -> Verdict {
        match self {
            Self::Configuration => configuration::judge(&facts.homes),
            Self::Clock => clock::judge(&facts.clock),
            Self::DataFolder => data_folder::judge(&facts.folder),
            Self::Lock => lock::judge(&facts.folder, &facts.device),
            Self::Keys => keys::judge(&facts.folder),
            Self::Store => store::judge(&facts.folder),
            Self::Images => images::judge(&facts.images),
            Self::Disk => disk::judge(facts.space.as_ref()),
            Self::Memory => memory::judge(facts.memory, &facts.device),
            Self::AddressSpace => address_space::judge(&facts.limits, &facts.device),
            Self::OpenFiles => open_files::judge(&facts.limits, &facts.device),
            Self::Kernel => kernel::judge(&facts.kernel),
            Self::Socket => socket::judge(&facts.folder, &facts.device),
            Self::Modules => modules::judge(&facts.device),
            Self::Service => service::judge_configuration(&facts.service),
            Self::Certificates => certificates::judge(&facts.service, facts.clock.now),
            Self::HubName => service::judge_name(&facts.service),
            Self::HubPort => service::judge_connection(&facts.service),
            Self::HubAccess => service::judge_credentials(&facts.service),
            Self::Registries => registries::judge(&facts.registries),
        }
    }
}

impl Report {
    fn of(args: &CheckArgs, facts: &Facts) -> Self {
        let verdict = |id: Id| match args.leaves_out(id) {
            true => Verdict::skipped("left out by `--dont-run`"),
            false => id.judge(facts),
        };
        let checks = Id::ALL.map(|id| CheckResult {
            id: id.as_str(),
            verdict: verdict(id),
        });
        let count = |grade| {
            checks
                .iter()
                .filter(|check| check.verdict.grade == grade)
                .count()
        };
        Self {
            ok: count(Grade::Ok),
            warnings: count(Grade::Warning),
            errors: count(Grade::Error),
            skipped: count(Grade::Skipped),
            checks: checks.into(),
        }
    }

    fn print(&self, output: &Output) -> Result<(), OutputError> {
        let width = Id::ALL
            .map(|id| id.as_str().len())
            .into_iter()
            .max()
            .unwrap_or_default();
        let verdicts = Grade::WIDTH + 2;
        let start = verdicts + width + 2;
        for check in &self.checks {
            let grade = check.verdict.grade;
            let text = match grade.style() {
                Some(style) => Text::new().styled(style, grade.as_str()),
                None => Text::new().plain(grade.as_str()),
            };
            let text = text.pad_to(verdicts).plain(check.id).pad_to(start);
            output.line(&text.plain(&check.verdict.summary))?;
            for detail in &check.verdict.details {
                output.line(&Text::new().pad_to(start).plain(detail))?;
            }
            if let Some(hint) = &check.verdict.hint {
                let line = Text::new().pad_to(start).styled(Style::Cyan, "hint:");
                output.line(&line.plain(" ").plain(hint))?;
            }
        }
        output.note(&Text::new().plain(&self.counts()));
        Ok(())
    }

    fn counts(&self) -> String {
        format!(
            "{} ok, {}, {}, {} skipped",
            self.ok,
            human::count(self.warnings, "warning"),
            human::count(self.errors, "error"),
            self.skipped
        )
    }

    fn status(&self, args: &CheckArgs) -> anyhow::Result<ExitStatus> {
        let what = match (self.errors, self.warnings) {
            (0, 0) => return Ok(ExitStatus::Ok),
            (0, _) if !args.warnings_as_errors => return Ok(ExitStatus::Ok),
            (0, warnings) => human::count(warnings, "warning"),
            (errors, _) => human::count(errors, "error"),
        };
        Err(Failure::new(ExitStatus::Failure, format!("the checks found {what}")).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_apart_and_documented() {
        const DOCS: &str = include_str!("../../../../docs/cli.md");
        let mut names: Vec<_> = Id::ALL.map(Id::as_str).into();
        for name in &names {
            assert!(
                DOCS.contains(&format!("| `{name}` |")),
                "docs/cli.md lacks the check `{name}`"
            );
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Id::ALL.len());
    }

    #[test]
    fn warnings_count_as_errors_only_when_asked_to() {
        let check = |warnings, errors, warnings_as_errors, is_ok| {
            let report = Report {
                checks: Vec::new(),
                ok: 1,
                warnings,
                errors,
                skipped: 0,
            };
            let args = CheckArgs {
                list: false,
                dont_run: Vec::new(),
                config: None,
                warnings_as_errors,
            };
            assert_eq!(report.status(&args).is_ok(), is_ok);
        };
        check(0, 0, true, true);
        check(2, 0, false, true);
        check(2, 0, true, false);
        check(0, 1, false, false);
    }
}

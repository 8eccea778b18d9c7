//! The socket: who holds the data folder answers, and is of the version of this command.

use wasm_edge_daemon::folder::survey::Holder;

use super::facts::{Device, Folder};
use super::verdict::Verdict;
use crate::commands::running::IS_A_HUB;

/// Judges the answer.
pub(super) fn judge(folder: &Folder, device: &Device) -> Verdict {
    let own = env!("CARGO_PKG_VERSION");
    let holder = match folder {
        Folder::Found { survey, .. } => survey.holder,
        _ => return folder.skipped(),
    };
    match device {
        Device::Answers(info) if info.version == own => {
            Verdict::ok(format!("the device answers and has version {own}"))
        }
        Device::Answers(info) => {
            let summary = format!(
                "the device has version {}, and this command version {own}",
                info.version
            );
            Verdict::warning(summary).hint("restart the device, or use the command of its version")
        }
        Device::Hub(info) if info.version == own => {
            Verdict::ok(format!("{IS_A_HUB}; it answers and has version {own}"))
        }
        Device::Hub(info) => {
            let summary = format!(
                "{IS_A_HUB}; it has version {}, and this command version {own}",
                info.version
            );
            Verdict::warning(summary).hint("restart the hub, or use the command of its version")
        }
        Device::Silent { problem } => Verdict::error(problem.clone())
            .hint("look at the device's own output; a command has to run as the same user"),
        Device::None if matches!(holder, Holder::Process(_)) => {
            Verdict::error("a process holds the data folder, and nobody listens on the socket")
                .hint("it may be about to start or to end; look again, and at its own output")
        }
        Device::None => Verdict::skipped("no device runs on this data folder"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{answers, found, hub};
    use super::super::verdict::Grade;
    use super::*;

    fn check(holder: Holder, device: &Device, grade: Grade, part: &str) {
        let verdict = judge(&found(|it| it.holder = holder), device);
        assert_eq!(verdict.grade, grade, "{verdict:?}");
        assert!(verdict.summary.contains(part), "{verdict:?}");
    }

    #[test]
    fn the_holder_answers_with_our_version() {
        let held = Holder::Process(Some(7));
        check(held, &answers(7), Grade::Ok, "answers");
        let mut other = answers(7);
        if let Device::Answers(info) = &mut other {
            info.version = "9.9.9".to_owned();
        }
        check(held, &other, Grade::Warning, "has version 9.9.9");
        check(held, &hub(7), Grade::Ok, "is a hub and runs no device");
        let mut other = hub(7);
        if let Device::Hub(info) = &mut other {
            info.version = "9.9.9".to_owned();
        }
        check(held, &other, Grade::Warning, "has version 9.9.9");
        check(held, &Device::None, Grade::Error, "nobody listens");
        check(Holder::Nobody, &Device::None, Grade::Skipped, "no device");
        let silent = Device::Silent {
            problem: "the device did not answer within 30 s".to_owned(),
        };
        check(held, &silent, Grade::Error, "30 s");
    }
}

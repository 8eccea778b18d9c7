//! Commands that are asked for several images: each is carried out, and what failed is named at the end.

use crate::exit_codes::ExitStatus;
use crate::failure::{self, Failure};
use crate::output::{Output, human};

/// What failed so far of a command for several images.
pub(super) struct Several {
    asked: usize,
    failed: Vec<(String, anyhow::Error)>,
}

impl Several {
    /// Nothing yet, of so many.
    pub(super) fn of(asked: usize) -> Self {
        Self {
            asked,
            failed: Vec::new(),
        }
    }

    /// One failed. It is told at once if others follow or went before.
    pub(super) fn add(&mut self, name: &str, err: anyhow::Error, output: &Output) {
        if self.asked > 1 {
            output.error(&err);
        }
        self.failed.push((name.to_owned(), err));
    }

    /// Whether all of them failed.
    pub(super) fn is_nothing_done(&self) -> bool {
        self.failed.len() == self.asked
    }

    /// How it ended: with the failure of the only one, else with the names of all that failed, which were not `done`. The
    /// exit code is theirs, if they have one in common.
    pub(super) fn result(mut self, done: &str) -> anyhow::Result<ExitStatus> {
        let names = self.failed.iter().map(|(name, _)| format!("`{name}`"));
        let names = names.collect::<Vec<_>>().join(", ");
        let mut statuses: Vec<ExitStatus> = self
            .failed
            .iter()
            .map(|(_, err)| failure::exit_status(err))
            .collect();
        statuses.dedup();
        let status = match statuses.as_slice() {
            [] => return Ok(ExitStatus::Ok),
            _ if self.asked == 1 => return Err(self.failed.remove(0).1),
            [status] => *status,
            _ => ExitStatus::Failure,
        };
        let (failed, asked) = (self.failed.len(), human::count(self.asked, "image"));
        Err(Failure::new(status, format!("{failed} of {asked} not {done}: {names}")).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::captured;
    use crate::output::{Format, Verbosity};

    #[test]
    fn what_failed_is_named_and_a_common_exit_code_is_kept() {
        let check = |asked, failed: &[(&str, ExitStatus)], expected: Option<(ExitStatus, &str)>| {
            let (output, _, messages) = captured(Format::Text, false, Verbosity::Normal);
            let mut several = Several::of(asked);
            for (name, status) in failed {
                several.add(name, Failure::new(*status, "why").into(), &output);
            }
            // One that is alone is told by who called.
            let told_at_once = messages.text().matches("error: why").count();
            assert_eq!(told_at_once, if asked > 1 { failed.len() } else { 0 });
            let ended = several.result("removed").err();
            let told = ended
                .as_ref()
                .map(|err| (failure::exit_status(err), err.to_string()));
            let told = told.as_ref().map(|(status, text)| (*status, text.as_str()));
            assert_eq!(told, expected);
        };
        let (missing, held) = (ExitStatus::NotFound, ExitStatus::Failure);
        check(2, &[], None);
        check(1, &[("a", missing)], Some((missing, "why")));
        check(
            2,
            &[("a", missing)],
            Some((missing, "1 of 2 images not removed: `a`")),
        );
        check(
            3,
            &[("a", missing), ("b", held)],
            Some((held, "2 of 3 images not removed: `a`, `b`")),
        );
    }
}

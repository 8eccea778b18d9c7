//! The key files: without them what was encrypted is lost, and readable by others they are worth nothing.

use wasm_edge_daemon::folder::survey::KeyError;

use super::facts::Folder;
use super::verdict::Verdict;
use crate::output::human;
use wasm_edge_model::error::chain;

/// Judges the key files.
pub(super) fn judge(folder: &Folder) -> Verdict {
    let Folder::Found { survey, .. } = folder else {
        return folder.skipped();
    };
    let faults: Vec<_> = survey
        .keys
        .iter()
        .filter_map(|key| Some((&key.path, key.problem.as_ref()?)))
        .collect();
    if faults.is_empty() {
        let count = human::count(survey.keys.len(), "key file");
        return match survey.keys.len() {
            0 => Verdict::skipped("there are no key files yet"),
            _ => Verdict::ok(format!("{count}, whole and private")),
        };
    }
    let exposed = faults
        .iter()
        .find(|(_, problem)| matches!(problem, KeyError::Exposed { .. }));
    let hint = match exposed {
        Some((path, _)) => format!("`chmod 600 {}`", survey.path.join(path).display()),
        None => "restore it from a backup; what was encrypted with it cannot be read without it"
            .to_owned(),
    };
    let details = faults
        .iter()
        .map(|(path, problem)| format!("`{}`: {}", path.display(), chain(problem)));
    let count = human::count(faults.len(), "key file");
    Verdict::error(format!(
        "{count} cannot be used, and the device does not start"
    ))
    .details(details)
    .hint(hint)
}

#[cfg(test)]
mod tests {
    use wasm_edge_daemon::folder::survey::KeyFile;

    use super::super::facts::tests::found;
    use super::super::verdict::Grade;
    use super::*;

    fn check(problems: Vec<Option<KeyError>>, grade: Grade, parts: &[&str]) {
        let folder = found(|it| {
            it.keys = problems
                .into_iter()
                .map(|problem| KeyFile {
                    path: "precompiled/master.key".into(),
                    problem,
                })
                .collect();
        });
        let verdict = judge(&folder);
        verdict.assert(grade, parts);
    }

    #[test]
    fn keys_are_whole_and_private() {
        check(vec![None, None], Grade::Ok, &["2 key files"]);
        check(vec![], Grade::Skipped, &["no key files"]);
        let exposed = Some(KeyError::Exposed { mode: 0o644 });
        check(
            vec![None, exposed],
            Grade::Error,
            &[
                "1 key file",
                "mode 644",
                "`chmod 600 /data/precompiled/master.key`",
            ],
        );
        check(
            vec![Some(KeyError::Length { found: 5 })],
            Grade::Error,
            &["has 5 bytes", "backup"],
        );
    }
}

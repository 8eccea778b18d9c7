//! The data folder as a whole: there, ours, of a known format, private and writable.

use wasm_edge_daemon::folder::FORMAT_VERSION;
use wasm_edge_daemon::folder::survey::Content;

use super::facts::Folder;
use super::verdict::{Grade, Verdict};

/// What the permission bits of the folder have to be.
const MODE: u32 = 0o700;

/// Most lines about single files.
const DETAILS_MAX: usize = 20;

/// Judges the folder.
pub(super) fn judge(folder: &Folder) -> Verdict {
    let survey = match folder {
        Folder::Found { survey, .. } => survey,
        Folder::Unnamed => return folder.skipped(),
        Folder::Missing { path } => {
            return Verdict::ok(format!(
                "`{}` is not there yet; `run` makes it",
                path.display()
            ));
        }
        Folder::Closed { path, problem } => {
            let summary = format!("`{}` cannot be looked at: {problem}", path.display());
            return Verdict::error(summary)
                .hint("give a folder that belongs to the user who runs the device");
        }
    };
    let path = survey.path.display();
    match survey.content {
        Content::Known => {}
        Content::Empty => return Verdict::ok(format!("`{path}` is empty; `run` takes it over")),
        Content::Foreign => {
            return Verdict::error(format!(
                "`{path}` is neither empty nor a data folder of wasm-edge"
            ))
            .hint("name another folder with `--data-dir DIR`");
        }
        Content::Other { found } => {
            let summary =
                format!("`{path}` has format {found}, this version reads format {FORMAT_VERSION}");
            return Verdict::error(summary)
                .hint("use the version that wrote it, or another folder");
        }
        Content::Damaged => {
            let hint = format!(
                "if it is a data folder, write `wasm-edge-data {FORMAT_VERSION}` into its file `format`"
            );
            return Verdict::error(format!(
                "the file `{path}/format` says nothing that is known"
            ))
            .hint(hint);
        }
    }
    rights(folder).unwrap_or_else(|| {
        Verdict::ok(format!(
            "`{path}` is a data folder of format {FORMAT_VERSION}"
        ))
    })
}

/// What is wrong with who may do what in the folder.
fn rights(folder: &Folder) -> Option<Verdict> {
    let Folder::Found {
        survey,
        user,
        is_writable,
    } = folder
    else {
        return None;
    };
    let path = survey.path.display();
    if !is_writable || survey.mode & MODE != MODE {
        let summary = format!("`{path}` has mode {:o} and cannot be written", survey.mode);
        return Some(
            Verdict::error(summary).hint(format!("as its owner: `chmod {MODE:o} {path}`")),
        );
    }
    if !survey.unread.is_empty() {
        let lines = survey.unread.iter().take(DETAILS_MAX);
        let lines = lines.map(|(path, err)| format!("`{}`: {err}", path.display()));
        return Some(
            Verdict::error(format!("not all of `{path}` can be read"))
                .details(lines)
                .hint("all of it has to belong to the user who runs the device"),
        );
    }
    if survey.mode != MODE || !survey.exposed.is_empty() {
        let lines = survey.exposed.iter().take(DETAILS_MAX);
        let lines = lines.map(|(path, mode)| format!("`{}` has mode {mode:o}", path.display()));
        let whole =
            (survey.mode != MODE).then(|| format!("the folder itself has mode {:o}", survey.mode));
        let verdict = Verdict::new(
            Grade::Warning,
            format!("others than the owner may look into `{path}`"),
        );
        return Some(
            verdict
                .details(whole.into_iter().chain(lines))
                .hint(format!("`chmod -R go= {path}`")),
        );
    }
    (survey.owner != *user).then(|| {
        Verdict::warning(format!(
            "`{path}` belongs to user {}, and this is user {user}",
            survey.owner
        ))
        .hint("run the device and its commands as one user")
    })
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::found;
    use super::*;

    fn check(folder: &Folder, grade: Grade, part: &str) {
        let verdict = judge(folder);
        assert_eq!(verdict.grade, grade, "{verdict:?}");
        assert!(
            format!("{verdict:?}").contains(part),
            "{part} is not in {verdict:?}"
        );
    }

    #[test]
    fn a_folder_is_ours_or_can_be() {
        check(&found(|_| {}), Grade::Ok, "data folder of format 1");
        check(&found(|it| it.content = Content::Empty), Grade::Ok, "empty");
        check(
            &found(|it| it.content = Content::Foreign),
            Grade::Error,
            "neither empty nor",
        );
        check(
            &found(|it| it.content = Content::Other { found: 2 }),
            Grade::Error,
            "format 2",
        );
        check(
            &found(|it| it.content = Content::Damaged),
            Grade::Error,
            "wasm-edge-data 1",
        );
        check(&Folder::Unnamed, Grade::Skipped, "--data-dir");
        check(
            &Folder::Missing { path: "/x".into() },
            Grade::Ok,
            "not there yet",
        );
        let closed = Folder::Closed {
            path: "/x".into(),
            problem: "Permission denied".to_owned(),
        };
        check(&closed, Grade::Error, "Permission denied");
    }

    #[test]
    fn a_folder_is_private_and_writable() {
        check(&found(|it| it.mode = 0o500), Grade::Error, "chmod 700");
        check(
            &found(|it| it.mode = 0o755),
            Grade::Warning,
            "the folder itself has mode 755",
        );
        let exposed = found(|it| it.exposed = vec![("devices".into(), 0o777)]);
        check(&exposed, Grade::Warning, "`devices` has mode 777");
        check(
            &found(|it| it.owner = 7),
            Grade::Warning,
            "belongs to user 7",
        );
        let unread = found(|it| it.unread = vec![("hub".into(), std::io::Error::other("no"))]);
        check(&unread, Grade::Error, "`hub`: no");
        let Folder::Found { survey, user, .. } = found(|_| {}) else {
            unreachable!("it is found")
        };
        check(
            &Folder::Found {
                survey,
                user,
                is_writable: false,
            },
            Grade::Error,
            "cannot be written",
        );
    }
}

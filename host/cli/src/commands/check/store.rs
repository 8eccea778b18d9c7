//! The databases: whole, and of a version that this program reads.

use wasm_edge_daemon::folder::survey::{DatabaseError, DatabaseFile, Holder, RecordedFormat};
use wasm_edge_daemon::twins;

use super::facts::Folder;
use super::verdict::Verdict;
use crate::output::human;
use wasm_edge_model::error::chain;

/// Judges the databases.
pub(super) fn judge(folder: &Folder) -> Verdict {
    let Folder::Found { survey, .. } = folder else {
        return folder.skipped();
    };
    if survey.holder != Holder::Nobody {
        return Verdict::skipped("the process that holds the data folder has the databases open");
    }
    let faults: Vec<_> = survey
        .databases
        .iter()
        .filter_map(|it| Some((it, fault(it)?)))
        .collect();
    if let Some((first, _)) = faults.first() {
        let details = faults
            .iter()
            .map(|(it, fault)| format!("`{}`: {fault}", it.path.display()));
        let hint = match &first.format {
            Err(DatabaseError::Damaged { .. }) => {
                "restore it from a backup; else the next start puts it aside and begins with an empty one"
            }
            Err(_) => "see that the file can be read by the user who runs the device",
            Ok(_) => "use the version of wasm-edge that wrote it, or another data folder",
        };
        let count = human::count(faults.len(), "database");
        return Verdict::error(format!("{count} cannot be used"))
            .details(details)
            .hint(hint);
    }
    if !survey.put_aside.is_empty() {
        let count = human::count(survey.put_aside.len(), "damaged database");
        let details = survey
            .put_aside
            .iter()
            .map(|path| format!("`{}`", path.display()));
        return Verdict::warning(format!(
            "{count} kept aside, and empty ones took their place"
        ))
        .details(details)
        .hint("restore from a backup what is missed, and move these files away");
    }
    match survey.databases.len() {
        0 => Verdict::skipped("there are no databases yet"),
        count => Verdict::ok(format!("{}, whole", human::count(count, "database"))),
    }
}

fn fault(database: &DatabaseFile) -> Option<String> {
    match &database.format {
        Err(err) => Some(chain(err)),
        Ok(recorded) => foreign(recorded.as_ref()?),
    }
}

/// What is wrong with a format; of a kind that this build does not use, nothing can be said.
fn foreign(recorded: &RecordedFormat) -> Option<String> {
    let known = [
        twins::FORMAT,
        #[cfg(feature = "hub")]
        wasm_edge_hub::store::embedded::DATABASE_FORMAT,
    ];
    let known = known
        .into_iter()
        .find(|format| format.kind == recorded.kind)?;
    (known.version != recorded.version).then(|| {
        format!(
            "its format is `{} {}`, this version reads `{} {}`",
            recorded.kind, recorded.version, known.kind, known.version
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::found;
    use super::super::verdict::Grade;
    use super::*;

    fn recorded(kind: &str, version: u64) -> Result<Option<RecordedFormat>, DatabaseError> {
        Ok(Some(RecordedFormat {
            kind: kind.to_owned(),
            version,
        }))
    }

    fn check(
        formats: Vec<Result<Option<RecordedFormat>, DatabaseError>>,
        grade: Grade,
        parts: &[&str],
    ) {
        let folder = found(|it| {
            let file = |format| DatabaseFile {
                path: "devices/d/store/device.redb".into(),
                format,
            };
            it.databases = formats.into_iter().map(file).collect();
        });
        let verdict = judge(&folder);
        verdict.assert(grade, parts);
    }

    #[test]
    fn databases_are_whole_and_known() {
        check(
            vec![recorded("device", 1), Ok(None)],
            Grade::Ok,
            &["2 databases"],
        );
        check(
            vec![recorded("of another day", 9)],
            Grade::Ok,
            &["1 database"],
        );
        check(
            vec![recorded("device", 2)],
            Grade::Error,
            &["`device 2`, this version reads `device 1`"],
        );
        let damaged = DatabaseError::Damaged {
            file: "device.redb".to_owned(),
            cause: "bad magic".to_owned(),
        };
        check(
            vec![Err(damaged)],
            Grade::Error,
            &["is damaged: bad magic", "backup"],
        );
        check(vec![], Grade::Skipped, &["no databases yet"]);
    }

    #[test]
    fn what_was_put_aside_is_told_and_open_ones_are_not_read() {
        let aside = found(|it| it.put_aside = vec!["hub/hub.redb.damaged-1".into()]);
        assert_eq!(judge(&aside).grade, Grade::Warning);
        let held = found(|it| it.holder = Holder::Process(Some(7)));
        assert_eq!(judge(&held).grade, Grade::Skipped);
    }
}

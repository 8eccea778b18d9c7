//! Who holds the data folder, and whether that is the process that answers.

use wasm_edge_daemon::folder::survey::Holder;

use super::facts::{Device, Folder};
use super::verdict::Verdict;

/// Judges the holder.
pub(super) fn judge(folder: &Folder, device: &Device) -> Verdict {
    let Folder::Found { survey, .. } = folder else {
        return folder.skipped();
    };
    match (survey.holder, device.pid()) {
        (Holder::Nobody, None) => Verdict::ok("no process holds the data folder"),
        (Holder::Process(None), _) => Verdict::ok("a process holds the data folder"),
        (Holder::Process(Some(pid)), Some(answering)) if pid != answering => {
            Verdict::warning(format!(
                "process {pid} holds the data folder, and process {answering} answers on its socket"
            ))
            .hint("end one of them")
        }
        (Holder::Process(Some(pid)), _) => {
            Verdict::ok(format!("process {pid} holds the data folder"))
        }
        (Holder::Nobody, Some(answering)) => Verdict::warning(format!(
            "process {answering} answers on the socket and does not hold the data folder"
        ))
        .hint("was the folder copied or moved while the device ran? Restart the device"),
        (Holder::Unknown, _) => Verdict::skipped("`/proc/locks` cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{answers, found};
    use super::super::verdict::Grade;
    use super::*;

    fn check(holder: Holder, device: &Device, grade: Grade, part: &str) {
        let verdict = judge(&found(|it| it.holder = holder), device);
        assert_eq!(verdict.grade, grade, "{verdict:?}");
        assert!(verdict.summary.contains(part), "{verdict:?}");
    }

    #[test]
    fn the_holder_is_who_answers() {
        check(Holder::Nobody, &Device::None, Grade::Ok, "no process");
        check(
            Holder::Process(Some(7)),
            &answers(7),
            Grade::Ok,
            "process 7 holds",
        );
        check(Holder::Process(None), &answers(7), Grade::Ok, "a process");
        check(
            Holder::Process(Some(8)),
            &answers(7),
            Grade::Warning,
            "process 8 holds",
        );
        check(Holder::Nobody, &answers(7), Grade::Warning, "does not hold");
        check(
            Holder::Unknown,
            &Device::None,
            Grade::Skipped,
            "/proc/locks",
        );
        assert_eq!(judge(&Folder::Unnamed, &Device::None).grade, Grade::Skipped);
    }
}

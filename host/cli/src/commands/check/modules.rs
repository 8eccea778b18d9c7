//! The modules of the running device: each runs, and its image is there for the next start.

use super::facts::{Device, ModuleFact};
use super::verdict::{Grade, Verdict};
use crate::commands::running::IS_A_HUB;
use crate::output::human;

/// Judges every module.
pub(super) fn judge(device: &Device) -> Verdict {
    if let Device::Hub(_) = device {
        return Verdict::skipped(IS_A_HUB);
    }
    let Some(modules) = device.modules() else {
        return Verdict::skipped("no device answers");
    };
    if modules.is_empty() {
        return Verdict::warning("no module is deployed")
            .hint("start a deployment with `wasm-edge run FILE`");
    }
    let faults: Vec<(Grade, String)> = modules.iter().flat_map(faults).collect();
    let worst = faults
        .iter()
        .map(|(grade, _)| *grade)
        .max()
        .unwrap_or(Grade::Ok);
    let hint = match worst {
        Grade::Ok | Grade::Skipped => {
            let to_run = modules.iter().filter(|it| it.is_to_run()).count();
            let summary = match (to_run, modules.len()) {
                (to_run, all) if to_run == all => human::count(all, "module"),
                (to_run, all) => format!("{to_run} of {}", human::count(all, "module")),
            };
            return Verdict::ok(format!("{summary} to run, and running"));
        }
        Grade::Warning => "`wasm-edge inspect MODULE` has more",
        Grade::Error => "`wasm-edge inspect MODULE` and `wasm-edge logs MODULE` have more",
    };
    let summary = format!(
        "{} with {}",
        human::count(modules.len(), "module"),
        human::count(faults.len(), "finding")
    );
    Verdict::new(worst, summary)
        .details(faults.into_iter().map(|(_, text)| text))
        .hint(hint)
}

fn faults(module: &ModuleFact) -> Vec<(Grade, String)> {
    let mut faults = Vec::new();
    let name = match module.device.is_empty() {
        true => format!("`{}`", module.module),
        false => format!("`{}/{}`", module.device, module.module),
    };
    if module.image_is_missing {
        faults.push((
            Grade::Error,
            format!(
                "{name}: the image `{}` is not there, and the next start needs it",
                module.image
            ),
        ));
    }
    let status = module.status.as_str();
    match status {
        "running" => {}
        _ if !module.is_to_run() => {}
        "failed" | "dead" => faults.push((
            Grade::Error,
            format!("{name} has status {status}: {}", module.status_description),
        )),
        _ => faults.push((
            Grade::Warning,
            format!("{name} has status {status}: {}", module.status_description),
        )),
    }
    if module.messages_set_aside > 0 {
        let count = usize::try_from(module.messages_set_aside).unwrap_or(usize::MAX);
        faults.push((
            Grade::Warning,
            format!("{name}: {} put aside", human::count(count, "message")),
        ));
    }
    let warnings = module
        .warnings
        .iter()
        .map(|warning| (Grade::Warning, format!("{name}: {warning}")));
    faults.extend(warnings);
    faults
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{answers_with, hub, module};
    use super::*;

    fn check(change: impl FnOnce(&mut ModuleFact), grade: Grade, part: &str) {
        let mut broken = module("filter");
        change(&mut broken);
        let verdict = judge(&answers_with(vec![module("sensor"), broken]));
        assert_eq!(verdict.grade, grade, "{verdict:?}");
        assert!(
            format!("{verdict:?}").contains(part),
            "{part} is not in {verdict:?}"
        );
    }

    #[test]
    fn modules_run_and_their_images_are_there() {
        check(|_| {}, Grade::Ok, "2 modules to run, and running");
        check(
            |it| it.image_is_missing = true,
            Grade::Error,
            "`d/filter`: the image `file:/m.wasm` is not there",
        );
        check(
            |it| it.status = "failed".to_owned(),
            Grade::Error,
            "has status failed: fine",
        );
        check(
            |it| it.status = "backoff".to_owned(),
            Grade::Warning,
            "has status backoff",
        );
        check(
            |it| (it.status, it.desired_status) = ("stopped".to_owned(), "stopped".to_owned()),
            Grade::Ok,
            "1 of 2 modules to run, and running",
        );
        check(
            |it| it.messages_set_aside = 1,
            Grade::Warning,
            "1 message put aside",
        );
        check(
            |it| it.warnings = vec!["`x` has no meaning".to_owned()],
            Grade::Warning,
            "no meaning",
        );
    }

    #[test]
    fn without_modules_there_is_nothing_to_judge() {
        assert_eq!(judge(&Device::None).grade, Grade::Skipped);
        judge(&hub(7)).assert(Grade::Skipped, &["is a hub and runs no device"]);
        assert_eq!(judge(&answers_with(Vec::new())).grade, Grade::Warning);
    }
}

//! The user's home folders: where `run` keeps data and announces devices.

use super::facts::Homes;
use super::verdict::Verdict;

/// Judges what the environment says.
pub(super) fn judge(homes: &Homes) -> Verdict {
    let mut details = Vec::new();
    for (name, value) in [
        ("XDG_STATE_HOME", &homes.xdg_state_home),
        ("XDG_DATA_HOME", &homes.xdg_data_home),
    ] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_absolute()) {
            details.push(format!(
                "`{name}` is `{}`, which is no absolute path and not heeded",
                value.display()
            ));
        }
    }
    let relative = !details.is_empty();
    match (&homes.live, homes.live_is_writable) {
        (None, _) => Verdict::warning("neither `HOME` nor `XDG_STATE_HOME` is set")
            .details(details)
            .hint("a device is found by `--data-dir` only; set `HOME`"),
        (Some(live), false) => Verdict::warning(format!("`{}` cannot be written", live.display()))
            .details(details)
            .hint("a device is found by `--data-dir` only; make the folder writable for this user"),
        (Some(_), true) if relative => Verdict::warning("a variable is not heeded")
            .details(details)
            .hint("set it to an absolute path, or unset it"),
        (Some(live), true) => Verdict::ok(format!("devices are announced in `{}`", live.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Grade;
    use super::*;

    fn check(change: impl FnOnce(&mut Homes), grade: Grade, part: &str) {
        let mut homes = Homes {
            xdg_state_home: None,
            xdg_data_home: None,
            live: Some("/h/.local/state/wasm-edge/live".into()),
            live_is_writable: true,
        };
        change(&mut homes);
        let verdict = judge(&homes);
        assert_eq!(verdict.grade, grade, "{verdict:?}");
        assert!(format!("{verdict:?}").contains(part), "{verdict:?}");
    }

    #[test]
    fn homes_are_absolute_and_writable() {
        check(|_| {}, Grade::Ok, "/h/.local/state/wasm-edge/live");
        check(|it| it.xdg_data_home = Some("/d".into()), Grade::Ok, "live");
        check(
            |it| it.xdg_data_home = Some("d".into()),
            Grade::Warning,
            "`XDG_DATA_HOME` is `d`",
        );
        check(|it| it.live = None, Grade::Warning, "neither `HOME`");
        check(
            |it| it.live_is_writable = false,
            Grade::Warning,
            "cannot be written",
        );
    }
}

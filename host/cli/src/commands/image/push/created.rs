//! When an image counts as made, such that the same file pushed again is the same image.
//!
//! The layout of images for WebAssembly has a time, which clients read; the time of the push would give each push a digest
//! of its own. `SOURCE_DATE_EPOCH` wins, as the specification of that name has it (reproducible-builds.org): then it is the
//! same on every machine.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use wasm_edge_model::time::Timestamp;

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// The variable that says when what is made counts as made, in seconds since 1970.
const VARIABLE: &str = "SOURCE_DATE_EPOCH";

/// The last second of the year 9999, the last that RFC 3339 can write.
const LATEST_SECS: u64 = 253_402_300_799;

/// When the image of a component's file counts as made.
///
/// # Errors
/// The file cannot be looked at, or the variable is no time.
pub(super) fn of_file(path: &Path) -> Result<Timestamp, Failure> {
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    let modified = modified.map_err(|err| {
        let what = format!("cannot read `{}`", path.display());
        Failure::new(ExitStatus::Failure, what).caused_by(err)
    })?;
    created(std::env::var_os(VARIABLE).as_deref(), modified)
}

/// What the variable says, where it is set and not empty, else when the file was changed last; in whole seconds, which
/// every file system keeps.
fn created(variable: Option<&OsStr>, modified: SystemTime) -> Result<Timestamp, Failure> {
    let said = variable.filter(|said| !said.is_empty());
    let secs = match said {
        Some(said) => said.to_str().and_then(|said| said.parse().ok()),
        // One from before 1970 says no more than 1970 does.
        None => Some(
            modified
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        ),
    };
    let secs = secs.filter(|secs: &u64| *secs <= LATEST_SECS);
    let millis = secs.and_then(|secs| i64::try_from(secs * 1000).ok());
    millis.map(Timestamp::from_unix_millis).ok_or_else(|| {
        let what = format!("`{VARIABLE}` is no number of seconds since 1970");
        Failure::new(ExitStatus::InvalidInput, what)
            .hint("unset it, or set it as `SOURCE_DATE_EPOCH=$(git log -1 --pretty=%ct)`")
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(variable: Option<&str>, modified_millis: u64, expected: Option<i64>) {
        let modified = UNIX_EPOCH + Duration::from_millis(modified_millis);
        let found = created(variable.map(OsStr::new), modified).ok();
        let expected = expected.map(Timestamp::from_unix_millis);
        assert_eq!(found, expected, "{variable:?}");
    }

    #[test]
    fn the_variable_wins_over_the_file() {
        check(None, 1_700_000_000_789, Some(1_700_000_000_000));
        check(Some(""), 1_700_000_000_789, Some(1_700_000_000_000));
        check(Some("0"), 1_700_000_000_789, Some(0));
        check(Some("253402300799"), 0, Some(253_402_300_799_000));
        for text in ["253402300800", "-1", "1.5", "now", "99999999999999999999"] {
            check(Some(text), 0, None);
        }
        let before = created(None, UNIX_EPOCH - Duration::from_secs(9)).ok();
        assert_eq!(before, Some(Timestamp::from_unix_millis(0)));
    }
}

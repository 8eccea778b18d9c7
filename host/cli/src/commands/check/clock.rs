//! The wall clock: a device that starts without the time signs tokens that nobody accepts, and dates what it sends.

use super::facts::Clock;
use super::verdict::Verdict;
use crate::output::human;

/// A clock that is so far after the build is more likely wrong than the build so old.
const AGE_MAX_SECS: i64 = 30 * 366 * 86_400;

/// Judges the time against the build's, and whether it is synchronised.
pub(super) fn judge(clock: &Clock) -> Verdict {
    let built = clock.built.to_string();
    let hint = "set the clock, and let a time service such as systemd-timesyncd or chrony keep it";
    let age_secs = clock.now.as_second() - clock.built.as_second();
    if age_secs < 0 {
        let summary = format!(
            "the time is {}, and this program was built later, {built}",
            clock.now
        );
        return Verdict::error(summary).hint(hint);
    }
    if age_secs > AGE_MAX_SECS {
        let ago = human::relative(clock.built, clock.now);
        return Verdict::warning(format!(
            "the time is {}, and this program was built {ago}",
            clock.now
        ))
        .hint(hint);
    }
    match clock.synchronised {
        Some(true) => Verdict::ok("the time is possible and synchronised"),
        Some(false) => Verdict::warning("the clock is not synchronised")
            .hint("let a time service such as systemd-timesyncd or chrony keep it"),
        None => Verdict::ok("the time is possible; whether it is synchronised cannot be told here"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Grade;
    use super::*;

    fn check(now: &str, synchronised: Option<bool>, grade: Grade, part: &str) {
        let clock = Clock {
            now: now.parse().unwrap(),
            built: "2026-06-01T00:00:00Z".parse().unwrap(),
            synchronised,
        };
        let verdict = judge(&clock);
        assert_eq!(verdict.grade, grade, "{verdict:?}");
        assert!(verdict.summary.contains(part), "{verdict:?}");
    }

    #[test]
    fn the_time_is_after_the_build_and_kept() {
        check(
            "2027-01-01T00:00:00Z",
            Some(true),
            Grade::Ok,
            "synchronised",
        );
        check("2027-01-01T00:00:00Z", None, Grade::Ok, "cannot be told");
        check(
            "2027-01-01T00:00:00Z",
            Some(false),
            Grade::Warning,
            "not synchronised",
        );
        check(
            "1970-01-01T00:00:12Z",
            Some(true),
            Grade::Error,
            "built later, 2026-06-01T00:00:00Z",
        );
        check("2099-01-01T00:00:00Z", Some(true), Grade::Warning, "ago");
    }
}

//! Reads durations as people write them on the command line: `20s`, `5m`, `1h 30m`, `500ms`.
//!
//! Used as a clap value parser; the values are bounded so that adding one to a point in time cannot overflow.

use std::time::Duration;

use jiff::SignedDuration;

/// The longest duration that is accepted: 366 days.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Parses a duration above zero and up to [`DURATION_MAX`].
///
/// # Errors
/// A sentence fragment for clap when the text is no duration with units or is out of range.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let expected = "expected a number with a unit, such as `20s`, `5m` or `1h30m`";
    let signed: SignedDuration = text.parse().map_err(|_| expected.to_owned())?;
    let duration = Duration::try_from(signed).map_err(|_| "must not be negative".to_owned())?;
    if duration.is_zero() {
        return Err("must be above zero".to_owned());
    }
    if duration > DURATION_MAX {
        return Err("must be at most 366 days (`8784h`)".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<u64>) {
        let millis = parse(text)
            .ok()
            .map(|d| u64::try_from(d.as_millis()).unwrap());
        assert_eq!(millis, expected, "for `{text}`");
    }

    #[test]
    fn durations_have_units() {
        check("20s", Some(20_000));
        check("5m", Some(300_000));
        check("1h30m", Some(5_400_000));
        check("1h 30m", Some(5_400_000));
        check("500ms", Some(500));
        check("8784h", Some(366 * 24 * 3_600_000));
    }

    #[test]
    fn what_is_no_duration_above_zero_is_refused() {
        for text in [
            "",
            "20",
            "s",
            "0s",
            "-5s",
            "5m ago",
            "8785h",
            "99999999999999999999h",
            "five minutes",
        ] {
            check(text, None);
        }
    }
}

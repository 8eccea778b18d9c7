//! Reads durations as people write them on the command line: `20s`, `5m`, `1h 30m`, `500ms`.
//!
//! Used as a clap value parser; the values are bounded so that adding one to a point in time cannot overflow.

use std::time::Duration;

use jiff::SignedDuration;
use wasm_edge_model::time::Timestamp;

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

/// Parses whole seconds, zero included as `0s`, up to [`DURATION_MAX`], for those to whom only seconds can be told.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let duration = match text {
        "0s" => Duration::ZERO,
        _ => parse(text)?,
    };
    if duration.subsec_nanos() != 0 {
        return Err("must be a whole number of seconds".to_owned());
    }
    Ok(duration)
}

/// A point in time as it is given: itself, or so long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// An RFC 3339 time.
    At(Timestamp),
    /// So long before the command's start.
    Ago(Duration),
}

impl Moment {
    /// The point in time, seen from `now`.
    pub(crate) fn seen_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(duration) => {
                let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
                Timestamp::from_unix_millis(now.unix_millis().saturating_sub(millis))
            }
        }
    }
}

/// Parses an RFC 3339 time or a duration.
///
/// # Errors
/// A sentence fragment for clap when the text is neither.
pub(crate) fn parse_moment(text: &str) -> Result<Moment, String> {
    if let Ok(time) = text.parse() {
        return Ok(Moment::At(time));
    }
    let expected = "expected a time such as `2026-08-01T10:00:00Z`, or a duration such as `10m`";
    parse(text)
        .map(Moment::Ago)
        .map_err(|_| expected.to_owned())
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
    fn where_seconds_count_there_are_none_between_them() {
        let check = |text: &str, expected: Option<u64>| {
            let seconds = parse_seconds(text).ok().map(|d| d.as_secs());
            assert_eq!(seconds, expected, "for `{text}`");
        };
        check("0s", Some(0));
        check("90s", Some(90));
        check("1m30s", Some(90));
        check("2000ms", Some(2));
        for text in ["1500ms", "0", "s", "", "-1s", "8785h"] {
            check(text, None);
        }
    }

    #[test]
    fn a_moment_is_a_time_or_so_long_ago() {
        let now: Timestamp = "2026-08-01T10:00:00Z".parse().unwrap();
        let check = |text: &str, expected: &str| {
            let moment = parse_moment(text).unwrap().seen_from(now);
            assert_eq!(moment, expected.parse().unwrap());
        };
        check("2026-07-01T00:00:00+02:00", "2026-06-30T22:00:00Z");
        check("90m", "2026-08-01T08:30:00Z");
        for text in ["", "yesterday", "10", "2026-07-01", "-5m"] {
            assert!(parse_moment(text).unwrap_err().contains("`10m`"), "{text}");
        }
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

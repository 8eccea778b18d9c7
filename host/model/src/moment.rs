//! Moments as those who ask for logs write them: a time, seconds since 1970, or so long ago.
//!
//! Pure: what "now" is, the caller says.

use jiff::{Span, SpanRelativeTo, Unit};

use crate::time::Timestamp;

/// The longest text that is read as a moment.
const TEXT_MAX_BYTES: usize = 100;

/// A text is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no time: expected one such as `2026-08-01T10:00:00Z`, seconds since 1970, or a duration before now such as `90m` or `1 day 12 hours`",
    .text.escape_debug()
)]
pub struct MomentError {
    /// The text, cut to a readable length.
    pub text: String,
}

/// Reads an RFC 3339 time, seconds since 1970, or a duration before `now` in days, hours, minutes and seconds.
///
/// # Errors
/// [`MomentError`] for any other text.
pub fn parse_moment(text: &str, now: Timestamp) -> Result<Timestamp, MomentError> {
    let error = || MomentError {
        text: text.chars().take(TEXT_MAX_BYTES).collect(),
    };
    if text.len() > TEXT_MAX_BYTES {
        return Err(error());
    }
    let text = text.trim();
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(from_unix_seconds(text.parse().unwrap_or(i64::MAX)));
    }
    let ago = millis(text).ok_or_else(error)?;
    Ok(Timestamp::from_unix_millis(
        now.unix_millis().saturating_sub(ago),
    ))
}

/// The time so many seconds after 1970, as [`Timestamp::from_unix_millis`] bounds it.
pub fn from_unix_seconds(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(seconds.saturating_mul(1000))
}

/// How long a text like `1 day 12 hours` is; weeks and less, and not below zero.
fn millis(text: &str) -> Option<i64> {
    let span: Span = text.to_ascii_lowercase().parse().ok()?;
    // How long a month or a year is, depends on when it begins.
    if span.get_years() != 0 || span.get_months() != 0 {
        return None;
    }
    let days = SpanRelativeTo::days_are_24_hours();
    let millis = span.total((Unit::Millisecond, days)).ok()?;
    (millis >= 0.0).then_some(millis as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-08-01T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn moments_are_times_seconds_or_durations_before_now() {
        let check = |text: &str, expected: &str| {
            let moment = parse_moment(text, now()).unwrap();
            assert_eq!(moment, expected.parse().unwrap(), "{text}");
        };
        check("2026-07-01T00:00:00+02:00", "2026-06-30T22:00:00Z");
        check(" 2026-07-01T00:00:00.5Z ", "2026-07-01T00:00:00.5Z");
        check("0", "1970-01-01T00:00:00Z");
        check("1785578400", "2026-08-01T10:00:00Z");
        check("1d", "2026-07-31T10:00:00Z");
        check("1 day", "2026-07-31T10:00:00Z");
        check("90m", "2026-08-01T08:30:00Z");
        check("1d 12h 30m", "2026-07-30T21:30:00Z");
        check("1 Day 12 Hours 30 Minutes", "2026-07-30T21:30:00Z");
        check("2 days 3 hours 2 minutes", "2026-07-30T06:58:00Z");
        check("2 days, 3 hours", "2026-07-30T07:00:00Z");
        check("20s", "2026-08-01T09:59:40Z");
        check("1 week", "2026-07-25T10:00:00Z");
        check("0s", "2026-08-01T10:00:00Z");
        // As far as there are times.
        check("99999999999999999999999999", "9999-12-30T21:59:59.999Z");
    }

    #[test]
    fn other_texts_are_no_moments() {
        for text in [
            "",
            " ",
            "yesterday",
            "-1d",
            "1d ago",
            "1.5.2",
            "1 month",
            "1 year",
            "d",
            "-5",
            "2026-07-01",
            "1 fortnight",
            "+5",
        ] {
            assert!(parse_moment(text, now()).is_err(), "{text}");
        }
        let long = "1s ".repeat(60);
        let err = parse_moment(&long, now()).unwrap_err().to_string();
        assert!(err.len() < 400, "{err}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([0-9]{1,20} ?[a-z]{0,8} ?){0,5}|.{0,60}") {
            let _ = parse_moment(&text, now());
        }
    }
}

//! Points in time as IoT Hub writes them.
//!
//! Owns the text form and its precision. Leaves reading the clock to the
//! outermost loops, which pass what they read. Twins, messages and statuses
//! carry these.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The step between two points in time: 100 ns, seven fractional digits.
const TICK_NANOSECONDS: i128 = 100;

/// The longest text read as a time; RFC 3339 with nine digits and an offset
/// has 35 characters.
const TEXT_MAX_BYTES: usize = 40;

/// A point in time, UTC, in steps of 100 ns.
///
/// Written as RFC 3339 with seven fractional digits and `Z`, as in IoT Hub's
/// twins: `2026-08-01T10:00:00.1234567Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

/// A text is no RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a time of the form `2026-08-01T10:00:00Z`", .text.escape_debug())]
pub struct TimestampError {
    /// The text, cut to a readable length.
    pub text: String,
}

impl Timestamp {
    /// The first instant of the year 1, which IoT Hub writes for "never".
    pub const UNSET: Self = Self(jiff::Timestamp::constant(-62_135_596_800, 0));

    /// The time so many milliseconds after 1970; times outside the years 1
    /// to 9999 become the nearest of these.
    pub fn from_unix_millis(millis: i64) -> Self {
        let last_millis = 253_402_207_200_000 - 1;
        let clamped = millis.clamp(Self::UNSET.unix_millis(), last_millis);
        let time = jiff::Timestamp::from_millisecond(clamped)
            .expect("the range of jiff's timestamps holds the clamped value");
        Self(time)
    }

    /// Milliseconds since 1970, rounded down; negative before.
    pub fn unix_millis(self) -> i64 {
        // Every time in range has a count of milliseconds far inside `i64`.
        self.0.as_nanosecond().div_euclid(1_000_000) as i64
    }

    /// The time so much later, to the millisecond; at most the end of the year 9999.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        Self::from_unix_millis(self.unix_millis().saturating_add(wait_ms))
    }

    /// The same time as jiff's type.
    pub fn as_jiff(self) -> jiff::Timestamp {
        self.0
    }
}

impl From<jiff::Timestamp> for Timestamp {
    /// Rounds down to 100 ns, so that what is written is read back equal.
    fn from(time: jiff::Timestamp) -> Self {
        let nanoseconds = time.as_nanosecond();
        let rounded = nanoseconds - nanoseconds.rem_euclid(TICK_NANOSECONDS);
        Self(jiff::Timestamp::from_nanosecond(rounded).unwrap_or(jiff::Timestamp::MIN))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.7}", self.0)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let error = || TimestampError {
            text: text.chars().take(TEXT_MAX_BYTES).collect(),
        };
        if !is_rfc3339_shape(text.as_bytes()) {
            return Err(error());
        }
        text.parse::<jiff::Timestamp>()
            .map(Self::from)
            .map_err(|_| error())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether the text is `dddd-dd-ddTdd:dd:dd[.d…](Z|±dd:dd)`.
///
/// jiff reads more forms than RFC 3339 (ISO 8601 basic, time zone names);
/// only the values of the digits are left to it.
fn is_rfc3339_shape(text: &[u8]) -> bool {
    let fits = |part: &[u8], pattern: &[u8]| {
        part.len() == pattern.len()
            && part
                .iter()
                .zip(pattern)
                .all(|(byte, expected)| match expected {
                    b'd' => byte.is_ascii_digit(),
                    other => byte.eq_ignore_ascii_case(other),
                })
    };
    if text.len() > TEXT_MAX_BYTES || text.len() < 20 || !fits(&text[..19], b"dddd-dd-ddTdd:dd:dd")
    {
        return false;
    }
    let mut rest = &text[19..];
    if let [b'.', after @ ..] = rest {
        let digits = after
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if !(1..=9).contains(&digits) {
            return false;
        }
        rest = &after[digits..];
    }
    fits(rest, b"Z") || fits(rest, b"+dd:dd") || fits(rest, b"-dd:dd")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_after_another_ends_with_the_year_9999() {
        let check = |text: &str, wait: Duration, expected: &str| {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(time.after(wait).to_string(), expected);
        };
        let day = "2026-08-01T10:00:00.0000000Z";
        check(day, Duration::from_secs(30), "2026-08-01T10:00:30.0000000Z");
        check(day, Duration::ZERO, day);
        let last = Timestamp::from_unix_millis(i64::MAX).to_string();
        check(day, Duration::MAX, &last);
        check(&last, Duration::from_millis(1), &last);
    }

    #[test]
    fn times_are_written_with_seven_digits() {
        let check = |text: &str, expected: &str| {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(time.to_string(), expected);
            assert_eq!(
                serde_json::to_string(&time).unwrap(),
                format!("{expected:?}")
            );
        };
        check("2026-08-01T10:00:00Z", "2026-08-01T10:00:00.0000000Z");
        check("2026-08-01t10:00:00.5z", "2026-08-01T10:00:00.5000000Z");
        check(
            "2026-08-01T12:00:00.123456789+02:00",
            "2026-08-01T10:00:00.1234567Z",
        );
        check("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.0000000Z");
        check(
            "1969-12-31T23:59:59.999999999Z",
            "1969-12-31T23:59:59.9999999Z",
        );
        assert_eq!(Timestamp::UNSET.to_string(), "0001-01-01T00:00:00.0000000Z");
    }

    #[test]
    fn other_texts_are_no_times() {
        let check = |text: &str| {
            let error = text.parse::<Timestamp>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`{text}` is not a time of the form `2026-08-01T10:00:00Z`")
            );
        };
        check("");
        check("2026-08-01");
        check("2026-08-01T10:00:00");
        check("2026-13-01T10:00:00Z");
        check("2026-08-01T10:00:00.Z");
        check("2026-08-01 10:00:00Z");
        check("20260801T100000Z");
        check("2026-08-01T10:00:00+0100");
        check("2026-08-01T10:00:00.1234567890Z");
    }

    #[test]
    fn milliseconds_go_both_ways() {
        let check = |millis: i64, expected: &str| {
            let time = Timestamp::from_unix_millis(millis);
            assert_eq!(time.to_string(), expected);
            assert_eq!(time.unix_millis(), millis);
        };
        check(0, "1970-01-01T00:00:00.0000000Z");
        check(1_785_578_400_123, "2026-08-01T10:00:00.1230000Z");
        check(-1, "1969-12-31T23:59:59.9990000Z");
        assert_eq!(Timestamp::from_unix_millis(i64::MIN), Timestamp::UNSET);
        let last = Timestamp::from_unix_millis(i64::MAX);
        assert_eq!(last.to_string(), "9999-12-30T21:59:59.9990000Z");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanoseconds in 0..4_000_000_000_000_000_000_i128) {
            let time = Timestamp::from(jiff::Timestamp::from_nanosecond(nanoseconds).unwrap());
            prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }

        #[test]
        fn no_text_panics(text in ".{0,50}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}

//! Numbers and times as people read them. JSON output uses none of this.

use jiff::Timestamp;

/// A size with a binary unit and three digits: `0 B`, `999 B`, `1.50 KiB`, `16.0 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10) as usize;
    // Two digits after the point are shown, so hundredths of the unit are exact enough, and need no floats.
    let hundredths = (u128::from(bytes) * 100) >> (10 * power);
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    let unit = UNITS[power - 1];
    match whole {
        0..10 => format!("{whole}.{rest:02} {unit}"),
        10..100 => format!("{whole}.{} {unit}", rest / 10),
        _ => format!("{whole} {unit}"),
    }
}

/// How long ago `then` was, in its two largest units: `now`, `42s ago`, `3m 20s ago`, `5d 1h ago`; `in 3s` if it is to come.
pub(crate) fn relative(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - then.as_second();
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("{} ago", duration(seconds.unsigned_abs())),
        _ => format!("in {}", duration(seconds.unsigned_abs())),
    }
}

/// The time of day in UTC with milliseconds: `14:03:59.120Z`.
pub(crate) fn time_of_day(time: Timestamp) -> String {
    let millis = time.as_millisecond().rem_euclid(86_400_000);
    let (seconds, millis) = (millis / 1000, millis % 1000);
    format!(
        "{:02}:{:02}:{:02}.{millis:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// A number of things, with the word in singular or plural.
pub(crate) fn count(number: usize, singular: &str) -> String {
    match number {
        1 => format!("1 {singular}"),
        _ => format!("{number} {singular}s"),
    }
}

/// A length of time in its two largest units: `42s`, `3m 20s`, `5d 1h`.
pub(crate) fn duration(seconds: u64) -> String {
    const UNITS: [(u64, char); 4] = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
    let first = UNITS
        .iter()
        .position(|(length, _)| seconds >= *length)
        .unwrap_or(UNITS.len() - 1);
    let (length, letter) = UNITS[first];
    let mut text = format!("{}{letter}", seconds / length);
    if let Some((next, letter)) = UNITS.get(first + 1) {
        let rest = seconds % length / next;
        if rest > 0 {
            text.push_str(&format!(" {rest}{letter}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_and_a_unit() {
        let check = |bytes, expected: &str| assert_eq!(size(bytes), expected);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1.00 KiB");
        check(1536, "1.50 KiB");
        check(16 << 20, "16.0 MiB");
        check(200 << 20, "200 MiB");
        check((1 << 30) - 1, "1023 MiB");
        check(u64::MAX, "15.9 EiB");
    }

    #[test]
    fn times_are_relative_in_two_units() {
        let now: Timestamp = "2026-01-10T12:00:00Z".parse().unwrap();
        let check =
            |then: &str, expected: &str| assert_eq!(relative(then.parse().unwrap(), now), expected);
        check("2026-01-10T12:00:00Z", "now");
        check("2026-01-10T11:59:18Z", "42s ago");
        check("2026-01-10T11:56:40Z", "3m 20s ago");
        check("2026-01-10T11:00:00Z", "1h ago");
        check("2026-01-05T10:59:59Z", "5d 1h ago");
        check("2026-01-10T12:00:03Z", "in 3s");
        check("0001-01-01T00:00:00Z", "739625d 12h ago");
    }

    #[test]
    fn the_time_of_day_is_right_before_1970_too() {
        let check =
            |time: &str, expected: &str| assert_eq!(time_of_day(time.parse().unwrap()), expected);
        check("2026-01-10T14:03:59.1209Z", "14:03:59.120Z");
        check("1969-12-31T23:59:59.5Z", "23:59:59.500Z");
    }

    #[test]
    fn words_agree_with_their_number() {
        let check = |number, expected: &str| assert_eq!(count(number, "fault"), expected);
        check(0, "0 faults");
        check(1, "1 fault");
        check(2, "2 faults");
    }
}

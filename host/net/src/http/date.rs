//! The time in a header `Date`.
//!
//! Source: RFC 9110 section 5.6.7; only the form that is to be sent is read.

use wasm_edge_model::time::Timestamp;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT`; the name of the day is not compared.
pub fn parse(text: &str) -> Option<Timestamp> {
    if text.len() != 29 || !text.is_ascii() {
        return None;
    }
    let (day_name, rest) = text.split_at(5);
    if !day_name.ends_with(", ") || !rest.ends_with(" GMT") {
        return None;
    }
    let spaced = [2, 6, 11].iter().all(|&at| rest.as_bytes()[at] == b' ');
    let timed = [14, 17].iter().all(|&at| rest.as_bytes()[at] == b':');
    if !spaced || !timed {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = &rest[from..to];
        let all = digits.bytes().all(|byte| byte.is_ascii_digit());
        all.then_some(digits)
    };
    let month = MONTHS.iter().position(|month| *month == &rest[3..6])? + 1;
    let (day, year) = (number(0, 2)?, number(7, 11)?);
    let (hour, minute, second) = (number(12, 14)?, number(15, 17)?, number(18, 20)?);
    // A second that is added now and then is the one before it for our purposes.
    let second = if second == "60" { "59" } else { second };
    let text = format!("{year}-{month:02}-{day}T{hour}:{minute}:{second}Z");
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_the_form_that_is_sent() {
        let check = |text: &str, expected: Option<&str>| {
            let found = parse(text).map(|time| time.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check(
            "Sun, 06 Nov 1994 08:49:37 GMT",
            Some("1994-11-06T08:49:37.0000000Z"),
        );
        check(
            "Sat, 31 Dec 2016 23:59:60 GMT",
            Some("2016-12-31T23:59:59.0000000Z"),
        );
        for wrong in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Now 1994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994T08:49:37 GMT",
            "Sün, 6 Nov 1994 08:49:37 GMT",
        ] {
            check(wrong, None);
        }
    }
}

//! From when to when a certificate is good, as it says itself.
//!
//! Owns finding these two times in the DER form (RFC 5280, section 4.1), for those who tell a person of them. Leaves
//! judging certificates to TLS, which reads them by itself.

use wasm_edge_model::time::Timestamp;

/// The time in which a certificate is good, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub not_before: Timestamp,
    /// Until then.
    pub not_after: Timestamp,
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The version, which those of version 1 leave out.
const VERSION: u8 = 0xa0;

/// The most bytes in which a length is written: more than any certificate has.
const LENGTH_MAX_BYTES: usize = 4;

impl Validity {
    /// Of a certificate in the DER form; nothing where this is none.
    pub fn of(der: &[u8]) -> Option<Self> {
        let mut certificate = Reader(Reader(der).take(SEQUENCE)?);
        let mut fields = Reader(certificate.take(SEQUENCE)?);
        if fields.is_next(VERSION) {
            fields.take(VERSION)?;
        }
        fields.take(INTEGER)?;
        // The algorithm of the signature, and who issued it.
        fields.take(SEQUENCE)?;
        fields.take(SEQUENCE)?;
        let mut validity = Reader(fields.take(SEQUENCE)?);
        Some(Self {
            not_before: validity.time()?,
            not_after: validity.time()?,
        })
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn is_next(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// The content of the next value, which has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_first_chunk::<2>()?;
        let [found, first] = *head;
        if found != tag {
            return None;
        }
        let (length, rest) = match first {
            0..0x80 => (usize::from(first), rest),
            _ => {
                let count = usize::from(first & 0x7f);
                if !(1..=LENGTH_MAX_BYTES).contains(&count) {
                    return None;
                }
                let (bytes, rest) = rest.split_at_checked(count)?;
                let add = |length: u64, byte: &u8| length << 8 | u64::from(*byte);
                let length = bytes.iter().fold(0, add);
                (usize::try_from(length).ok()?, rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(content)
    }

    fn time(&mut self) -> Option<Timestamp> {
        if self.is_next(UTC_TIME) {
            let text = std::str::from_utf8(self.take(UTC_TIME)?).ok()?;
            // Two digits of the year: from 1950 to 2049.
            let century = if text.get(..2)? < "50" { "20" } else { "19" };
            return time(&format!("{century}{text}"));
        }
        time(std::str::from_utf8(self.take(GENERALIZED_TIME)?).ok()?)
    }
}

/// The time in `YYYYMMDDHHMMSSZ`.
fn time(text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z')?;
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (date, time) = digits.split_at(8);
    // `99991231235959Z` stands for no end, and is later than any time that can be told.
    if date.starts_with("9999") {
        return Some(Timestamp::from_unix_millis(i64::MAX));
    }
    let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
    let (hour, minute, second) = (&time[..2], &time[2..4], &time[4..]);
    let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(years: (i32, i32)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(years.0, 3, 31);
        params.not_after = date_time_ymd(years.1, 12, 1);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn both_times_are_read_in_both_forms() {
        let check = |years: (i32, i32)| {
            let expected = Validity {
                not_before: format!("{}-03-31T00:00:00Z", years.0).parse().unwrap(),
                not_after: format!("{}-12-01T00:00:00Z", years.1).parse().unwrap(),
            };
            assert_eq!(Validity::of(&certificate(years)), Some(expected));
        };
        check((2020, 2049));
        check((1999, 2050));
        check((1950, 2099));
        let endless = Validity::of(&certificate((2020, 9999))).unwrap();
        assert!(endless.not_after > "9999-01-01T00:00:00Z".parse().unwrap());
    }

    #[test]
    fn a_time_is_a_whole_one() {
        let check = |text, expected: Option<&str>| {
            assert_eq!(time(text), expected.map(|time| time.parse().unwrap()));
        };
        check("20240229235958Z", Some("2024-02-29T23:59:58Z"));
        check("20230229235958Z", None);
        check("20241301000000Z", None);
        check("2024010100000Z", None);
        check("20240101000000", None);
        check("20240101000000+0100", None);
        check("2024-1-1000000Z", None);
        check("", None);
    }

    #[test]
    fn what_is_no_certificate_has_no_times() {
        let whole = certificate((2020, 2030));
        assert_eq!(Validity::of(&[]), None);
        for length in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..length]), None, "{length}");
        }
        // Whatever a byte becomes, it is read or it is not.
        for index in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0x84, 0x88, 0xff] {
                let mut changed = whole.clone();
                changed[index] = byte;
                Validity::of(&changed);
            }
        }
    }
}

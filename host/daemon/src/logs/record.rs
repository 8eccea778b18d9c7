//! A log line as it stands in a file: `CRC SEQ JSON`, ended by a line feed.
//!
//! `CRC` is the CRC-32 (IEEE 802.3) of all that follows its space, in eight hexadecimal digits, `SEQ` the line's
//! number on the device. JSON writers escape line feeds, so that a file whose middle is damaged is read on
//! from the next one. The first line of a file is its header, in the same frame. `docs/data-folder.md` has the
//! format for users.

use std::io::Write as _;

use serde::{Deserialize, Serialize};
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::time::Timestamp;
use wasm_edge_runtime::guest::{LogLine, cut};

use super::entry::{level_name, level_named, stream_name, stream_named};

/// The version of the format that this build writes and reads.
pub(super) const VERSION: u32 = 1;

/// What the file is.
const LABEL: &str = "wasm-edge-log";

/// The longest line of a file that is read; a longer one is damage. Text and fields of a line, all of it
/// escaped, stay below.
pub(super) const RECORD_MAX_BYTES: usize = 256 * 1024;

/// Bytes that a character takes at most when JSON escapes it.
const ESCAPED_MAX_BYTES: usize = 6;

/// For what stands in a record beside text and fields.
const FRAME_MAX_BYTES: usize = 256;

/// Whose file it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) device: DeviceId,
    pub(super) module: ModuleId,
}

/// A header's label and version, which are read before anything else of it.
#[derive(Deserialize)]
struct Marker {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct HeaderLine {
    format: String,
    version: u32,
    device: DeviceId,
    module: ModuleId,
}

/// What the first line of a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FirstLine {
    /// A file of ours; its first record has this number or a higher one.
    Header { header: Header, first_seq: u64 },
    /// A file of another version.
    Version(u32),
    /// Nothing that is known.
    Damaged,
    /// There is no whole line: the file was made and no more.
    Absent,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    time_ms: i64,
    level: &'a str,
    stream: &'a str,
    #[serde(borrow)]
    text: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<(String, String)>,
}

/// The JSON of a line, at most `max_bytes` long: what is too much of it is cut and marked with `…`.
pub(super) fn body(time: Timestamp, line: &LogLine, max_bytes: usize) -> String {
    let json = |text: &str, fields: &[(String, String)]| {
        let body = Body {
            time_ms: time.unix_millis(),
            level: level_name(line.level),
            stream: stream_name(line.stream),
            text: text.into(),
            fields: fields.to_vec(),
        };
        serde_json::to_string(&body).expect("texts and numbers have a JSON form")
    };
    let whole = json(&line.text, &line.fields);
    if whole.len() <= max_bytes {
        return whole;
    }
    let text_max = max_bytes.saturating_sub(FRAME_MAX_BYTES) / ESCAPED_MAX_BYTES;
    let text = cut(line.text.clone(), text_max / 2);
    let shorter = json(&text, &line.fields);
    if shorter.len() <= max_bytes {
        return shorter;
    }
    let dropped = ("…".to_owned(), format!("{} more", line.fields.len()));
    json(&text, &[dropped])
}

/// Appends a record to `bytes`.
pub(super) fn append(bytes: &mut Vec<u8>, seq: u64, body: &str) {
    let start = bytes.len();
    bytes.extend_from_slice(b"00000000 ");
    let checked = bytes.len();
    write!(bytes, "{seq} {body}").expect("a Vec takes all");
    let crc = format!("{:08x}", crc32(&bytes[checked..]));
    bytes[start..start + crc.len()].copy_from_slice(crc.as_bytes());
    bytes.push(b'\n');
}

/// Appends a file's first line to `bytes`.
pub(super) fn append_header(bytes: &mut Vec<u8>, first_seq: u64, header: &Header) {
    let line = serde_json::to_string(&HeaderLine {
        format: LABEL.to_owned(),
        version: VERSION,
        device: header.device.clone(),
        module: header.module.clone(),
    });
    let line = line.expect("texts and numbers have a JSON form");
    append(bytes, first_seq, &line);
}

/// Number and JSON of a record, without its line feed; `None` if it is damaged.
pub(super) fn frame(line: &[u8]) -> Option<(u64, &str)> {
    let (crc, checked) = line.split_at_checked(9)?;
    let crc = std::str::from_utf8(crc).ok()?.strip_suffix(' ')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32(checked) {
        return None;
    }
    let (seq, body) = std::str::from_utf8(checked).ok()?.split_once(' ')?;
    Some((seq.parse().ok()?, body))
}

/// Number, time and line of a record; `None` if it is damaged.
pub(super) fn parse(line: &[u8]) -> Option<(u64, Timestamp, LogLine)> {
    let (seq, body) = frame(line)?;
    let body: Body<'_> = serde_json::from_str(body).ok()?;
    let line = LogLine {
        stream: stream_named(body.stream)?,
        level: level_named(body.level)?,
        text: body.text.into_owned(),
        fields: body.fields,
    };
    Some((seq, Timestamp::from_unix_millis(body.time_ms), line))
}

/// What a file's first line says.
pub(super) fn first_line(line: &[u8]) -> FirstLine {
    let Some((first_seq, body)) = frame(line) else {
        return FirstLine::Damaged;
    };
    match serde_json::from_str::<Marker>(body) {
        Ok(marker) if marker.format == LABEL && marker.version != VERSION => {
            FirstLine::Version(marker.version)
        }
        Ok(marker) if marker.format == LABEL => match serde_json::from_str(body) {
            Ok(HeaderLine { device, module, .. }) => FirstLine::Header {
                header: Header { device, module },
                first_seq,
            },
            Err(_) => FirstLine::Damaged,
        },
        _ => FirstLine::Damaged,
    }
}

/// CRC-32 as in IEEE 802.3: reflected, polynomial 0xEDB88320.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let index = (crc ^ u32::from(*byte)) & 0xff;
        CRC_TABLE[index as usize] ^ (crc >> 8)
    };
    !bytes.iter().fold(!0, step)
}

const CRC_TABLE: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            let mask = (value & 1).wrapping_neg();
            value = (value >> 1) ^ (0xedb8_8320 & mask);
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use wasm_edge_runtime::guest::{LogLevel, LogStream};

    use super::*;

    fn line(text: &str, fields: &[(&str, &str)]) -> LogLine {
        LogLine {
            stream: LogStream::Stderr,
            level: LogLevel::Warn,
            text: text.to_owned(),
            fields: fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn record(seq: u64, line: &LogLine) -> Vec<u8> {
        let mut bytes = Vec::new();
        let body = body(
            Timestamp::from_unix_millis(1_785_578_400_123),
            line,
            RECORD_MAX_BYTES,
        );
        append(&mut bytes, seq, &body);
        bytes
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    /// The oldest form that is read: a promise to those who have it on their disks.
    #[test]
    fn records_of_version_1_are_read() {
        let written = concat!(
            "78b1758f 7 ",
            r#"{"timeMs":1785578400123,"level":"warn","stream":"stderr","text":"a\nb","fields":[["k","v"]]}"#
        );
        assert_eq!(
            record(7, &line("a\nb", &[("k", "v")])),
            format!("{written}\n").as_bytes()
        );
        let (seq, time, read) = parse(written.as_bytes()).unwrap();
        assert_eq!((seq, time.unix_millis()), (7, 1_785_578_400_123));
        assert_eq!(read, line("a\nb", &[("k", "v")]));
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let whole = record(12, &line("grüße\u{1b}[31m\0", &[("k", "v")]));
        let whole = whole.strip_suffix(b"\n").unwrap();
        assert!(parse(whole).is_some());
        for at in 0..whole.len() {
            assert!(parse(&whole[..at]).is_none(), "cut at {at}");
            for bit in 0..8 {
                let mut damaged = whole.to_vec();
                damaged[at] ^= 1 << bit;
                // The checksum's own digits may be in upper case: they say the same.
                let same = damaged.eq_ignore_ascii_case(whole) && at < 8;
                assert!(same || parse(&damaged).is_none(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn a_line_never_takes_more_than_it_may() {
        let check = |line: &LogLine, max_bytes: usize| {
            let body = body(Timestamp::from_unix_millis(0), line, max_bytes);
            assert!(body.len() <= max_bytes, "{} of {max_bytes}", body.len());
            assert!(!body.contains('\n'));
            assert!(max_bytes > 100_000 || body.contains('…'));
        };
        let controls = "\u{1}".repeat(16 * 1024);
        check(&line(&controls, &[]), 120_000);
        check(&line(&controls, &[]), 8 * 1024);
        check(&line(&controls, &[("k", &controls[..4096])]), 8 * 1024);
        check(&line("", &[("k", &controls[..4096])]), 8 * 1024);
    }

    #[test]
    fn a_header_tells_whose_file_it_is_and_of_which_version() {
        let header = Header {
            device: DeviceId::new("d1").unwrap(),
            module: ModuleId::new("m").unwrap(),
        };
        let mut bytes = Vec::new();
        append_header(&mut bytes, 5, &header);
        let line = bytes.strip_suffix(b"\n").unwrap();
        let (_, json) = frame(line).unwrap();
        assert_eq!(
            json,
            r#"{"format":"wasm-edge-log","version":1,"device":"d1","module":"m"}"#
        );
        assert_eq!(
            first_line(line),
            FirstLine::Header {
                header,
                first_seq: 5
            }
        );
        let mut later = Vec::new();
        append(&mut later, 1, r#"{"format":"wasm-edge-log","version":2}"#);
        assert_eq!(
            first_line(later.strip_suffix(b"\n").unwrap()),
            FirstLine::Version(2)
        );
        for damaged in [&b""[..], b"x", b"00000000 1 {}", &line[..20]] {
            assert_eq!(first_line(damaged), FirstLine::Damaged);
        }
    }
}

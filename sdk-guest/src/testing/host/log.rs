//! `log`: into the record, cut as the device cuts.

use crate::bindings::generated::wasm_edge::module::log as wit;
use crate::testing::record::LogLine;
use crate::testing::world;

pub use wit::Level;

/// Longest text in bytes.
const TEXT_MAX_BYTES: usize = 16 * 1024;

/// Fields of one line, and names and values of all of them in bytes.
const FIELDS_MAX: usize = 32;
const FIELDS_MAX_BYTES: usize = 4 * 1024;

/// A line from outside of a harness goes nowhere.
pub fn log(level: Level, text: &str, fields: &[(String, String)]) {
    let Some(world) = world::entered() else {
        return;
    };
    let level = match level {
        Level::Trace => log::Level::Trace,
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    let mut state = world.lock();
    if level <= state.log_level {
        state.record.logs.push(LogLine {
            level,
            text: cut(text, TEXT_MAX_BYTES),
            fields: cut_fields(fields),
        });
    }
}

/// The text up to so many bytes; what was cut ends in `…`.
pub(in crate::testing) fn cut(text: &str, limit_bytes: usize) -> String {
    const MARK: char = '…';
    if text.len() <= limit_bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit_bytes.saturating_sub(MARK.len_utf8()));
    format!("{}{MARK}", &text[..end])
}

fn cut_fields(fields: &[(String, String)]) -> Vec<(String, String)> {
    let mut left = FIELDS_MAX_BYTES;
    let mut kept = Vec::new();
    for (name, value) in fields.iter().take(FIELDS_MAX) {
        if name.len() >= left {
            break;
        }
        left -= name.len();
        let value = cut(value, left);
        left -= value.len().min(left);
        kept.push((name.clone(), value));
    }
    if kept.len() < fields.len() {
        let more = format!("{} more", fields.len() - kept.len());
        kept.push(("…".to_owned(), more));
    }
    kept
}

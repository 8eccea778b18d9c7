//! `log`: lines into the module's log.

use crate::bindings::wasm_edge::module::log;
use crate::guest::{LOG_TEXT_MAX_BYTES, LogLevel, LogLine, LogStream, cut};
use crate::state::GuestState;

/// Fields of one line.
const FIELDS_MAX: usize = 32;

/// Names and values of all fields of one line in bytes.
const FIELDS_MAX_BYTES: usize = 4 * 1024;

impl log::Host for GuestState {
    fn log(
        &mut self,
        level: log::Level,
        text: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Trace => LogLevel::Trace,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        let text = cut(text, LOG_TEXT_MAX_BYTES);
        self.host.log(LogLine {
            stream: LogStream::Log,
            level,
            text,
            fields: cut_fields(fields),
        });
        Ok(())
    }
}

/// Keeps the fields that fit, cuts the first that does not, and marks that more were there.
fn cut_fields(fields: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut left = FIELDS_MAX_BYTES;
    let mut kept = Vec::with_capacity(fields.len().min(FIELDS_MAX));
    let count = fields.len();
    for (name, value) in fields.into_iter().take(FIELDS_MAX) {
        if name.len() >= left {
            break;
        }
        left -= name.len();
        let value = cut(value, left);
        left -= value.len().min(left);
        kept.push((name, value));
    }
    if kept.len() < count {
        kept.push(("…".to_owned(), format!("{} more", count - kept.len())));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, length: usize) -> (String, String) {
        (name.to_owned(), "x".repeat(length))
    }

    #[test]
    fn fields_beyond_number_or_size_are_cut_and_marked() {
        assert_eq!(cut_fields(vec![field("a", 3)]), vec![field("a", 3)]);
        let many = cut_fields((0..40).map(|_| field("a", 1)).collect());
        assert_eq!(many.len(), FIELDS_MAX + 1);
        assert_eq!(many[FIELDS_MAX].1, "8 more");
        let long = cut_fields(vec![field("a", 10_000), field("b", 1)]);
        assert!(long[0].1.len() <= FIELDS_MAX_BYTES && long[0].1.ends_with('…'));
        assert_eq!(long[1].1, "1 more");
    }
}

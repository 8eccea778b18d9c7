//! Which lines are wanted. A pure decision; what is asked is in the query of `/v1/logs` and in the options of `logs`.

use regex_lite::{Regex, RegexBuilder};
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::time::Timestamp;
use wasm_edge_runtime::guest::LogLevel;

use super::entry::{self, LogEntry};

/// Longest pattern in bytes.
pub const PATTERN_MAX_BYTES: usize = 1024;

/// The largest compiled pattern: it bounds the time per byte of text, too.
const PATTERN_COMPILED_MAX_BYTES: usize = 256 * 1024;

/// Deepest nesting of a pattern.
const PATTERN_DEPTH_MAX: u32 = 32;

/// Which lines are wanted; those that pass all of it.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// Of this module; of all without.
    pub module: Option<ModuleId>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Of this level or a higher one.
    pub level: Option<LogLevel>,
    /// Of this severity of syslog alone.
    pub severity: Option<u8>,
    /// With this in them.
    pub pattern: Option<Pattern>,
}

/// A regular expression that is looked for in a line's text, and in `name=value` of its fields.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// Why a text is no pattern.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// Too long to begin with.
    #[error("the pattern has {0} bytes, and may have {PATTERN_MAX_BYTES}")]
    TooLong(usize),
    /// Not a regular expression, or one that would become too large.
    #[error("`{pattern}` is no pattern that can be used: {reason}")]
    Syntax {
        /// The text.
        pattern: String,
        /// Why.
        reason: String,
    },
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_MAX_BYTES {
            return Err(PatternError::TooLong(text.len()));
        }
        RegexBuilder::new(text)
            .size_limit(PATTERN_COMPILED_MAX_BYTES)
            .nest_limit(PATTERN_DEPTH_MAX)
            .build()
            .map(Self)
            .map_err(|err| PatternError::Syntax {
                pattern: text.to_owned(),
                reason: err.to_string(),
            })
    }

    /// Whether it is found in a text.
    pub fn is_in_text(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    fn is_in(&self, entry: &LogEntry) -> bool {
        let in_field =
            |(name, value): &(String, String)| self.0.is_match(&format!("{name}={value}"));
        self.0.is_match(&entry.line.text) || entry.line.fields.iter().any(in_field)
    }
}

impl LogFilter {
    /// Whether a line is wanted.
    pub fn wants(&self, entry: &LogEntry) -> bool {
        self.module
            .as_ref()
            .is_none_or(|module| *module == entry.module)
            && self.since.is_none_or(|since| entry.time >= since)
            && self.until.is_none_or(|until| entry.time < until)
            && self.level.is_none_or(|level| entry.line.level >= level)
            && self
                .severity
                .is_none_or(|severity| entry::severity(entry.line.level) == severity)
            && self
                .pattern
                .as_ref()
                .is_none_or(|pattern| pattern.is_in(entry))
    }
}

#[cfg(test)]
mod tests {
    use wasm_edge_model::identity::DeviceId;
    use wasm_edge_runtime::guest::{LogLine, LogStream};

    use super::*;

    fn entry() -> LogEntry {
        LogEntry {
            seq: 1,
            time: Timestamp::from_unix_millis(5000),
            device: DeviceId::new("d").unwrap(),
            module: ModuleId::new("m").unwrap(),
            line: LogLine {
                stream: LogStream::Log,
                level: LogLevel::Warn,
                text: "Load is 0.7".to_owned(),
                fields: vec![("path".to_owned(), "/proc/loadavg".to_owned())],
            },
        }
    }

    fn check(filter: LogFilter, expected: bool) {
        assert_eq!(filter.wants(&entry()), expected, "{filter:?}");
    }

    #[test]
    fn each_part_of_a_filter_counts_and_all_have_to_pass() {
        let none = LogFilter::default;
        let at = |millis| Some(Timestamp::from_unix_millis(millis));
        let pattern = |text| Some(Pattern::new(text).unwrap());
        check(none(), true);
        for (id, expected) in [("m", true), ("n", false)] {
            let module = Some(ModuleId::new(id).unwrap());
            check(LogFilter { module, ..none() }, expected);
        }
        for (millis, expected) in [(5000, true), (5001, false)] {
            check(
                LogFilter {
                    since: at(millis),
                    ..none()
                },
                expected,
            );
            check(
                LogFilter {
                    until: at(millis),
                    ..none()
                },
                !expected,
            );
        }
        for (level, expected) in [
            (LogLevel::Trace, true),
            (LogLevel::Warn, true),
            (LogLevel::Error, false),
        ] {
            check(
                LogFilter {
                    level: Some(level),
                    ..none()
                },
                expected,
            );
        }
        for (severity, expected) in [(4, true), (3, false), (5, false)] {
            check(
                LogFilter {
                    severity: Some(severity),
                    ..none()
                },
                expected,
            );
        }
        for (text, expected) in [
            ("^load", false),
            ("(?i)^load", true),
            (r"\d\.\d$", true),
            ("^path=/proc", true),
            ("0.7path", false),
        ] {
            check(
                LogFilter {
                    pattern: pattern(text),
                    ..none()
                },
                expected,
            );
        }
        let all = LogFilter {
            module: Some(ModuleId::new("m").unwrap()),
            since: at(1),
            until: at(9999),
            level: Some(LogLevel::Warn),
            severity: Some(4),
            pattern: pattern("Load"),
        };
        check(
            LogFilter {
                level: Some(LogLevel::Error),
                ..all.clone()
            },
            false,
        );
        check(all, true);
    }

    #[test]
    fn a_pattern_that_is_none_or_too_large_is_refused() {
        let check = |text: &str, expected: &str| {
            let said = Pattern::new(text).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        };
        check("(", "`(` is no pattern");
        check(&"a".repeat(PATTERN_MAX_BYTES + 1), "1025 bytes");
        check(r"(?:(?:\w{100}){100}){100}", "no pattern that can be used");
        check(&"(".repeat(500), "no pattern");
    }
}

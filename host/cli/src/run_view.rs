//! Log lines of modules as a person reads them live: time, module, level, text, fields.
//!
//! `run` prints what its devices log through a [`RunView`], `logs` what a running device sends. The text is a guest's
//! and thus hostile; [`crate::output`] disarms it. With JSON output a line is the JSON form of [`LogLine`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasm_edge_model::time::Timestamp;

use crate::output::human;
use crate::output::text::{Style, Text};
use crate::output::{Output, OutputError};

/// Columns that names get at least, so that the first lines do not jump.
const NAME_WIDTH_MIN: usize = 8;
/// Columns that names get at most; a longer one pushes its own line only.
const NAME_WIDTH_MAX: usize = 24;
/// Columns of the level.
const LEVEL_WIDTH: usize = 5;

/// One line of a module's log, as the management API has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LogLine {
    /// Its number on the device; what is no line of a module's log has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seq: Option<u64>,
    /// When it was written.
    pub(crate) time: Timestamp,
    /// The device's id.
    pub(crate) device: String,
    /// The module's id; empty when the host speaks of the device as a whole.
    #[serde(default)]
    pub(crate) module: String,
    /// Where it came from.
    #[serde(default)]
    pub(crate) stream: LogStream,
    /// How much it matters.
    #[serde(default)]
    pub(crate) level: LogLevel,
    /// Of a message that went upstream, the output it was sent on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<String>,
    /// What was said, or the body of a message; may hold anything.
    #[serde(default)]
    pub(crate) text: String,
    /// Named values; strings as a rule.
    #[serde(default)]
    pub(crate) fields: BTreeMap<String, Value>,
}

/// Where a log line came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogStream {
    /// The guest's standard output.
    Stdout,
    /// The guest's standard error.
    Stderr,
    /// The host, about the module.
    Host,
    /// No log: a message of the module that went upstream, as `run` shows it.
    Upstream,
    /// The guest's log interface, or a source that this version does not know.
    #[default]
    #[serde(other)]
    Log,
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// Every step.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// What should be looked at.
    Warn,
    /// What failed.
    Error,
    /// What happens, or a level that this version does not know.
    #[default]
    #[serde(other)]
    Info,
}

/// Whether names need the device in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// `sensor`: all modules are of one device.
    Modules,
    /// `Hannover01/sensor`.
    DevicesAndModules,
}

/// Prints log lines, aligned.
pub(crate) struct RunView<'a> {
    output: &'a Output,
    names: Names,
    /// Columns that names get now; grows with the names that come.
    name_width: Mutex<usize>,
}

impl<'a> RunView<'a> {
    /// A view that has seen no names yet.
    pub(crate) fn new(output: &'a Output, names: Names) -> Self {
        Self {
            output,
            names,
            name_width: Mutex::new(NAME_WIDTH_MIN),
        }
    }

    /// Prints a line; may be called from several tasks.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn print(&self, line: &LogLine) -> Result<(), OutputError> {
        if self.output.is_json() {
            return self.output.json_line(line);
        }
        self.output.line(&self.text(line))
    }

    fn text(&self, line: &LogLine) -> Text {
        let time = human::time_of_day(line.time.as_jiff());
        let start = time.len() + 1;
        let text = Text::new().styled(Style::Dim, &time).plain(" ");
        let text = with_name(text, self.names, &line.device, &line.module);
        let name_end = start + self.width_for(text.width() - start);
        let (style, level) = level_of(line);
        let text = text.pad_to(name_end + 1);
        let text = match style {
            Some(style) => text.styled(style, level),
            None => text.plain(level),
        };
        let text = text.pad_to(name_end + 1 + LEVEL_WIDTH + 1);
        let text = match &line.output {
            Some(output) => text.plain(&format!("upstream {output} ")),
            None => text,
        };
        let text = text.plain(&line.text);
        match fields_text(&line.fields) {
            fields if fields.is_empty() => text,
            fields => text.styled(Style::Dim, &fields),
        }
    }

    fn width_for(&self, name: usize) -> usize {
        let mut width = self
            .name_width
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *width = (*width).max(name.min(NAME_WIDTH_MAX));
        *width
    }
}

/// Appends a module's name in its colour, after the device's if that is needed.
pub(crate) fn with_name(text: Text, names: Names, device: &str, module: &str) -> Text {
    let text = match names {
        Names::Modules if !module.is_empty() => text,
        Names::Modules => return text.plain(device),
        Names::DevicesAndModules if module.is_empty() => return text.plain(device),
        Names::DevicesAndModules => text.plain(device).plain("/"),
    };
    text.styled(Style::of_module(module), module)
}

fn level_of(line: &LogLine) -> (Option<Style>, &'static str) {
    match (line.level, line.stream) {
        (LogLevel::Error, LogStream::Log | LogStream::Host) => (Some(Style::Red), "ERROR"),
        (LogLevel::Warn, LogStream::Log | LogStream::Host) => (Some(Style::Yellow), "WARN"),
        (_, LogStream::Stdout) => (Some(Style::Dim), "out"),
        (_, LogStream::Stderr) => (Some(Style::Dim), "err"),
        (_, LogStream::Host | LogStream::Upstream) => (Some(Style::Dim), "host"),
        (LogLevel::Info, LogStream::Log) => (None, "INFO"),
        (LogLevel::Debug, LogStream::Log) => (Some(Style::Dim), "DEBUG"),
        (LogLevel::Trace, LogStream::Log) => (Some(Style::Dim), "TRACE"),
    }
}

/// ` name=value` for each field; a value with spaces, quotes or `=` in it is quoted as JSON.
fn fields_text(fields: &BTreeMap<String, Value>) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        let value = match value {
            Value::String(value) if !value.is_empty() && !value.contains([' ', '"', '=']) => {
                value.clone()
            }
            other => other.to_string(),
        };
        write!(text, " {name}={value}").expect("a String takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::tests::captured;
    use crate::output::{Format, Verbosity};

    fn line(module: &str, level: LogLevel, text: &str) -> LogLine {
        LogLine {
            seq: None,
            time: "2026-08-01T10:00:00.1234567Z".parse().unwrap(),
            device: "Hannover01".to_owned(),
            module: module.to_owned(),
            stream: LogStream::Log,
            level,
            output: None,
            text: text.to_owned(),
            fields: BTreeMap::new(),
        }
    }

    fn check(names: Names, color: bool, lines: &[LogLine], expected: &str) {
        let (output, data, _) = captured(Format::Text, color, Verbosity::Normal);
        let view = RunView::new(&output, names);
        for line in lines {
            view.print(line).unwrap();
        }
        assert_eq!(data.text(), expected);
    }

    #[test]
    fn lines_are_aligned_and_the_column_grows_with_the_names() {
        let mut host = line("", LogLevel::Info, "two modules run");
        host.stream = LogStream::Host;
        let mut out = line("sensor", LogLevel::Info, "plain print");
        out.stream = LogStream::Stdout;
        let lines = [
            line("sensor", LogLevel::Info, "load 0.4"),
            line("threshold-filter", LogLevel::Error, "boom"),
            out,
            host,
            line(
                "a-name-that-is-longer-than-the-column",
                LogLevel::Debug,
                "x",
            ),
        ];
        let expected = "\
10:00:00.123Z sensor   INFO  load 0.4
10:00:00.123Z threshold-filter ERROR boom
10:00:00.123Z sensor           out   plain print
10:00:00.123Z Hannover01       host  two modules run
10:00:00.123Z a-name-that-is-longer-than-the-column DEBUG x
";
        check(Names::Modules, false, &lines, expected);
    }

    #[test]
    fn with_several_devices_the_device_stands_in_front() {
        let lines = [line("sensor", LogLevel::Warn, "hot")];
        check(
            Names::DevicesAndModules,
            false,
            &lines,
            "10:00:00.123Z Hannover01/sensor WARN  hot\n",
        );
    }

    #[test]
    fn hostile_text_stays_on_its_line_and_uncoloured() {
        let mut hostile = line(
            "m",
            LogLevel::Info,
            "x\n10:00:00.123Z other INFO forged\x1b]0;t\x07",
        );
        hostile.fields.insert("k\x1b".to_owned(), json!("a b\r"));
        let expected = "\x1b[2m10:00:00.123Z\x1b[0m \x1b[96mm\x1b[0m        INFO  \
            x\\n10:00:00.123Z other INFO forged\\u{1b}]0;t\\u{7}\x1b[2m k\\u{1b}=\"a b\\r\"\x1b[0m\n";
        let color = match Style::of_module("m") {
            style @ Style::Module(_) => Text::new().styled(style, "m").render(true),
            _ => unreachable!("modules have module colours"),
        };
        check(
            Names::Modules,
            true,
            &[hostile],
            &expected.replace("\x1b[96mm\x1b[0m", &color),
        );
    }

    #[test]
    fn fields_follow_the_text() {
        let mut with_fields = line("m", LogLevel::Info, "read");
        with_fields.fields.insert("load".to_owned(), json!(0.5));
        with_fields
            .fields
            .insert("path".to_owned(), json!("/proc/loadavg"));
        with_fields
            .fields
            .insert("note".to_owned(), json!("two words"));
        let expected =
            "10:00:00.123Z m        INFO  read load=0.5 note=\"two words\" path=/proc/loadavg\n";
        check(Names::Modules, false, &[with_fields], expected);
    }

    #[test]
    fn a_message_that_went_upstream_is_named_so() {
        let mut sent = line("m", LogLevel::Info, "{\"load\":1}");
        (sent.stream, sent.output) = (LogStream::Upstream, Some("high".to_owned()));
        let expected = "10:00:00.123Z m        host  upstream high {\"load\":1}\n";
        check(Names::Modules, false, std::slice::from_ref(&sent), expected);
        let json = serde_json::to_value(&sent).unwrap();
        assert_eq!(
            (&json["stream"], &json["output"], &json["text"]),
            (&json!("upstream"), &json!("high"), &json!("{\"load\":1}"))
        );
    }

    #[test]
    fn json_lines_have_the_shape_of_the_management_api() {
        let (output, data, _) = captured(Format::Json, true, Verbosity::Normal);
        RunView::new(&output, Names::Modules)
            .print(&line("m", LogLevel::Warn, "a\x1bb"))
            .unwrap();
        let expected = concat!(
            r#"{"time":"2026-08-01T10:00:00.1234567Z","device":"Hannover01","module":"m","stream":"log","#,
            r#""level":"warn","text":"a\u001bb","fields":{}}"#,
            "\n"
        );
        assert_eq!(data.text(), expected);
    }

    #[test]
    fn a_line_of_a_newer_device_is_read() {
        let text = r#"{"time":"2026-08-01T10:00:00Z","device":"d","stream":"journal","level":"fatal","new":1}"#;
        let line: LogLine = serde_json::from_str(text).unwrap();
        assert_eq!((line.stream, line.level), (LogStream::Log, LogLevel::Info));
    }
}

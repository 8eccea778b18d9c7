//! The forms in which lines of logs leave the device: as IoT Edge's tools take them apart.
//!
//! Pure. Text is `<SEVERITY> TIME TEXT`, the severity that of syslog; JSON has the members of IoT Edge's own.
//!
//! Source: IoT Edge, "Retrieve logs from IoT Edge deployments", recommended logging format.

use serde_json::json;
use wasm_edge_model::agent_method::LogContent;
use wasm_edge_model::time::Timestamp;

use crate::logs::entry::{self, LogEntry};

/// The severity of what the device itself says among the lines: a warning.
const NOTE_SEVERITY: u8 = 4;

/// How lines are written, and what is the same in all of them.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) content: LogContent,
    pub(super) hub_host_name: String,
}

/// A line that is told beside those of modules.
pub(super) struct Note<'a> {
    pub(super) device: &'a str,
    pub(super) module: &'a str,
    pub(super) time: Timestamp,
    pub(super) text: &'a str,
}

impl Form {
    /// One line of a log: as text, each line of it ends with a line feed; as JSON, it is an object.
    pub(super) fn line(&self, entry: &LogEntry) -> String {
        let severity = entry::severity(entry.line.level);
        let mut text = entry.line.text.clone();
        for (name, value) in &entry.line.fields {
            text.push_str(&format!(" {name}={value}"));
        }
        let stream = entry::stream_name(entry.line.stream);
        let (device, module) = (entry.device.as_str(), entry.module.as_str());
        self.write(device, module, stream, severity, entry.time, &text)
    }

    /// A line of the device itself.
    pub(super) fn note(&self, note: &Note<'_>) -> String {
        let Note {
            device,
            module,
            time,
            text,
        } = *note;
        self.write(device, module, "host", NOTE_SEVERITY, time, text)
    }

    /// What stands before, between and after the lines.
    pub(super) fn frame(&self) -> [&'static str; 3] {
        match self.content {
            LogContent::Text => ["", "", ""],
            LogContent::Json => ["[", ",", "]"],
        }
    }

    fn write(
        &self,
        device: &str,
        module: &str,
        stream: &str,
        severity: u8,
        time: Timestamp,
        text: &str,
    ) -> String {
        match self.content {
            LogContent::Text => {
                let time = time.as_jiff().strftime("%Y-%m-%d %H:%M:%S%.3f +00:00");
                let head = format!("<{severity}> {time} ");
                let mut lines = text.lines();
                // A line without text is one, too.
                let first = lines.next().unwrap_or_default();
                std::iter::once(first)
                    .chain(lines)
                    .map(|line| format!("{head}{line}\n"))
                    .collect()
            }
            LogContent::Json => json!({
                "iothub": self.hub_host_name,
                "device": device,
                "id": module,
                "stream": stream,
                "loglevel": severity,
                "text": text,
                "timestamp": time,
            })
            .to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use wasm_edge_model::identity::{DeviceId, ModuleId};
    use wasm_edge_runtime::guest::{LogLevel, LogLine, LogStream};

    use super::*;

    fn check(content: LogContent, level: LogLevel, text: &str, expected: &str) {
        let entry = LogEntry {
            seq: 1,
            time: "2026-08-01T10:00:00.1239Z".parse().unwrap(),
            device: DeviceId::new("d1").unwrap(),
            module: ModuleId::new("m").unwrap(),
            line: LogLine {
                stream: LogStream::Stderr,
                level,
                text: text.to_owned(),
                fields: vec![("k".to_owned(), "v".to_owned())],
            },
        };
        let form = Form {
            content,
            hub_host_name: "h".to_owned(),
        };
        assert_eq!(form.line(&entry), expected);
    }

    #[test]
    fn a_line_of_text_has_severity_and_time_before_it() {
        let check = |level, text, expected| check(LogContent::Text, level, text, expected);
        let error = "<3> 2026-08-01 10:00:00.123 +00:00 out of paper k=v\n";
        check(LogLevel::Error, "out of paper", error);
        check(
            LogLevel::Warn,
            "",
            "<4> 2026-08-01 10:00:00.123 +00:00  k=v\n",
        );
        let two =
            "<6> 2026-08-01 10:00:00.123 +00:00 a\n<6> 2026-08-01 10:00:00.123 +00:00 b k=v\n";
        check(LogLevel::Info, "a\nb", two);
        check(
            LogLevel::Trace,
            "x",
            "<7> 2026-08-01 10:00:00.123 +00:00 x k=v\n",
        );
    }

    #[test]
    fn a_line_of_json_has_the_members_of_iot_edge() {
        let expected = concat!(
            r#"{"device":"d1","id":"m","iothub":"h","loglevel":7,"stream":"stderr","text":"a\nb k=v","#,
            r#""timestamp":"2026-08-01T10:00:00.1239000Z"}"#
        );
        check(LogContent::Json, LogLevel::Debug, "a\nb", expected);
    }
}

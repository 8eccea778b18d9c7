//! A line of a module's log with what the device knows of it, and its JSON form.

use serde_json::{Map, Value, json};
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::time::Timestamp;
use wasm_edge_runtime::guest::{LogLevel, LogLine, LogStream};

/// Charged per line in memory beside its text and fields.
const LINE_OVERHEAD_BYTES: usize = 160;

/// Charged per field beside name and value.
const FIELD_OVERHEAD_BYTES: usize = 48;

/// A line with what the device knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number on the device; a later line has a higher one, whatever the clock did.
    pub seq: u64,
    /// When the device got it.
    pub time: Timestamp,
    /// The device.
    pub device: DeviceId,
    /// The module.
    pub module: ModuleId,
    /// The line.
    pub line: LogLine,
}

impl LogEntry {
    /// The JSON form of the management API.
    pub fn to_json(&self) -> Value {
        let fields: Map<String, Value> = self
            .line
            .fields
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        json!({
            "seq": self.seq,
            "time": self.time,
            "device": self.device,
            "module": self.module,
            "stream": stream_name(self.line.stream),
            "level": level_name(self.line.level),
            "text": self.line.text,
            "fields": fields,
        })
    }

    /// About what it takes in memory.
    pub(super) fn size_bytes(&self) -> usize {
        let field =
            |(name, value): &(String, String)| name.len() + value.len() + FIELD_OVERHEAD_BYTES;
        let fields: usize = self.line.fields.iter().map(field).sum();
        self.line.text.len() + fields + LINE_OVERHEAD_BYTES
    }
}

/// The streams with their names in JSON and on disk.
const STREAMS: [(LogStream, &str); 4] = [
    (LogStream::Log, "log"),
    (LogStream::Stdout, "stdout"),
    (LogStream::Stderr, "stderr"),
    (LogStream::Host, "host"),
];

/// The levels with their names in JSON and on disk, finest first.
const LEVELS: [(LogLevel, &str); 5] = [
    (LogLevel::Trace, "trace"),
    (LogLevel::Debug, "debug"),
    (LogLevel::Info, "info"),
    (LogLevel::Warn, "warn"),
    (LogLevel::Error, "error"),
];

/// The stream's name in JSON.
pub fn stream_name(stream: LogStream) -> &'static str {
    name_in(&STREAMS, stream)
}

/// The stream of that name.
pub(super) fn stream_named(name: &str) -> Option<LogStream> {
    value_in(&STREAMS, name)
}

/// The level's name in JSON.
pub fn level_name(level: LogLevel) -> &'static str {
    name_in(&LEVELS, level)
}

/// The level of that name.
pub fn level_named(name: &str) -> Option<LogLevel> {
    value_in(&LEVELS, name)
}

/// The severity of syslog (RFC 5424, section 6.2.1) that a level is told as.
pub fn severity(level: LogLevel) -> u8 {
    match level {
        LogLevel::Trace | LogLevel::Debug => 7,
        LogLevel::Info => 6,
        LogLevel::Warn => 4,
        LogLevel::Error => 3,
    }
}

fn name_in<T: PartialEq>(table: &[(T, &'static str)], value: T) -> &'static str {
    let found = table.iter().find(|(known, _)| *known == value);
    found.expect("the tables hold every variant").1
}

fn value_in<T: Copy>(table: &[(T, &str)], name: &str) -> Option<T> {
    let found = table.iter().find(|(_, known)| *known == name);
    found.map(|(value, _)| *value)
}

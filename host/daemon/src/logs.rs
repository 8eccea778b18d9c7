//! The modules' logs: the newest lines of each in memory, bounded in bytes and rate, and a live feed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};
use tokio::sync::broadcast;
use tokio::time::Instant;
use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::time::Timestamp;
use wasm_edge_runtime::guest::{LogLevel, LogLine, LogStream};

use crate::clock;

/// Bytes of text and fields kept per module.
pub const KEPT_BYTES_PER_MODULE: usize = 128 * 1024;

/// Charged per line beside its text.
const LINE_OVERHEAD_BYTES: usize = 160;

/// Lines that followers may be behind before they lose some.
const FEED_LINES: usize = 256;

/// Lines per second that a module may log for long if nothing else is said.
const RATE_PER_SECOND: u32 = 1000;

/// A line with what the device knows of it.
#[derive(Clone, Debug)]
pub struct LogEntry {
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
            "time": self.time,
            "device": self.device,
            "module": self.module,
            "stream": stream_name(self.line.stream),
            "level": level_name(self.line.level),
            "text": self.line.text,
            "fields": fields,
        })
    }

    fn bytes(&self) -> usize {
        let fields: usize = self
            .line
            .fields
            .iter()
            .map(|(name, value)| name.len() + value.len() + 48)
            .sum();
        self.line.text.len() + fields + LINE_OVERHEAD_BYTES
    }
}

/// The stream's name in JSON.
pub fn stream_name(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Log => "log",
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
        LogStream::Host => "host",
    }
}

/// The level's name in JSON.
pub fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

/// The logs of one device; clones share them.
#[derive(Clone)]
pub struct Logs {
    device: DeviceId,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    modules: BTreeMap<ModuleId, ModuleLog>,
    /// `None` once the device has ended, so that those who follow come to an end too.
    feed: Option<broadcast::Sender<Arc<LogEntry>>>,
}

struct ModuleLog {
    kept: VecDeque<Arc<LogEntry>>,
    kept_bytes: usize,
    allowance: Allowance,
}

impl Logs {
    /// Makes empty logs.
    pub fn new(device: DeviceId) -> Self {
        Self {
            device,
            shared: Arc::new(Mutex::new(Shared {
                modules: BTreeMap::new(),
                feed: Some(broadcast::Sender::new(FEED_LINES)),
            })),
        }
    }

    /// Ends the feeds of those that follow; what was logged can still be read.
    pub fn close(&self) {
        self.lock().feed = None;
    }

    /// Sets how many lines per second a module may log for long; as many may come at once.
    pub fn set_rate(&self, module: &ModuleId, lines_per_second: u32) {
        let now = wasm_edge_clock::now();
        self.lock().of(module, now).allowance = Allowance::new(lines_per_second, now);
    }

    /// Takes a line of a module; beyond the module's rate it is counted instead.
    pub fn take(&self, module: &ModuleId, line: LogLine) {
        let now = wasm_edge_clock::now();
        let mut shared = self.lock();
        let allowance = &mut shared.of(module, now).allowance;
        let rate = allowance.rate;
        let refilled = allowance.take(now);
        let Some(suppressed) = refilled else { return };
        if suppressed > 0 {
            let text = format!("{suppressed} lines were dropped: more than {rate} a second");
            let note = LogLine {
                stream: LogStream::Host,
                level: LogLevel::Warn,
                text,
                fields: Vec::new(),
            };
            shared.keep(self.entry(module, note));
        }
        shared.keep(self.entry(module, line));
    }

    /// Writes a line of the device about a module; it is never dropped.
    pub fn note(&self, module: &ModuleId, level: LogLevel, text: String) {
        let note = LogLine {
            stream: LogStream::Host,
            level,
            text,
            fields: Vec::new(),
        };
        self.lock().keep(self.entry(module, note));
    }

    /// The newest `tail` lines of one module or of all, oldest first, and the feed of those that follow.
    ///
    /// No line is in both, and none is missed in between.
    pub fn read(
        &self,
        module: Option<&ModuleId>,
        tail: usize,
    ) -> (Vec<Arc<LogEntry>>, broadcast::Receiver<Arc<LogEntry>>) {
        let shared = self.lock();
        let wanted = shared
            .modules
            .iter()
            .filter(|(id, _)| module.is_none_or(|module| module == *id));
        let mut lines: Vec<_> = wanted
            .flat_map(|(_, log)| log.kept.iter().cloned())
            .collect();
        lines.sort_by_key(|entry| entry.time);
        let first = lines.len().saturating_sub(tail);
        (lines.split_off(first), shared.subscribe())
    }

    /// Follows all lines from now on, until the logs are closed.
    pub fn follow(&self) -> broadcast::Receiver<Arc<LogEntry>> {
        self.lock().subscribe()
    }

    fn entry(&self, module: &ModuleId, line: LogLine) -> Arc<LogEntry> {
        Arc::new(LogEntry {
            time: clock::now(),
            device: self.device.clone(),
            module: module.clone(),
            line,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn of(&mut self, module: &ModuleId, now: Instant) -> &mut ModuleLog {
        self.modules
            .entry(module.clone())
            .or_insert_with(|| ModuleLog::new(now))
    }

    fn keep(&mut self, entry: Arc<LogEntry>) {
        let log = self.of(&entry.module, wasm_edge_clock::now());
        log.kept_bytes += entry.bytes();
        log.kept.push_back(Arc::clone(&entry));
        while log.kept_bytes > KEPT_BYTES_PER_MODULE {
            let Some(oldest) = log.kept.pop_front() else {
                break;
            };
            log.kept_bytes -= oldest.bytes();
        }
        if let Some(feed) = &self.feed {
            // Nobody follows: that is fine.
            let _ = feed.send(entry);
        }
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<LogEntry>> {
        match &self.feed {
            Some(feed) => feed.subscribe(),
            // Its sender is gone, so it ends at once.
            None => broadcast::channel(1).1,
        }
    }
}

impl ModuleLog {
    fn new(now: Instant) -> Self {
        Self {
            kept: VecDeque::new(),
            kept_bytes: 0,
            allowance: Allowance::new(RATE_PER_SECOND, now),
        }
    }
}

/// How many lines a module may still log.
struct Allowance {
    rate: u32,
    lines: f64,
    since: Instant,
    suppressed: u64,
}

impl Allowance {
    fn new(rate: u32, now: Instant) -> Self {
        Self {
            rate,
            lines: rate.into(),
            since: now,
            suppressed: 0,
        }
    }

    /// Takes one line; answers how many were suppressed before it, or `None` if it is suppressed itself.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let rate = f64::from(self.rate);
        self.lines = (self.lines + now.duration_since(self.since).as_secs_f64() * rate).min(rate);
        self.since = now;
        if self.lines < 1.0 {
            self.suppressed += 1;
            return None;
        }
        self.lines -= 1.0;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine {
            stream: LogStream::Log,
            level: LogLevel::Info,
            text: text.to_owned(),
            fields: Vec::new(),
        }
    }

    fn module(id: &str) -> ModuleId {
        ModuleId::new(id).expect("valid")
    }

    #[tokio::test(start_paused = true)]
    async fn lines_beyond_the_rate_are_counted_and_the_count_is_logged() {
        let logs = Logs::new(DeviceId::new("d").expect("valid"));
        for n in 0..1500 {
            logs.take(&module("m"), line(&n.to_string()));
        }
        let (kept, _) = logs.read(None, usize::MAX);
        assert_eq!(
            kept.last().map(|entry| entry.line.text.as_str()),
            Some("999")
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        logs.take(&module("m"), line("after"));
        let (kept, _) = logs.read(None, 2);
        assert!(
            kept[0].line.text.starts_with("500 lines were dropped"),
            "{}",
            kept[0].line.text
        );
        assert_eq!(kept[1].line.text, "after");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_bounded_in_bytes_and_one_module_pushes_out_no_other() {
        let logs = Logs::new(DeviceId::new("d").expect("valid"));
        logs.take(&module("quiet"), line("here"));
        for _ in 0..100 {
            logs.take(&module("loud"), line(&"x".repeat(16 * 1024)));
        }
        let (kept, _) = logs.read(None, usize::MAX);
        let bytes: usize = kept.iter().map(|entry| entry.bytes()).sum();
        assert!(bytes <= KEPT_BYTES_PER_MODULE + 1024, "{bytes}");
        assert!(kept.iter().any(|entry| entry.line.text == "here"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_gets_the_tail_and_then_what_follows() {
        let logs = Logs::new(DeviceId::new("d").expect("valid"));
        for text in ["1", "2", "3"] {
            logs.take(&module("m"), line(text));
        }
        let (kept, mut feed) = logs.read(Some(&module("m")), 2);
        let texts: Vec<_> = kept.iter().map(|entry| entry.line.text.as_str()).collect();
        assert_eq!(texts, ["2", "3"]);
        logs.take(&module("m"), line("4"));
        assert_eq!(feed.recv().await.expect("a line").line.text, "4");
    }

    #[tokio::test(start_paused = true)]
    async fn closing_ends_the_feeds_after_their_last_line_and_keeps_what_was_logged() {
        let logs = Logs::new(DeviceId::new("d").expect("valid"));
        let mut feed = logs.follow();
        logs.take(&module("m"), line("last"));
        logs.close();
        logs.take(&module("m"), line("after"));
        assert_eq!(feed.recv().await.expect("a line").line.text, "last");
        feed.recv().await.expect_err("closed");
        let (kept, mut late) = logs.read(None, usize::MAX);
        assert_eq!(kept.len(), 2);
        late.recv().await.expect_err("closed");
    }
}

//! What `run` prints while it runs: the modules' log lines and what goes upstream.
//!
//! Printing has a thread of its own, so that a reader who does not read stops nothing: lines that find no
//! place are counted, and the count is printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wasm_edge_daemon::api::DeviceView;
use wasm_edge_daemon::logs::feed::FeedEvent;
use wasm_edge_hub::telemetry::{Telemetry, TelemetryEvent, TelemetryReader};
use wasm_edge_model::message::SystemProperty;

use crate::output::Output;
use crate::run_view::{LogLevel, LogLine, LogStream, Names, RunView};

/// Lines that may wait for the printing thread.
const WAITING_MAX: usize = 1024;

/// Bytes of lines that may wait for the printing thread: a module may log 16 KiB a line, and a reader who does
/// not read must not make this process keep it all.
const WAITING_MAX_BYTES: usize = 512 * 1024;

/// What a line costs beside its text and fields.
const LINE_OVERHEAD_BYTES: usize = 256;

/// What a field costs beside its name and value.
const FIELD_OVERHEAD_BYTES: usize = 96;

/// Characters of properties that are shown with a message, all together.
const PROPERTIES_SHOWN_MAX: usize = 4096;

/// Characters of a message that are shown.
const BODY_SHOWN_MAX: usize = 200;

/// How much of a message is shown: a program gets all of it, a person a line.
#[derive(Clone, Copy)]
enum Bodies {
    Whole,
    Cut,
}

/// How long the last lines may take to be printed.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// The open console.
pub(crate) struct Console {
    lines: Lines,
    readers: JoinSet<()>,
    printed: tokio::sync::oneshot::Receiver<()>,
}

impl Console {
    /// Starts to print what these devices log and send, the latter if there is a hub to read it from. `stop` is told when
    /// nobody reads any more.
    pub(crate) fn open(
        output: Output,
        devices: &[DeviceView],
        telemetry: Option<TelemetryReader>,
        stop: CancellationToken,
    ) -> Self {
        let names = if devices.len() == 1 {
            Names::Modules
        } else {
            Names::DevicesAndModules
        };
        let bodies = match output.is_json() {
            true => Bodies::Whole,
            false => Bodies::Cut,
        };
        let (lines, waiting) = Lines::open();
        let (done, printed) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            print(&output, names, waiting, &stop);
            let _ = done.send(());
        });
        let mut readers = JoinSet::new();
        for view in devices {
            readers.spawn(read_logs(view.clone(), lines.clone()));
        }
        if let Some(telemetry) = telemetry {
            readers.spawn(read_telemetry(telemetry, lines.clone(), bodies));
        }
        Self {
            lines,
            readers,
            printed,
        }
    }

    /// Prints what waits, for a moment, and ends.
    pub(crate) async fn close(self) {
        let Self {
            lines,
            mut readers,
            printed,
        } = self;
        let _ = tokio::time::timeout(CLOSE_MAX / 4, tokio::task::yield_now()).await;
        readers.shutdown().await;
        drop(lines);
        let _ = tokio::time::timeout(CLOSE_MAX, printed).await;
    }
}

/// The way of lines to the printing thread, bounded in number and bytes. Clones share it.
#[derive(Clone)]
struct Lines {
    sender: SyncSender<LogLine>,
    /// Bytes of the lines that wait: added by those who pass lines on, taken off by the printing thread.
    waiting_bytes: Arc<AtomicUsize>,
    /// Lines that found no place since the last one that did.
    lost: Arc<AtomicU64>,
}

/// The printing thread's end of [`Lines`].
struct Waiting {
    receiver: Receiver<LogLine>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Lines {
    fn open() -> (Self, Waiting) {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let lines = Self {
            sender,
            waiting_bytes: Arc::clone(&waiting_bytes),
            lost: Arc::default(),
        };
        let waiting = Waiting {
            receiver,
            waiting_bytes,
        };
        (lines, waiting)
    }

    /// Hands a line to the printing thread; one that finds no place is counted, and the count goes before the
    /// next one that does.
    fn pass(&self, line: LogLine) {
        let missed = self.lost.load(Ordering::Relaxed);
        let note = (missed > 0).then(|| missed_note(&line, missed));
        let (line_bytes, note_bytes) = (size_bytes(&line), note.as_ref().map_or(0, size_bytes));
        if !self.has_reserved(line_bytes + note_bytes) {
            self.missed(1);
            return;
        }
        if let Some(note) = note {
            if self.sender.try_send(note).is_err() {
                self.release(line_bytes + note_bytes);
                self.missed(1);
                return;
            }
            self.lost.fetch_sub(missed, Ordering::Relaxed);
        }
        if self.sender.try_send(line).is_err() {
            self.release(line_bytes);
            self.missed(1);
        }
    }

    fn missed(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    fn has_reserved(&self, bytes: usize) -> bool {
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= WAITING_MAX_BYTES;
        if !fits {
            self.release(bytes);
        }
        fits
    }

    fn release(&self, bytes: usize) {
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Says before `line` how many were missed.
fn missed_note(line: &LogLine, missed: u64) -> LogLine {
    LogLine {
        seq: None,
        time: line.time,
        device: line.device.clone(),
        module: String::new(),
        stream: LogStream::Host,
        level: LogLevel::Warn,
        output: None,
        text: format!("{missed} lines are not shown: they came faster than they could be printed"),
        fields: Default::default(),
    }
}

impl Iterator for Waiting {
    type Item = LogLine;

    fn next(&mut self) -> Option<LogLine> {
        let line = self.receiver.recv().ok()?;
        self.waiting_bytes
            .fetch_sub(size_bytes(&line), Ordering::Relaxed);
        Some(line)
    }
}

/// What a line takes in memory.
fn size_bytes(line: &LogLine) -> usize {
    let field = |(name, value): (&String, &Value)| {
        name.len() + value.as_str().map_or(0, str::len) + FIELD_OVERHEAD_BYTES
    };
    let fields: usize = line.fields.iter().map(field).sum();
    let output = line.output.as_ref().map_or(0, String::len);
    line.text.len() + output + fields + LINE_OVERHEAD_BYTES
}

fn print(output: &Output, names: Names, waiting: Waiting, stop: &CancellationToken) {
    let view = RunView::new(output, names);
    for line in waiting {
        if view.print(&line).is_err() {
            stop.cancel();
            return;
        }
    }
}

async fn read_logs(view: DeviceView, lines: Lines) {
    let mut feed = match view.logs.follow() {
        Ok(feed) => feed,
        Err(err) => {
            tracing::error!(%err, "the modules' logs are not shown");
            return;
        }
    };
    while let Some(event) = feed.next().await {
        match event {
            FeedEvent::Line(entry) => match serde_json::from_value::<LogLine>(entry.to_json()) {
                Ok(line) => lines.pass(line),
                Err(err) => tracing::error!(%err, "a log line has an unknown form"),
            },
            FeedEvent::Missed(missed) => lines.missed(missed),
        }
    }
}

async fn read_telemetry(mut telemetry: TelemetryReader, lines: Lines, bodies: Bodies) {
    while let Some(event) = telemetry.next().await {
        match event {
            TelemetryEvent::Lost(missed) => lines.missed(missed),
            TelemetryEvent::Message(telemetry) => lines.pass(shown(&telemetry, bodies)),
        }
    }
}

/// A message that went upstream as a line.
fn shown(telemetry: &Telemetry, bodies: Bodies) -> LogLine {
    let message = &telemetry.message;
    let output = message
        .system
        .get(SystemProperty::OutputName)
        .unwrap_or_default();
    let body = String::from_utf8_lossy(&message.body);
    let mut left = match bodies {
        Bodies::Cut => PROPERTIES_SHOWN_MAX,
        Bodies::Whole => usize::MAX,
    };
    let properties = message.properties.iter().take_while(|(name, value)| {
        let length = name.len() + value.len();
        let fits = length <= left;
        left = left.saturating_sub(length);
        fits
    });
    LogLine {
        seq: None,
        time: telemetry.enqueued,
        device: telemetry.source.device().to_string(),
        module: telemetry
            .source
            .module()
            .map(ToString::to_string)
            .unwrap_or_default(),
        stream: LogStream::Upstream,
        level: LogLevel::Info,
        output: Some(output.to_owned()),
        text: bodies.shown(&body),
        fields: properties
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect(),
    }
}

impl Bodies {
    fn shown(self, body: &str) -> String {
        let cut = match self {
            Self::Whole => None,
            Self::Cut => body.char_indices().nth(BODY_SHOWN_MAX),
        };
        match cut {
            Some((end, _)) => format!("{}…", &body[..end]),
            None => body.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use wasm_edge_model::time::Timestamp;

    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine {
            seq: None,
            time: Timestamp::from_unix_millis(0),
            device: "d".to_owned(),
            module: "m".to_owned(),
            stream: LogStream::Log,
            level: LogLevel::Info,
            output: None,
            text: text.to_owned(),
            fields: Default::default(),
        }
    }

    #[test]
    fn lines_that_nobody_reads_are_counted_and_not_kept() {
        let (lines, mut waiting) = Lines::open();
        let text = "x".repeat(16 * 1024);
        for _ in 0..1000 {
            lines.pass(line(&text));
        }
        let mut kept = 0;
        while let Ok(line) = waiting.receiver.try_recv() {
            kept += 1;
            lines
                .waiting_bytes
                .fetch_sub(size_bytes(&line), Ordering::Relaxed);
        }
        assert_eq!(kept, WAITING_MAX_BYTES / size_bytes(&line(&text)));
        lines.pass(line("next"));
        let note = waiting.next().expect("the count comes first").text;
        let expected = format!("{} lines are not shown", 1000 - kept);
        assert!(note.starts_with(&expected), "{note}");
        assert_eq!(waiting.next().expect("a line").text, "next");
        assert_eq!(lines.waiting_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_person_sees_the_beginning_of_a_body_and_a_program_all_of_it() {
        let body = "ü".repeat(BODY_SHOWN_MAX + 1);
        assert_eq!(Bodies::Whole.shown(&body), body);
        let cut = format!("{}…", "ü".repeat(BODY_SHOWN_MAX));
        assert_eq!(Bodies::Cut.shown(&body), cut);
        assert_eq!(Bodies::Cut.shown("{}"), "{}");
    }

    #[test]
    fn short_lines_are_bounded_by_their_number() {
        let (lines, waiting) = Lines::open();
        for _ in 0..10 * WAITING_MAX {
            lines.pass(line(""));
        }
        assert_eq!(waiting.receiver.try_iter().count(), WAITING_MAX);
    }
}

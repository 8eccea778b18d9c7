//! What `run` prints while it runs: the modules' log lines and what goes upstream.
//!
//! Printing has a thread of its own, so that a reader who does not read stops nothing: lines that find no
//! place are counted, and the count is printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wasm_edge_daemon::api::DeviceView;
use wasm_edge_hub::telemetry::{TelemetryEvent, TelemetryReader};
use wasm_edge_model::message::SystemProperty;

use crate::output::Output;
use crate::run_view::{LogLevel, LogLine, LogStream, Names, RunView};

/// Lines that may wait for the printing thread.
const WAITING_MAX: usize = 1024;

/// Characters of a message that are shown.
const BODY_SHOWN_MAX: usize = 200;

/// How long the last lines may take to be printed.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// The open console.
pub(super) struct Console {
    lines: SyncSender<LogLine>,
    readers: JoinSet<()>,
    printed: tokio::sync::oneshot::Receiver<()>,
}

impl Console {
    /// Starts to print what these devices log and send. `stop` is told when nobody reads any more.
    pub(super) fn open(
        output: Output,
        devices: &[DeviceView],
        telemetry: TelemetryReader,
        stop: CancellationToken,
    ) -> Self {
        let names = if devices.len() == 1 {
            Names::Modules
        } else {
            Names::DevicesAndModules
        };
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let (done, printed) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            print(&output, names, &waiting, &stop);
            let _ = done.send(());
        });
        let lost = Arc::new(AtomicU64::new(0));
        let mut readers = JoinSet::new();
        for view in devices {
            readers.spawn(read_logs(view.clone(), lines.clone(), Arc::clone(&lost)));
        }
        readers.spawn(read_telemetry(telemetry, lines.clone(), lost));
        Self {
            lines,
            readers,
            printed,
        }
    }

    /// Prints what waits, for a moment, and ends.
    pub(super) async fn close(self) {
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

fn print(output: &Output, names: Names, waiting: &Receiver<LogLine>, stop: &CancellationToken) {
    let view = RunView::new(output, names);
    for line in waiting {
        if view.print(&line).is_err() {
            stop.cancel();
            return;
        }
    }
}

async fn read_logs(view: DeviceView, lines: SyncSender<LogLine>, lost: Arc<AtomicU64>) {
    let mut feed = view.logs.follow();
    loop {
        match feed.recv().await {
            Ok(entry) => match serde_json::from_value::<LogLine>(entry.to_json()) {
                Ok(line) => pass(&lines, line, &lost),
                Err(err) => tracing::error!(%err, "a log line has an unknown form"),
            },
            Err(RecvError::Lagged(missed)) => {
                lost.fetch_add(missed, Ordering::Relaxed);
            }
            Err(RecvError::Closed) => return,
        }
    }
}

async fn read_telemetry(
    mut telemetry: TelemetryReader,
    lines: SyncSender<LogLine>,
    lost: Arc<AtomicU64>,
) {
    while let Some(event) = telemetry.next().await {
        match event {
            TelemetryEvent::Lost(missed) => {
                lost.fetch_add(missed, Ordering::Relaxed);
            }
            TelemetryEvent::Message(telemetry) => {
                let message = &telemetry.message;
                let output = message
                    .system
                    .get(SystemProperty::OutputName)
                    .unwrap_or_default();
                let body = String::from_utf8_lossy(&message.body);
                let mut shown: String = body.chars().take(BODY_SHOWN_MAX).collect();
                if shown.len() < body.len() {
                    shown.push('…');
                }
                let fields = message
                    .properties
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.into()))
                    .collect();
                let line = LogLine {
                    time: telemetry.enqueued,
                    device: telemetry.source.device().to_string(),
                    module: telemetry
                        .source
                        .module()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                    stream: LogStream::Host,
                    level: LogLevel::Info,
                    text: format!("upstream {output} {shown}"),
                    fields,
                };
                pass(&lines, line, &lost);
            }
        }
    }
}

/// Hands a line to the printing thread; one that finds no place is counted.
fn pass(lines: &SyncSender<LogLine>, line: LogLine, lost: &AtomicU64) {
    let missed = lost.swap(0, Ordering::Relaxed);
    if missed > 0 {
        let note = LogLine {
            module: String::new(),
            stream: LogStream::Host,
            level: LogLevel::Warn,
            text: format!(
                "{missed} lines are not shown: they came faster than they could be printed"
            ),
            fields: Default::default(),
            ..line.clone()
        };
        if lines.try_send(note).is_err() {
            lost.fetch_add(missed, Ordering::Relaxed);
        }
    }
    if lines.try_send(line).is_err() {
        lost.fetch_add(1, Ordering::Relaxed);
    }
}

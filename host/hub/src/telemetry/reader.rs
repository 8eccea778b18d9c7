//! A reader of telemetry: from a position on, as fast as it likes.
//!
//! Owns where it stands. It reads from disk, some messages at a time, on
//! threads where that may block; so a slow one costs no memory and nobody
//! waits for it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinHandle;
use wasm_edge_model::error::chain;
use wasm_edge_store::log::{Cursor, LogError, Position, RecordKind};

use super::log::Written;
use super::{StartAt, Telemetry, TelemetryEvent, TelemetryStatus, record};
use crate::error::HubError;
use crate::hub::Hub;

/// Messages that are read at once, at most.
const BATCH_MAX_MESSAGES: usize = 64;

/// A batch ends after the message that reaches this size.
const BATCH_MAX_BYTES: usize = 128 * 1024;

/// How long it waits after a failure to read.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Reads telemetry, each message once and in order.
pub struct TelemetryReader {
    hub: Hub,
    written: watch::Receiver<Written>,
    /// Nothing while a batch is being read.
    place: Option<Place>,
    reading: Option<JoinHandle<Batch>>,
    /// What was read and is to be given out.
    events: VecDeque<Read>,
    /// The position behind the last message that was given out, and where one finds it.
    given_out: Option<(u64, Position)>,
    _permit: OwnedSemaphorePermit,
}

/// Where a reader stands.
#[derive(Debug)]
struct Place {
    cursor: Cursor,
    /// The position of the message that comes next; not known before the first of all.
    expected: Option<u64>,
    /// A message that was read and is not safely on disk yet, and where the next one is.
    early: Option<(Box<Telemetry>, Position)>,
}

/// An event, and where the message behind it is found.
struct Read {
    event: TelemetryEvent,
    behind: Position,
}

struct Batch {
    place: Place,
    events: VecDeque<Read>,
    /// Messages from here on were left for later.
    limit: u64,
    read: Result<(), LogError>,
}

impl Hub {
    /// What of the telemetry is kept.
    pub fn telemetry_status(&self) -> TelemetryStatus {
        self.telemetry_log().status()
    }

    /// Reads all telemetry from `from` on.
    ///
    /// # Errors
    /// [`HubError::Invalid`] for a position that is not there yet, [`HubError::TooManyReaders`],
    /// [`HubError::Closed`].
    pub fn telemetry(&self, from: StartAt) -> Result<TelemetryReader, HubError> {
        if self.closing().is_cancelled() {
            return Err(HubError::Closed);
        }
        let log = self.telemetry_log();
        let permit = log.reader_permit()?;
        let written = log.written();
        let start = log.start(from, &written.borrow())?;
        Ok(TelemetryReader {
            hub: self.clone(),
            written,
            place: Some(Place {
                cursor: log.log().read_from(start.at),
                expected: start.expected,
                early: None,
            }),
            reading: None,
            events: VecDeque::new(),
            given_out: None,
            _permit: permit,
        })
    }
}

impl TelemetryReader {
    /// The position of the message that comes next, where that is known before it comes: not for a
    /// reader that begins with the earliest.
    pub fn begins_at(&self) -> Option<u64> {
        self.place.as_ref().and_then(|place| place.expected)
    }

    /// The next message, or how many are gone before it; nothing once the hub is closed.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<TelemetryEvent> {
        let closing = self.hub.closing().clone();
        tokio::select! {
            biased;
            () = closing.cancelled() => None,
            event = self.next_event() => event,
        }
    }

    /// The next event if it was read already.
    pub(crate) fn at_hand(&mut self) -> Option<TelemetryEvent> {
        let Read { event, behind } = self.events.pop_front()?;
        if let TelemetryEvent::Message(telemetry) = &event {
            self.given_out = Some((telemetry.position + 1, behind));
        }
        Some(event)
    }

    async fn next_event(&mut self) -> Option<TelemetryEvent> {
        loop {
            if let Some(event) = self.at_hand() {
                return Some(event);
            }
            // Marked as seen before looking, so that no message falls in between.
            let limit = self.written.borrow_and_update().next;
            let read_to = self.read(limit).await?;
            // A reading that was begun earlier knew of less.
            if self.events.is_empty() && read_to == limit {
                self.written.changed().await.ok()?;
            }
        }
    }

    /// Reads a batch below `limit`, or waits for a reading that was begun before, and answers with its limit.
    async fn read(&mut self, limit: u64) -> Option<u64> {
        let reading = match (&mut self.reading, self.place.take()) {
            (Some(reading), _) => reading,
            (reading @ None, Some(place)) => {
                reading.insert(tokio::task::spawn_blocking(move || place.read(limit)))
            }
            (None, None) => return None,
        };
        let batch = reading.await;
        self.reading = None;
        let batch = batch.ok()?;
        self.place = Some(batch.place);
        self.events = batch.events;
        if let Err(err) = batch.read {
            tracing::warn!(error = %chain(&err), "telemetry cannot be read; it is tried again");
            tokio::time::sleep(RETRY_WAIT).await;
            self.written.mark_changed();
        }
        Some(batch.limit)
    }
}

/// Whoever goes on later, as consumers do with each request, need not look for the place.
impl Drop for TelemetryReader {
    fn drop(&mut self) {
        if let Some((position, at)) = self.given_out {
            self.hub.telemetry_log().remember(position, at);
        }
    }
}

impl Place {
    /// Reads on until there is a batch, or all below `limit` is read. Blocks.
    fn read(mut self, limit: u64) -> Batch {
        let mut events = VecDeque::new();
        let read = self.fill(limit, &mut events);
        Batch {
            place: self,
            events,
            limit,
            read,
        }
    }

    fn fill(&mut self, limit: u64, events: &mut VecDeque<Read>) -> Result<(), LogError> {
        let mut bytes = 0;
        while events.len() < BATCH_MAX_MESSAGES && bytes < BATCH_MAX_BYTES {
            let Some((telemetry, behind)) = self.one()? else {
                break;
            };
            if telemetry.position >= limit {
                self.early = Some((telemetry, behind));
                break;
            }
            let expected = self.expected.unwrap_or(telemetry.position);
            if telemetry.position < expected {
                continue;
            }
            if telemetry.position > expected {
                let event = TelemetryEvent::Lost(telemetry.position - expected);
                events.push_back(Read { event, behind });
            }
            self.expected = Some(telemetry.position + 1);
            bytes += telemetry.message.size_bytes();
            let event = TelemetryEvent::Message(telemetry);
            events.push_back(Read { event, behind });
        }
        Ok(())
    }

    fn one(&mut self) -> Result<Option<(Box<Telemetry>, Position)>, LogError> {
        if let Some(early) = self.early.take() {
            return Ok(Some(early));
        }
        while let Some(found) = self.cursor.next()? {
            // What cannot be read shows as a gap before the next one.
            if found.kind == RecordKind::Entry
                && let Some(telemetry) = record::decode(found.payload)
            {
                return Ok(Some((Box::new(telemetry), self.cursor.position())));
            }
        }
        Ok(None)
    }
}

//! The hub's end of the telemetry log: messages go in, readers find where to begin.
//!
//! Owns what waits to be written, what is on disk, and the end of the writing
//! thread. Leaves writing to `writer.rs`, reading to `reader.rs`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::message::Message;
use wasm_edge_model::time::Timestamp;
use wasm_edge_store::log::{Log, LogReader, LogSettings, Position};
use wasm_edge_store::volume::Volume;

use super::record::FORMAT;
use super::retention::{self, Segment};
use super::writer::Writer;
use super::{READERS_MAX, Retention, StartAt, Telemetry, TelemetryStatus};
use crate::error::HubError;

/// Bytes of messages that wait to be written; more are refused. Devices send only so much before they
/// wait for an acknowledgement, so this is met with many devices on a disk that takes nothing.
const WAITING_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Bytes of messages that are written together.
pub(super) const GROUP_MAX_BYTES: usize = 1024 * 1024;

/// Places in the log that are remembered for readers that go on later: some for each consumer.
const PLACES_MAX: usize = 256;

/// What a message is taken to cost beside its body and properties.
const MESSAGE_OVERHEAD_BYTES: usize = 512;

/// What a property is taken to cost beside its text.
const PROPERTY_OVERHEAD_BYTES: usize = 32;

/// The telemetry of one hub.
#[derive(Debug)]
pub(crate) struct TelemetryLog {
    shared: Arc<Shared>,
    readers: Arc<Semaphore>,
    log: LogReader,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writing thread shares with all others.
#[derive(Debug)]
pub(super) struct Shared {
    /// Filled by sessions that send, emptied by the writing thread; short sections only.
    queue: Mutex<Queue>,
    /// Says that something waits, or that the hub closes.
    filled: Condvar,
    /// What readers may see. Written by the writing thread.
    pub(super) written: watch::Sender<Written>,
    /// The segments, oldest first. Written by the writing thread, looked at by readers that begin.
    pub(super) segments: Mutex<VecDeque<Segment>>,
    /// Where readers left off: positions with their places, the newest last. Without one a reader looks for its
    /// place from the begin of the segment. Written by readers that end; short sections only.
    places: Mutex<VecDeque<(u64, Position)>>,
    /// Whether the disk takes nothing at the moment. Written by the writing thread.
    pub(super) failing: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// What they cost.
    bytes: usize,
    closed: bool,
}

/// A message that is to be written.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) telemetry: Telemetry,
    /// Told when it is on disk; dropped when it will never be.
    pub(super) done: oneshot::Sender<()>,
}

/// A message that there is no room for, or no time any more.
#[derive(Debug)]
pub(crate) struct NotTaken {
    pub(crate) error: HubError,
    pub(crate) message: Message,
}

/// How far the log is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// The position of the next message.
    pub(super) next: u64,
    /// Where one finds it: the record of some message shortly before it.
    pub(super) at: Position,
}

/// Where a reader begins in the log.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) at: Position,
    /// The message that it wants first; with none, the first that it finds.
    pub(super) expected: Option<u64>,
}

/// What the writing thread finds to do.
pub(super) enum Work {
    /// These messages are to be written; none when so much time went by.
    Group(Vec<Waiting>),
    /// The hub is closed.
    Closed,
}

impl TelemetryLog {
    /// Opens the log in `volume` and starts the thread that writes it. Blocks.
    pub(crate) fn open(volume: Arc<dyn Volume>, retention: Retention) -> Result<Self, HubError> {
        let settings = LogSettings {
            format: FORMAT,
            segment_bytes: retention::segment_bytes(&retention),
        };
        let (log, recovery) = Log::open(volume, settings)?;
        if recovery.damaged_records > 0 {
            tracing::warn!(?recovery, "telemetry on disk is damaged");
        }
        let reader = log.reader();
        let (writer, written) = Writer::open(log, retention)?;
        let shared = Arc::new(Shared::new(&writer, written));
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("telemetry".to_owned())
                .spawn(move || writer.run(&shared))
                .map_err(|source| HubError::Thread { source })?
        };
        Ok(Self {
            shared,
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            log: reader,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Takes a message in; what this answers with is told when it is on disk, and dropped when it
    /// never will be.
    ///
    /// Messages are written in the order of these calls. While the disk takes nothing, they wait.
    pub(crate) fn append(
        &self,
        source: TwinOwner,
        enqueued: Timestamp,
        message: Message,
    ) -> Result<oneshot::Receiver<()>, Box<NotTaken>> {
        let telemetry = Telemetry {
            // Given out when it is written.
            position: 0,
            source,
            enqueued,
            message,
        };
        let (done, told) = oneshot::channel();
        self.shared.put(Waiting { telemetry, done })?;
        Ok(told)
    }

    /// Takes no more messages; those that wait are written if they can be now.
    pub(crate) fn close(&self) {
        self.shared.queue().closed = true;
        self.shared.filled.notify_all();
    }

    /// Waits until the thread has ended that writes; it does after [`Self::close`]. Blocks.
    pub(crate) fn ended(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes telemetry failed");
        }
    }

    /// What is kept now.
    pub(crate) fn status(&self) -> TelemetryStatus {
        let next = self.shared.written.borrow().next;
        let segments = self.shared.segments();
        let oldest = segments.iter().find_map(|segment| segment.first);
        TelemetryStatus {
            earliest: oldest.unwrap_or(next),
            next,
            bytes: self.log.segments().iter().map(|info| info.bytes).sum(),
            readers: READERS_MAX - self.readers.available_permits(),
            failing: self.shared.failing.load(Ordering::Relaxed),
        }
    }

    /// Notes where the message at `position` is found.
    pub(super) fn remember(&self, position: u64, at: Position) {
        let mut places = self.shared.places();
        places.retain(|(known, _)| *known != position);
        if places.len() >= PLACES_MAX {
            places.pop_front();
        }
        places.push_back((position, at));
    }

    pub(super) fn log(&self) -> &LogReader {
        &self.log
    }

    pub(super) fn written(&self) -> watch::Receiver<Written> {
        self.shared.written.subscribe()
    }

    pub(super) fn reader_permit(&self) -> Result<OwnedSemaphorePermit, HubError> {
        let readers = Arc::clone(&self.readers);
        readers
            .try_acquire_owned()
            .map_err(|_| HubError::TooManyReaders {
                what: "telemetry",
                limit: READERS_MAX,
            })
    }

    /// Where a reader begins, `next` being the position of the message that comes next.
    pub(super) fn start(&self, from: StartAt, written: &Written) -> Result<Start, HubError> {
        match from {
            StartAt::Earliest => Ok(Start {
                at: Position::START,
                expected: None,
            }),
            StartAt::Latest => Ok(Start {
                at: written.at,
                expected: Some(written.next),
            }),
            StartAt::Position(position) if position > written.next => Err(HubError::Invalid {
                problem: format!(
                    "there is no message at position {position} yet; the next one is {}",
                    written.next
                ),
            }),
            StartAt::Position(position) => Ok(Start {
                at: match position == written.next {
                    true => written.at,
                    false => self.shared.find(position),
                },
                expected: Some(position),
            }),
        }
    }
}

impl Drop for TelemetryLog {
    fn drop(&mut self) {
        self.close();
        self.ended();
    }
}

impl Shared {
    pub(super) fn new(writer: &Writer, written: Written) -> Self {
        Self {
            queue: Mutex::default(),
            filled: Condvar::new(),
            written: watch::Sender::new(written),
            segments: Mutex::new(writer.segments()),
            places: Mutex::default(),
            failing: AtomicBool::new(false),
        }
    }

    fn put(&self, waiting: Waiting) -> Result<(), Box<NotTaken>> {
        let cost = cost(&waiting.telemetry);
        let mut queue = self.queue();
        let error = match &*queue {
            queue if queue.closed => Some(HubError::Closed),
            queue if queue.bytes + cost > WAITING_MAX_BYTES => Some(HubError::Busy),
            _ => None,
        };
        if let Some(error) = error {
            let message = waiting.telemetry.message;
            return Err(Box::new(NotTaken { error, message }));
        }
        queue.bytes += cost;
        queue.waiting.push_back(waiting);
        drop(queue);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until something is to be done, or so long.
    pub(super) fn work(&self, wait_max: Duration) -> Work {
        let queue = self.queue();
        let (mut queue, _) = self
            .filled
            .wait_timeout_while(queue, wait_max, |queue| {
                queue.waiting.is_empty() && !queue.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        if queue.closed && queue.waiting.is_empty() {
            return Work::Closed;
        }
        Work::Group(queue.group())
    }

    /// Waits so long, or until the hub closes, and says whether it does.
    pub(super) fn closes_within(&self, wait: Duration) -> bool {
        let queue = self.queue();
        let waited = self
            .filled
            .wait_timeout_while(queue, wait, |queue| !queue.closed);
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.closed
    }

    /// Where the message at `position` is, or would be, or some record before it.
    fn find(&self, position: u64) -> Position {
        let place = self
            .places()
            .iter()
            .find(|(known, _)| *known == position)
            .map(|(_, at)| *at);
        let segments = self.segments();
        // The segment may be gone since.
        let is_kept = |at: &Position| segments.iter().any(|segment| segment.id == at.segment);
        if let Some(at) = place.filter(is_kept) {
            return at;
        }
        let found = segments
            .iter()
            .rfind(|segment| segment.first.is_some_and(|first| first <= position));
        found.map_or(Position::START, |segment| Position {
            segment: segment.id,
            offset: 0,
        })
    }

    pub(super) fn segments(&self) -> MutexGuard<'_, VecDeque<Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> MutexGuard<'_, VecDeque<(u64, Position)>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Takes out what is written together: all that waits, as far as it fits.
    fn group(&mut self) -> Vec<Waiting> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.waiting.front() {
            let cost = cost(&next.telemetry);
            if bytes + cost > GROUP_MAX_BYTES && !group.is_empty() {
                break;
            }
            bytes += cost;
            self.bytes -= cost;
            group.extend(self.waiting.pop_front());
        }
        group
    }
}

/// What a message takes while it waits.
fn cost(telemetry: &Telemetry) -> usize {
    let message = &telemetry.message;
    let properties = message.properties.len() + message.system.len();
    message.size_bytes()
        + message.system.bytes()
        + properties * PROPERTY_OVERHEAD_BYTES
        + MESSAGE_OVERHEAD_BYTES
}

//! The thread that writes telemetry: all that waits at once, with one write and one sync.
//!
//! Owns the log and its segments, their age, and what is done when the disk
//! takes nothing: the group is tried again until it is taken, and nobody is
//! told that it was before. So groups form by themselves, and a lone message
//! waits for one sync.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use wasm_edge_model::error::chain;
use wasm_edge_store::log::{
    Group, Log, LogError, Position, RECORD_MAX_BYTES, RecordKind, SegmentInfo,
};

use super::Retention;
use super::log::{GROUP_MAX_BYTES, Shared, Waiting, Work, Written};
use super::record::{self, SegmentHead};
use super::retention::{self, Segment};
use crate::error::HubError;

/// How long a group waits before it is tried again, at first and at most.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(1);

/// How often the age of segments is looked at when nothing comes, at least and at most.
const LOOK_MIN: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_secs(60);

/// The writing end of the telemetry log.
#[derive(Debug)]
pub(super) struct Writer {
    log: Log,
    retention: Retention,
    /// As in the log, oldest first.
    segments: VecDeque<Segment>,
    /// The position of the next message.
    next: u64,
    /// For how long the hub had run in all when it was opened.
    ran_ms: u64,
    opened: Instant,
    group: Group,
}

/// How far a group got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Encoded,
    /// It is in the log; the last of its records is here.
    Appended(Position),
}

impl Writer {
    /// Finds out what is in `log`; and how far it is written. Blocks.
    pub(super) fn open(log: Log, retention: Retention) -> Result<(Self, Written), HubError> {
        let mut segments = VecDeque::new();
        let mut ran_ms = 0;
        for info in log.segments() {
            let mut cursor = log.reader().read_segment(info.id);
            let head = cursor
                .next()?
                .filter(|record| record.kind == RecordKind::Head)
                .and_then(|record| SegmentHead::decode(record.payload));
            // One whose head is damaged is as old as the one before.
            ran_ms = head.map_or(ran_ms, |head| head.begun_ms.max(ran_ms));
            segments.push_back(Segment {
                id: info.id,
                first: head.map(|head| head.first),
                begun_ms: ran_ms,
            });
        }
        let written = last(&log, &segments)?;
        let writer = Self {
            log,
            retention,
            segments,
            next: written.next,
            ran_ms,
            opened: Instant::now(),
            group: Group::new(),
        };
        Ok((writer, written))
    }

    /// The segments that there are.
    pub(super) fn segments(&self) -> VecDeque<Segment> {
        self.segments.clone()
    }

    /// Writes what comes until the hub is closed.
    pub(super) fn run(mut self, shared: &Shared) {
        let period = self.retention.max_age / 8;
        let look = period.clamp(LOOK_MIN, LOOK_MAX);
        loop {
            match shared.work(look) {
                Work::Closed => return,
                Work::Group(waiting) if waiting.is_empty() => {
                    let now_ms = self.now_ms(Instant::now());
                    let looked = self.make_room(0, now_ms, shared);
                    self.note(&looked, shared);
                }
                Work::Group(waiting) => {
                    if !self.write(waiting, shared) {
                        return;
                    }
                }
            }
        }
    }

    /// Writes a group and tells all whose messages are in it; `false` if the hub closed before.
    fn write(&mut self, waiting: Vec<Waiting>, shared: &Shared) -> bool {
        self.group.clear(GROUP_MAX_BYTES);
        let mut taken = Vec::with_capacity(waiting.len());
        for mut waiting in waiting {
            let telemetry = &mut waiting.telemetry;
            telemetry.position = self.next + taken.len() as u64;
            match self.group.encode(|bytes| record::encode(telemetry, bytes)) {
                Ok(()) => taken.push(waiting.done),
                // The limits of a message are below; dropping what waits tells its sender.
                Err(err) => {
                    tracing::error!(%err, limit = RECORD_MAX_BYTES, "a message was not taken")
                }
            }
        }
        let mut stage = Stage::Encoded;
        let mut wait = RETRY_WAIT_MIN;
        loop {
            let tried = self.try_write(&mut stage, shared);
            self.note(&tried, shared);
            if tried.is_ok() {
                break;
            }
            if shared.closes_within(wait) {
                return false;
            }
            wait = (wait * 2).min(RETRY_WAIT_MAX);
        }
        self.next += taken.len() as u64;
        if let Stage::Appended(at) = stage {
            let next = self.next;
            shared.written.send_replace(Written { next, at });
        }
        for done in taken {
            // Whoever does not wait any more has it on disk all the same.
            let _ = done.send(());
        }
        true
    }

    fn try_write(&mut self, stage: &mut Stage, shared: &Shared) -> Result<(), LogError> {
        if *stage == Stage::Encoded {
            let now_ms = self.now_ms(Instant::now());
            self.make_room(self.group.size_bytes() as u64, now_ms, shared)?;
            if self.log.needs_roll() {
                self.begin_segment(now_ms, shared)?;
            }
            let positions = self.log.append(&mut self.group)?;
            let Some(last) = positions.last() else {
                return Ok(());
            };
            *stage = Stage::Appended(*last);
        }
        self.log.sync()
    }

    /// Removes what has to go before so many bytes are written, and begins a segment if the newest
    /// is so old that it would keep its first messages too long.
    fn make_room(&mut self, incoming: u64, now_ms: u64, shared: &Shared) -> Result<(), LogError> {
        let newest = self.segments.back();
        let age = newest.map_or(0, |newest| now_ms.saturating_sub(newest.begun_ms));
        let has_messages = newest.is_some_and(|newest| newest.first != Some(self.next));
        if has_messages && age > retention::segment_age_ms(&self.retention) {
            self.begin_segment(now_ms, shared)?;
        }
        loop {
            let sizes = self.log.segments();
            let segments: Vec<_> = self
                .segments
                .iter()
                .map(|it| (*it, size(&sizes, it)))
                .collect();
            let retention = &self.retention;
            let Some(id) = retention::to_remove(&segments, retention, incoming, now_ms) else {
                return Ok(());
            };
            self.log.remove(id)?;
            self.segments.pop_front();
            shared.segments().pop_front();
        }
    }

    fn begin_segment(&mut self, now_ms: u64, shared: &Shared) -> Result<(), LogError> {
        let head = SegmentHead {
            first: self.next,
            begun_ms: now_ms,
        };
        self.log.roll(&head.encode())?;
        let newest = self.log.segments().last().map(|info| info.id);
        let segment = Segment {
            id: newest.expect("a segment was begun"),
            first: Some(head.first),
            begun_ms: head.begun_ms,
        };
        self.segments.push_back(segment);
        shared.segments().push_back(segment);
        Ok(())
    }

    fn now_ms(&self, now: Instant) -> u64 {
        let runs = now.saturating_duration_since(self.opened).as_millis();
        self.ran_ms
            .saturating_add(u64::try_from(runs).unwrap_or(u64::MAX))
    }

    /// Says once that the disk takes nothing, and once that it does again.
    fn note(&self, tried: &Result<(), LogError>, shared: &Shared) {
        let was_failing = shared.failing.swap(tried.is_err(), Ordering::Relaxed);
        match tried {
            Err(err) if !was_failing => tracing::error!(
                error = %chain(err),
                "telemetry cannot be written: nothing is acknowledged until it can be"
            ),
            Ok(()) if was_failing => tracing::info!("telemetry is written again"),
            _ => {}
        }
    }
}

fn size(sizes: &[SegmentInfo], segment: &Segment) -> u64 {
    let found = sizes.iter().find(|info| info.id == segment.id);
    found.map_or(0, |info| info.bytes)
}

/// How far the log is written: behind the last message, which is in the newest segment that has one.
fn last(log: &Log, segments: &VecDeque<Segment>) -> Result<Written, HubError> {
    for segment in segments.iter().rev() {
        let mut next = segment.first;
        let mut at = Position {
            segment: segment.id,
            offset: 0,
        };
        let mut cursor = log.reader().read_segment(segment.id);
        while let Some(found) = cursor.next()? {
            if found.kind == RecordKind::Entry
                && let Some(telemetry) = record::decode(found.payload)
            {
                next = next.max(Some(telemetry.position + 1));
                at = found.position;
            }
        }
        if let Some(next) = next {
            return Ok(Written { next, at });
        }
    }
    Ok(Written {
        next: 0,
        at: Position::START,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::oneshot;
    use wasm_edge_store::log::LogSettings;
    use wasm_edge_store::volume::simulated::SimulatedVolume;

    use super::*;
    use crate::hub::tests::{NOW, module};
    use crate::telemetry::Telemetry;

    const RETENTION: Retention = Retention {
        max_bytes: u64::MAX,
        max_age: Duration::from_secs(8),
    };

    fn open(volume: &SimulatedVolume) -> (Writer, Shared) {
        let settings = LogSettings {
            format: record::FORMAT,
            segment_bytes: 4096,
        };
        let (log, _) = Log::open(Arc::new(volume.clone()), settings).unwrap();
        let (writer, written) = Writer::open(log, RETENTION).unwrap();
        let shared = Shared::new(&writer, written);
        (writer, shared)
    }

    fn waiting() -> Vec<Waiting> {
        let telemetry = Telemetry {
            position: 0,
            source: module("d", "m"),
            enqueued: NOW.parse().unwrap(),
            message: Default::default(),
        };
        let (done, _) = oneshot::channel();
        vec![Waiting { telemetry, done }]
    }

    #[test]
    fn messages_go_when_they_are_old_also_when_no_others_come() {
        let volume = SimulatedVolume::new(1);
        let (mut writer, shared) = open(&volume);
        assert!(writer.write(waiting(), &shared));
        let begun = writer.segments[0].begun_ms;
        let firsts = |writer: &mut Writer, after_ms| {
            writer.make_room(0, begun + after_ms, &shared).unwrap();
            let firsts: Vec<_> = writer.segments.iter().map(|it| it.first.unwrap()).collect();
            assert_eq!(writer.segments, *shared.segments());
            firsts
        };
        assert_eq!(firsts(&mut writer, 1000), [0]);
        assert_eq!(firsts(&mut writer, 1001), [0, 1]);
        // One without messages is good for the next one that comes.
        assert_eq!(firsts(&mut writer, 9001), [0, 1]);
        assert_eq!(firsts(&mut writer, 9002), [1]);
        assert_eq!(firsts(&mut writer, 90_000), [1]);
        drop(writer);

        // The time that it ran counts, not the time between.
        let (mut writer, _) = open(&volume);
        assert_eq!(writer.now_ms(writer.opened), begun + 1001);
        assert!(writer.write(waiting(), &shared));
        assert_eq!(writer.next, 2);
    }
}

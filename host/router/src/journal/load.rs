//! Reading messages back: the next ones of a lane, in order, with a bound on their number and bytes.
//!
//! Runs on the caller's thread, which may block. The index tells where to look; it is not locked while a file
//! is read, so what is found is compared with it afterwards.

use wasm_edge_store::log::{LogError, RecordKind};

use crate::journal::codec::{self, CommitRecord, Content, MessageRecord, Record};
use crate::journal::commit::{LaneId, Loaded, Place, Stored};
use crate::journal::index::Reading;
use crate::journal::{JournalError, Shared};

/// How often reading begins anew because segments were merged meanwhile. Merges take as long as reading does,
/// so that many in a row are a defect.
const TRIES_MAX: u32 = 100;

/// One load on its way.
struct Load<'a> {
    shared: &'a Shared,
    lane: LaneId,
    messages_max: usize,
    bytes_max: usize,
    bytes: usize,
    loaded: Loaded,
    /// The next ordinal wanted.
    next: u64,
}

/// How far a record went.
enum Step {
    /// It has been gone through.
    Through,
    /// There is no room for the message of the ordinal wanted next.
    Full,
}

impl Shared {
    /// See [`super::Journal::load`].
    pub(super) fn load(
        &self,
        lane: LaneId,
        after: Option<u64>,
        messages_max: usize,
        bytes_max: usize,
    ) -> Result<Loaded, JournalError> {
        let mut load = Load {
            shared: self,
            lane,
            messages_max,
            bytes_max,
            bytes: 0,
            loaded: Loaded::default(),
            next: after.map_or(0, |after| after + 1),
        };
        let mut tries = 0;
        while !load.is_full() {
            let reading = self.index().reading(lane, load.next);
            let Some(reading) = reading else {
                load.loaded.is_end = true;
                break;
            };
            match load.read(&reading) {
                Ok(()) => tries = 0,
                Err(LogError::Replaced { .. }) if tries < TRIES_MAX => tries += 1,
                Err(error) => return Err(JournalError::Read(error)),
            }
        }
        Ok(load.finish())
    }
}

impl Load<'_> {
    fn is_full(&self) -> bool {
        let count = self.loaded.messages.len();
        count > 0 && (count >= self.messages_max || self.bytes >= self.bytes_max)
    }

    /// Reads one stretch, to its end or until there is enough.
    fn read(&mut self, reading: &Reading) -> Result<(), LogError> {
        self.next = self.next.max(reading.first);
        let mut cursor = self.shared.reader.read_from(reading.from);
        if self.shared.index().version() != reading.version {
            // The position may be one of another segment now.
            return Ok(());
        }
        while self.next <= reading.last {
            let Some(record) = cursor.next()? else {
                break;
            };
            let position = record.position;
            if position.segment != reading.from.segment {
                break;
            }
            if record.kind != RecordKind::Entry {
                continue;
            }
            let Ok(Record::Commit(commit)) = codec::decode(record.payload) else {
                continue;
            };
            if let Step::Full = self.take(commit, reading) {
                self.shared.index().note(self.lane, self.next, position);
                return Ok(());
            }
        }
        if self.next <= reading.last {
            self.passed_over(self.next, reading.last, reading);
            self.next = reading.last + 1;
        }
        let position = cursor.position();
        self.shared.index().note(self.lane, self.next, position);
        Ok(())
    }

    /// Takes what a record has of the lane.
    fn take(&mut self, commit: CommitRecord<'_>, reading: &Reading) -> Step {
        for message in commit.messages.map_while(Result::ok) {
            let mine = message
                .targets
                .iter()
                .find(|target| target.place.lane == self.lane)
                .map(|target| (target.place, target.time_to_live));
            let Some((place, time_to_live)) = mine else {
                continue;
            };
            if place.ordinal < self.next {
                continue;
            }
            if place.ordinal > self.next {
                self.passed_over(self.next, place.ordinal - 1, reading);
                self.next = place.ordinal;
            }
            if reading.done.contains(place.ordinal) {
                self.next += 1;
                continue;
            }
            if self.is_full() {
                return Step::Full;
            }
            self.next += 1;
            match Content::decode(message.content) {
                Ok(content) => {
                    self.bytes += message.content.len();
                    let stored = self.stored(place, time_to_live, &message, content);
                    self.loaded.messages.push(stored);
                }
                Err(_) => self.loaded.damaged.push(place),
            }
        }
        Step::Through
    }

    fn stored(
        &self,
        place: Place,
        time_to_live: Option<std::time::Duration>,
        record: &MessageRecord<'_>,
        content: Content,
    ) -> Stored {
        let clock = &self.shared.clock;
        Stored {
            place,
            sequence: record.sequence,
            id: record.id,
            message: content.message,
            source: content.source,
            charge_bytes: record.charge_bytes,
            taken_at: clock.instant(record.taken),
            expires_at: time_to_live.and_then(|ttl| clock.end(record.taken, ttl)),
            aside: content.aside,
        }
    }

    /// There was nothing at these places where something should have been.
    fn passed_over(&mut self, first: u64, last: u64, reading: &Reading) {
        let lane = self.lane;
        let lost = (first..=last).filter(|ordinal| !reading.done.contains(*ordinal));
        let lost = lost.map(|ordinal| Place { lane, ordinal });
        self.loaded.damaged.extend(lost);
    }

    /// Takes out what was done while it was read, and what is about to be.
    fn finish(mut self) -> Loaded {
        let lane = self.lane;
        // In this order: what leaves the one is in the other by then.
        let pending = self.shared.intake.pending_done(|_| true, |id| id == lane);
        let mut index = self.shared.index();
        let is_done = |place: Place| {
            let ordinal = place.ordinal;
            let mut pending = pending.iter();
            pending.any(|done| (done.first..=done.last).contains(&ordinal))
        };
        let messages = &mut self.loaded.messages;
        messages.retain(|stored| index.is_live(stored.place) && !is_done(stored.place));
        let damaged = &mut self.loaded.damaged;
        damaged.retain(|place| index.is_live(*place) && !is_done(*place));
        for place in &*damaged {
            index.lose(lane, place.ordinal, place.ordinal);
        }
        let lost = index.take_lost(lane).into_iter();
        let lost = lost.map(|ordinal| Place { lane, ordinal });
        damaged.extend(lost.filter(|place| !is_done(*place)));
        self.shared.figures.damaged(damaged.len() as u64);
        self.loaded
    }
}

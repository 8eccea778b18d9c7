//! The thread that writes: groups of commits into the log, with as few syncs as serve them all.
//!
//! Owns the log's writing end. It takes all that was submitted while it was busy with what came before, writes
//! it, brings the index up to date, tells those who wait for the write, syncs if anybody waits for that, and
//! tells them. Between two groups it frees space, never more than one segment's work at a time (`tidy`). When
//! writing fails it keeps what it has and tries again; nobody is told meanwhile.

mod merge;
mod tidy;

use std::collections::HashSet;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use wasm_edge_model::route::Durability;
use wasm_edge_store::log::{Group, Log, LogError, Position};

use crate::journal::Shared;
use crate::journal::codec::{self, Head, Part};
use crate::journal::commit::{Commit, LaneId};
use crate::journal::elapsed::{ClockStamp, Elapsed};
use crate::journal::intake::{Item, Submitted, Tell, Work};

/// A group is closed when it has reached this size: large enough that the calls cost little, small enough to
/// be on a slow disk within a fraction of a second.
const GROUP_BYTES: usize = 256 * 1024;

/// Memory that the group's buffer keeps; a larger one was for large messages.
const GROUP_KEPT_BYTES: usize = 2 * GROUP_BYTES;

/// Lanes in one record that gives them their numbers.
const LANES_PER_RECORD: usize = 1_000;

/// The most that a head takes; what is beyond it is merged away first.
const HEAD_BYTES_MAX: usize = 512 * 1024;

/// How often the time is written while commits come, so that time in another boot is known to count.
const CLOCK_EVERY_MS: Elapsed = 60_000;

/// Waits between tries while writing fails.
const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How often writing is tried while closing, before what is not written is given up.
const CLOSING_TRIES: u32 = 3;

/// The writing end of a journal.
#[derive(Debug)]
pub(super) struct Writer {
    log: Log,
    shared: Arc<Shared>,
    group: Group,
    epoch: u32,
    newest: Option<u64>,
    /// Lanes whose names are in the newest segment.
    named: HashSet<LaneId>,
    /// The time that was written last.
    clock: Option<ClockStamp>,
    /// The group does more than to say that places are done.
    has_messages: bool,
    /// Something is written and not synced.
    is_unsynced: bool,
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the message store has reached its limit of {max_bytes} bytes")]
    Full { max_bytes: u64 },
}

/// Writing was given up, as the journal is to be closed.
#[derive(Debug, Clone, Copy)]
struct GivenUp;

/// What the writer does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// There is more to do.
    GoOn,
    /// There is nothing to do before something is submitted.
    Wait,
    /// The journal is closed and all is written.
    End,
}

/// One record of the group: a part of a commit.
struct Placed<'a> {
    /// The record's place in the group.
    record: usize,
    commit: &'a Commit,
    part: Part,
}

impl Writer {
    pub(super) fn new(log: Log, shared: Arc<Shared>, epoch: u32) -> Self {
        Writer {
            log,
            shared,
            group: Group::new(),
            epoch,
            newest: None,
            named: HashSet::new(),
            clock: None,
            has_messages: false,
            is_unsynced: false,
        }
    }

    /// Writes until the journal is closed.
    pub(super) fn run(mut self) {
        let mut work = self.begin();
        while let Ok(Next::Wait | Next::GoOn) = work {
            work = self.step(matches!(work, Ok(Next::Wait)));
        }
        if work.is_ok() {
            let _ = self.keep_trying(|writer| {
                writer.append_clock()?;
                writer.sync()
            });
        }
    }

    /// Begins a segment and with it the epoch, which has to last before anybody outside sees a message of it.
    fn begin(&mut self) -> Result<Next, GivenUp> {
        self.keep_trying(Writer::roll)?;
        self.keep_trying(Writer::sync)?;
        Ok(Next::GoOn)
    }

    /// Writes what waits, and frees some space; with `patience`, waits for something to write.
    fn step(&mut self, patience: bool) -> Result<Next, GivenUp> {
        match self.shared.intake.take(patience) {
            Work::Batch(batch) => self.write(&batch.items, batch.tells)?,
            Work::Idle => {}
            Work::Closed => return Ok(Next::End),
        }
        Ok(if self.tidy() { Next::GoOn } else { Next::Wait })
    }

    fn write(&mut self, items: &[Item], tells: Vec<Tell>) -> Result<(), GivenUp> {
        let mut tells = tells.into_iter().peekable();
        let mut begin = 0;
        while begin < items.len() {
            if self.log.needs_roll() {
                self.keep_trying(Writer::roll)?;
            }
            let (end, placed) = self.encode(items, begin);
            if !self.group.is_empty() {
                let positions = self.keep_trying(Writer::append)?;
                self.apply(&placed, &positions);
            }
            self.reached(&items[begin..end], end, &mut tells)?;
            begin = end;
        }
        Ok(())
    }

    /// Fills the group with the next commits; says where it ended.
    fn encode<'a>(&mut self, items: &'a [Item], begin: usize) -> (usize, Vec<Placed<'a>>) {
        self.group.clear(GROUP_KEPT_BYTES);
        self.has_messages = false;
        self.add_clock_if_due();
        let mut placed = Vec::new();
        let mut end = begin;
        while end < items.len() && self.group.size_bytes() < GROUP_BYTES {
            if let Item::Commit(Submitted { commit, .. }) = &items[end] {
                self.has_messages |= !commit.messages.is_empty();
                self.add_names(commit);
                for part in codec::parts(commit) {
                    let (clock, record) = (self.shared.clock, self.group.len());
                    let added = self.group.encode(|out| {
                        codec::encode_part(out, commit, &part, &clock);
                    });
                    match added {
                        Ok(()) => placed.push(Placed {
                            record,
                            commit,
                            part,
                        }),
                        // The limits of a message keep it far below that of a record.
                        Err(error) => tracing::error!(%error, "a message is lost"),
                    }
                }
            }
            end += 1;
        }
        (end, placed)
    }

    /// Adds the names of lanes that the newest segment does not know.
    fn add_names(&mut self, commit: &Commit) {
        let targets = commit.messages.iter().flat_map(|message| &message.targets);
        let mut missing: Vec<LaneId> = Vec::new();
        for target in targets {
            if self.named.insert(target.place.lane) {
                missing.push(target.place.lane);
            }
        }
        self.shared.add_lanes(&mut self.group, &missing);
    }

    fn append(&mut self) -> Result<Vec<Position>, WriteError> {
        let bytes = self.group.size_bytes() as u64;
        if self.has_messages {
            self.check_room(bytes)?;
        }
        let positions = self.log.append(&mut self.group)?;
        self.is_unsynced = true;
        self.shared.figures.wrote(bytes);
        Ok(positions)
    }

    /// Brings the index up to date with a group that was written.
    fn apply(&self, placed: &[Placed<'_>], positions: &[Position]) {
        let mut index = self.shared.index();
        for Placed {
            record,
            commit,
            part,
        } in placed
        {
            for done in &commit.done[part.done.clone()] {
                index.done(*done);
            }
            let Some(at) = positions.get(*record) else {
                continue;
            };
            for message in &commit.messages[part.messages.clone()] {
                for target in &message.targets {
                    index.add(target.place, *at);
                }
            }
        }
    }

    /// Tells everybody that a group is written, and synced if that is wanted.
    fn reached(
        &mut self,
        items: &[Item],
        end: usize,
        tells: &mut Peekable<impl Iterator<Item = Tell>>,
    ) -> Result<(), GivenUp> {
        let (mut bytes, mut through, mut strongest) = (0, None, Durability::None);
        let (mut commits, mut messages) = (0, 0);
        for item in items {
            match item {
                Item::Commit(submitted) => {
                    bytes += submitted.bytes;
                    commits += 1;
                    messages += submitted.commit.messages.len() as u64;
                    let last = submitted.commit.messages.last();
                    through = last.map(|message| message.sequence).or(through);
                    strongest = strongest.max(submitted.durability);
                }
                Item::Forget(lane) => self.forget(*lane),
            }
        }
        self.shared.figures.group(commits, messages);
        self.shared.publish_file_bytes(self.log.bytes());
        self.shared.intake.written(through, bytes);
        let mut waiting = Vec::new();
        while let Some(tell) = tells.next_if(|tell| tell.item < end) {
            if tell.durability == Durability::Power {
                waiting.push(tell.sender);
            } else {
                // Whoever does not wait any more need not be told.
                let _ = tell.sender.send(());
            }
        }
        if strongest == Durability::Power {
            self.keep_trying(Writer::sync)?;
            self.shared.intake.synced();
            for sender in waiting {
                let _ = sender.send(());
            }
        }
        Ok(())
    }

    fn forget(&self, lane: LaneId) {
        self.shared.intake.forgotten(lane);
        if !self.shared.index().has_lane(lane) {
            self.shared.intake.drop_lane(lane);
        }
    }

    fn sync(&mut self) -> Result<(), WriteError> {
        if self.is_unsynced {
            self.log.sync()?;
            self.is_unsynced = false;
            self.shared.figures.synced();
        }
        Ok(())
    }

    /// Begins a segment.
    fn roll(&mut self) -> Result<(), WriteError> {
        let mut head = self.head();
        while head.size_bytes() > HEAD_BYTES_MAX && self.merge_most_thinned() {
            head = self.head();
        }
        let mut bytes = Vec::new();
        head.encode(&mut bytes);
        self.log.roll(&bytes)?;
        self.clock = Some(head.clock);
        self.named.clear();
        self.newest = self.log.segments().last().map(|segment| segment.id);
        if let Some(newest) = self.newest {
            self.shared.index().begin(newest);
        }
        // All that was written before is synced; the name of the new segment is not.
        self.is_unsynced = true;
        self.shared.figures.wrote(bytes.len() as u64);
        self.shared.figures.synced();
        self.publish_space();
        Ok(())
    }

    fn head(&self) -> Head {
        Head {
            is_merged: false,
            store: self.shared.store,
            epoch: self.epoch,
            next_lane: self.shared.intake.next_lane(),
            clock: self.shared.clock_stamp(),
            lanes: self.shared.index().head_lanes(),
        }
    }

    fn add_clock_if_due(&mut self) {
        let now = self.shared.clock.at(wasm_edge_clock::now());
        let is_due = self
            .clock
            .is_none_or(|stamp| now.saturating_sub(stamp.elapsed) >= CLOCK_EVERY_MS);
        if is_due {
            self.add_clock();
        }
    }

    fn add_clock(&mut self) {
        let stamp = self.shared.clock_stamp();
        self.clock = Some(stamp);
        let added = self.group.encode(|out| codec::encode_clock(out, &stamp));
        debug_assert!(added.is_ok(), "a clock is small");
    }

    fn append_clock(&mut self) -> Result<(), WriteError> {
        self.group.clear(GROUP_KEPT_BYTES);
        self.has_messages = false;
        self.add_clock();
        self.append().map(|_| ())
    }

    /// Does something until it works, with growing waits. Meanwhile what is done makes room.
    fn keep_trying<T>(
        &mut self,
        attempt: impl Fn(&mut Self) -> Result<T, WriteError>,
    ) -> Result<T, GivenUp> {
        let mut wait = RETRY_FIRST;
        let mut closing_tries = 0;
        loop {
            let error = match attempt(self) {
                Ok(value) => {
                    self.shared.works();
                    return Ok(value);
                }
                Err(error) => error,
            };
            let is_full = matches!(error, WriteError::Full { .. });
            if self.make_room() || is_full && self.tidy() {
                continue;
            }
            self.shared.fails(&error);
            if self.shared.intake.is_closing() {
                closing_tries += 1;
                if closing_tries >= CLOSING_TRIES {
                    return Err(GivenUp);
                }
            }
            self.shared.intake.pause(wait);
            wait = (2 * wait).min(RETRY_MAX);
        }
    }
}

impl Shared {
    /// Adds the names of lanes to a group.
    fn add_lanes(&self, group: &mut Group, lanes: &[LaneId]) {
        for lanes in lanes.chunks(LANES_PER_RECORD) {
            let names = lanes
                .iter()
                .filter_map(|id| Some((*id, self.intake.name(*id)?)));
            let names: Vec<_> = names.collect();
            let added = group.encode(|out| {
                codec::encode_lanes(out, names.iter().map(|(id, name)| (*id, &**name)));
            });
            debug_assert!(added.is_ok(), "so many names fit into a record");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.intake.end();
    }
}

#[cfg(test)]
impl Writer {
    /// For tests, which write on their own thread when they want to: false when writing was given up.
    pub(super) fn begin_now(&mut self) -> bool {
        self.begin().is_ok()
    }

    /// As [`Self::begin_now`].
    pub(super) fn step_now(&mut self) -> bool {
        self.step(false).is_ok()
    }
}

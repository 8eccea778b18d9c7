//! What is in the log when it is opened: which messages of which lanes are left, and where everything goes on.
//!
//! Reads every segment once, and once more those in which part of a lane is done, to count what is left by
//! sender. Damage is skipped and counted. The caller (`super::Journal::open`) starts the writer with what is
//! found.

use std::collections::{BTreeSet, HashMap};

use wasm_edge_model::identity::ModuleId;
use wasm_edge_store::log::{LogReader, Position, RecordKind};

use crate::journal::codec::{self, CommitRecord, Content, Head, Record};
use crate::journal::commit::{Done, LaneId, LaneName, Place, RecoveredShare};
use crate::journal::elapsed::{ClockStamp, Elapsed};
use crate::journal::index::Index;

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) index: Index,
    pub(super) names: HashMap<LaneId, LaneName>,
    /// Absent when there is no log yet.
    pub(super) store: Option<u32>,
    /// The greatest there was.
    pub(super) epoch: u32,
    /// No lane has this number or a greater one.
    pub(super) next_lane: u32,
    pub(super) clock: Option<ClockStamp>,
    /// The latest time at which a message was taken.
    pub(super) latest: Elapsed,
    /// Damaged places in the files.
    pub(super) damaged_records: u64,
    /// Messages that are known to have been there.
    pub(super) damaged_messages: u64,
    /// What each sender has left in each lane.
    pub(super) shares: HashMap<LaneId, Vec<RecoveredShare>>,
}

/// What is added up of the messages of one lane in one segment, by the number of the sender.
type Sums = Vec<(usize, Sum)>;

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    messages: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Scan {
    found: Found,
    /// Records of a commit whose last one was not met yet.
    parts: Vec<Part>,
    sums: HashMap<(LaneId, u64), Sums>,
    senders: HashMap<String, usize>,
    /// Ordinals that the segment at hand should have and does not.
    gaps: Vec<(LaneId, u64, u64)>,
}

#[derive(Debug, Default)]
struct Part {
    done: Vec<Done>,
    places: Vec<(Place, Position, usize, usize)>,
}

/// Reads the whole log.
pub(super) fn recover(reader: &LogReader) -> Found {
    let mut scan = Scan::default();
    for segment in reader.segments() {
        scan.segment(reader, segment.id);
    }
    scan.shares(reader);
    scan.found
}

impl Scan {
    fn segment(&mut self, reader: &LogReader, id: u64) {
        self.found.index.begin(id);
        self.parts.clear();
        let mut is_merged = false;
        let mut cursor = reader.read_segment(id);
        loop {
            match cursor.next() {
                Ok(Some(record)) if record.kind == RecordKind::Head => {
                    match Head::decode(record.payload) {
                        Ok(head) => {
                            is_merged = head.is_merged;
                            self.head(&head);
                        }
                        Err(_) => self.found.damaged_records += 1,
                    }
                }
                Ok(Some(record)) => self.record(record.payload, record.position),
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, segment = id, "part of the message store cannot be read");
                    self.found.damaged_records += 1;
                    break;
                }
            }
        }
        self.found.damaged_records += cursor.damaged();
        let is_damaged = cursor.damaged() > 0 && !is_merged;
        for (lane, first, last) in std::mem::take(&mut self.gaps) {
            let lost = self.found.index.lose(lane, first, last);
            if is_damaged {
                self.found.damaged_messages += lost;
            }
        }
    }

    fn head(&mut self, head: &Head) {
        let found = &mut self.found;
        found.store = Some(head.store);
        found.epoch = found.epoch.max(head.epoch);
        found.next_lane = found.next_lane.max(head.next_lane);
        self.clock(head.clock);
        let index = &mut self.found.index;
        for lane in &head.lanes {
            let done = |first, last| Done {
                lane: lane.id,
                first,
                last,
            };
            if let Some(last) = lane.low.checked_sub(1) {
                index.done(done(0, last));
            }
            for (first, last) in &lane.runs {
                index.done(done(*first, *last));
            }
            for ordinal in lane.ordinals() {
                index.done(done(ordinal, ordinal));
            }
        }
    }

    fn clock(&mut self, stamp: ClockStamp) {
        let known = self.found.clock;
        if known.is_none_or(|known| known.elapsed <= stamp.elapsed) {
            self.found.clock = Some(stamp);
        }
    }

    fn record(&mut self, payload: &[u8], at: Position) {
        match codec::decode(payload) {
            Ok(Record::Commit(commit)) => self.commit(commit, at),
            Ok(Record::Lanes(lanes)) => {
                for (id, name) in lanes {
                    self.lane(id);
                    self.found.names.insert(id, name);
                }
            }
            Ok(Record::Clock(stamp)) => self.clock(stamp),
            Err(_) => self.found.damaged_records += 1,
        }
    }

    /// One record of a commit. The commit takes effect with its last record; one that breaks off does not.
    fn commit(&mut self, commit: CommitRecord<'_>, at: Position) {
        if commit.index == 0 {
            self.parts.clear();
        }
        let mut part = Part {
            done: commit.done,
            places: Vec::new(),
        };
        for message in commit.messages {
            let Ok(message) = message else {
                self.found.damaged_records += 1;
                break;
            };
            let found = &mut self.found;
            found.epoch = found.epoch.max(message.sequence.epoch());
            found.latest = found.latest.max(message.taken);
            let sender = Content::sender(message.content).unwrap_or_default();
            let sender = match self.senders.get(sender) {
                Some(sender) => *sender,
                None => {
                    let number = self.senders.len();
                    self.senders.insert(sender.to_owned(), number);
                    number
                }
            };
            let places = message.targets.iter();
            let places = places.map(|target| (target.place, at, sender, message.charge_bytes));
            part.places.extend(places);
        }
        let is_last = commit.is_last;
        if commit.index == 0 && is_last {
            self.apply(part);
            return;
        }
        self.parts.push(part);
        if is_last {
            for part in std::mem::take(&mut self.parts) {
                self.apply(part);
            }
        }
    }

    fn apply(&mut self, part: Part) {
        for done in part.done {
            self.lane(done.lane);
            self.found.index.done(done);
        }
        for (place, at, sender, bytes) in part.places {
            self.lane(place.lane);
            let gap = self.found.index.add_after_gap(place, at);
            if let Some((first, last)) = gap {
                self.gaps.push((place.lane, first, last));
            }
            let sums = self.sums.entry((place.lane, at.segment)).or_default();
            add(sums, sender, bytes);
        }
    }

    fn lane(&mut self, id: LaneId) {
        let next = id.0.saturating_add(1);
        self.found.next_lane = self.found.next_lane.max(next);
    }

    /// Adds up what is left of each lane by sender.
    fn shares(&mut self, reader: &LogReader) {
        let index = &self.found.index;
        let mut left: HashMap<LaneId, Sums> = HashMap::new();
        let mut partial: BTreeSet<u64> = BTreeSet::new();
        let mut counted: BTreeSet<(LaneId, u64)> = BTreeSet::new();
        for id in index.lanes() {
            for (segment, live, places) in index.stretches(id) {
                if live == places {
                    let sums = self.sums.get(&(id, segment)).into_iter().flatten();
                    let into = left.entry(id).or_default();
                    for (sender, sum) in sums {
                        add_sum(into, *sender, *sum);
                    }
                } else if live > 0 {
                    partial.insert(segment);
                    counted.insert((id, segment));
                }
            }
        }
        for segment in partial {
            let mut cursor = reader.read_segment(segment);
            while let Ok(Some(record)) = cursor.next() {
                if record.kind != RecordKind::Entry {
                    continue;
                }
                let Ok(Record::Commit(commit)) = codec::decode(record.payload) else {
                    continue;
                };
                for message in commit.messages.map_while(Result::ok) {
                    let sender = Content::sender(message.content).unwrap_or_default();
                    let sender = self.senders.get(sender).copied().unwrap_or_default();
                    for target in &message.targets {
                        let lane = target.place.lane;
                        if counted.contains(&(lane, segment)) && index.is_live(target.place) {
                            add(left.entry(lane).or_default(), sender, message.charge_bytes);
                        }
                    }
                }
            }
        }
        let modules: HashMap<usize, ModuleId> = self
            .senders
            .iter()
            .filter_map(|(name, number)| Some((*number, ModuleId::new(name).ok()?)))
            .collect();
        for (lane, sums) in left {
            let shares = sums.into_iter().filter_map(|(sender, sum)| {
                Some(RecoveredShare {
                    module: modules.get(&sender)?.clone(),
                    messages: sum.messages,
                    bytes: sum.bytes,
                })
            });
            self.found.shares.insert(lane, shares.collect());
        }
    }
}

fn add(sums: &mut Sums, sender: usize, bytes: usize) {
    add_sum(sums, sender, Sum { messages: 1, bytes });
}

fn add_sum(sums: &mut Sums, sender: usize, sum: Sum) {
    match sums.iter_mut().find(|(known, _)| *known == sender) {
        Some((_, known)) => {
            known.messages += sum.messages;
            known.bytes += sum.bytes;
        }
        None => sums.push((sender, sum)),
    }
}

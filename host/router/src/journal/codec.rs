//! The records of the message log: how commits, lanes and clocks are written, and read back.
//!
//! Owns the format of the records, of which [`FORMAT`] is the name and version; it is described in
//! `docs/data-folder.md`. Leaves the frame around a record to the log, and what a record means for the queues
//! to the index and to recovery. Whatever stands in a file, reading it takes no more memory than the record.
//!
//! A message of a record is skipped by its length, and its places come before its content, so that looking
//! for the messages of one lane does not decode those of others.

mod content;
mod head;
mod lane;

use std::ops::Range;
use std::time::Duration;

use crate::journal::commit::{Commit, Done, LaneId, LaneName, NewMessage, Place, Sequence};
use crate::journal::elapsed::{ClockStamp, Elapsed, ElapsedClock, millis};
use crate::journal::wire::{Malformed, Reader, put_number};

pub(super) use content::Content;
pub(super) use head::{Head, HeadLane};

/// Whose log it is and which version of its records.
pub(super) const FORMAT: [u8; 8] = *b"journal\x01";

/// A commit that is estimated to be larger is split into several records.
const PART_BYTES_MAX: usize = 512 * 1024;

/// What a message takes at most beside its own text and its places, and what a place takes.
const MESSAGE_BYTES: usize = 128;
const PLACE_BYTES: usize = 24;

/// Room made at once for as many of something as a record says; more is made as they are read.
const SMALL: usize = 16;

/// What a record is.
const KIND_COMMIT: u8 = 1;
const KIND_LANES: u8 = 2;
const KIND_CLOCK: u8 = 3;

/// The first and the last record of a commit. Only a commit whose last record is there has happened.
const FIRST: u8 = 1;
const LAST: u8 = 2;

/// What is said of a message.
const HAS_ID: u8 = 1;

/// One record of a commit that is to be written: which of its parts it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    index: u32,
    is_last: bool,
    pub(super) done: Range<usize>,
    pub(super) messages: Range<usize>,
}

/// A record that was read.
#[derive(Debug)]
pub(super) enum Record<'a> {
    Commit(CommitRecord<'a>),
    Lanes(Vec<(LaneId, LaneName)>),
    Clock(ClockStamp),
}

/// One record of a commit that was read.
#[derive(Debug)]
pub(super) struct CommitRecord<'a> {
    /// Which of the records of its commit it is.
    pub(super) index: u32,
    pub(super) is_last: bool,
    pub(super) done: Vec<Done>,
    pub(super) messages: Messages<'a>,
}

/// The messages of a record, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Messages<'a> {
    count: usize,
    reader: Reader<'a>,
}

/// A message of a record, its content not decoded.
#[derive(Debug, Clone)]
pub(super) struct MessageRecord<'a> {
    pub(super) sequence: Sequence,
    pub(super) id: Sequence,
    /// When it was taken.
    pub(super) taken: Elapsed,
    pub(super) charge_bytes: usize,
    pub(super) targets: Vec<TargetRecord>,
    /// What [`Content::decode`] takes.
    pub(super) content: &'a [u8],
}

/// A place of a message, and how long it may wait there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TargetRecord {
    pub(super) place: Place,
    pub(super) time_to_live: Option<Duration>,
}

/// What a message takes in a file, about: at most what it is, and near it.
pub(super) fn message_bytes(message: &NewMessage) -> usize {
    content::size_bytes(&message.message) + MESSAGE_BYTES + message.targets.len() * PLACE_BYTES
}

/// Cuts a commit into records: nearly always one.
pub(super) fn parts(commit: &Commit) -> Vec<Part> {
    let mut parts = Vec::with_capacity(1);
    let mut part = Part {
        index: 0,
        is_last: false,
        done: 0..0,
        messages: 0..0,
    };
    let mut bytes = 0;
    let mut next = |part: &mut Part, more: usize| {
        if bytes > 0 && bytes + more > PART_BYTES_MAX {
            bytes = 0;
            let begun = Part {
                index: part.index + 1,
                is_last: false,
                done: part.done.end..part.done.end,
                messages: part.messages.end..part.messages.end,
            };
            parts.push(std::mem::replace(part, begun));
        }
        bytes += more;
    };
    for _ in &commit.done {
        next(&mut part, PLACE_BYTES);
        part.done.end += 1;
    }
    for message in &commit.messages {
        next(&mut part, message_bytes(message));
        part.messages.end += 1;
    }
    part.is_last = true;
    parts.push(part);
    parts
}

/// Writes one record of a commit.
pub(super) fn encode_part(out: &mut Vec<u8>, commit: &Commit, part: &Part, clock: &ElapsedClock) {
    let messages = &commit.messages[part.messages.clone()];
    begin_commit(out, part, messages.len());
    for message in messages {
        let targets = message.targets.iter().map(|target| TargetRecord {
            place: target.place,
            time_to_live: target.time_to_live,
        });
        let taken = clock.at(message.taken_at);
        let known = (message.sequence, message.id, taken, message.charge_bytes);
        encode_message(out, known, targets, |out| content::encode(out, message));
    }
    encode_done(out, &commit.done[part.done.clone()]);
}

/// Writes a record with messages that were read from another one, with the places that are left of them.
pub(super) fn encode_kept(out: &mut Vec<u8>, messages: &[MessageRecord<'_>]) {
    let part = Part {
        index: 0,
        is_last: true,
        done: 0..0,
        messages: 0..0,
    };
    begin_commit(out, &part, messages.len());
    for message in messages {
        let known = (
            message.sequence,
            message.id,
            message.taken,
            message.charge_bytes,
        );
        let targets = message.targets.iter().copied();
        encode_message(out, known, targets, |out| {
            out.extend_from_slice(message.content);
        });
    }
    encode_done(out, &[]);
}

/// Writes a record that gives lanes their numbers.
pub(super) fn encode_lanes<'a>(
    out: &mut Vec<u8>,
    lanes: impl ExactSizeIterator<Item = (LaneId, &'a LaneName)>,
) {
    out.push(KIND_LANES);
    put_number(out, lanes.len() as u64);
    for (id, name) in lanes {
        put_number(out, u64::from(id.0));
        lane::encode(out, name);
    }
}

/// Writes a record with the time.
pub(super) fn encode_clock(out: &mut Vec<u8>, stamp: &ClockStamp) {
    out.push(KIND_CLOCK);
    stamp.encode(out);
}

/// Reads a record; the messages of a commit are checked as they are taken.
pub(super) fn decode(payload: &[u8]) -> Result<Record<'_>, Malformed> {
    let mut reader = Reader::new(payload);
    match reader.byte("kind")? {
        KIND_COMMIT => Ok(Record::Commit(decode_commit(reader)?)),
        KIND_LANES => {
            let count = reader.count("number of lanes")?;
            let mut lanes = Vec::new();
            for _ in 0..count {
                let id = LaneId(reader.small("lane")?);
                lanes.push((id, lane::decode(&mut reader)?));
            }
            Ok(Record::Lanes(lanes))
        }
        KIND_CLOCK => Ok(Record::Clock(ClockStamp::decode(&mut reader)?)),
        _ => Err(Malformed { what: "kind" }),
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<MessageRecord<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        let message = decode_message(&mut self.reader);
        if message.is_err() {
            self.count = 0;
        }
        Some(message)
    }
}

fn begin_commit(out: &mut Vec<u8>, part: &Part, messages: usize) {
    let first = if part.index == 0 { FIRST } else { 0 };
    let last = if part.is_last { LAST } else { 0 };
    out.extend_from_slice(&[KIND_COMMIT, first | last]);
    if part.index > 0 {
        put_number(out, u64::from(part.index));
    }
    put_number(out, messages as u64);
}

fn encode_message(
    out: &mut Vec<u8>,
    (sequence, id, taken, charge_bytes): (Sequence, Sequence, Elapsed, usize),
    targets: impl ExactSizeIterator<Item = TargetRecord>,
    content: impl FnOnce(&mut Vec<u8>),
) {
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&sequence.number().to_le_bytes());
    if id == sequence {
        out.push(0);
    } else {
        out.push(HAS_ID);
        out.extend_from_slice(&id.number().to_le_bytes());
    }
    put_number(out, taken);
    put_number(out, charge_bytes as u64);
    put_number(out, targets.len() as u64);
    for target in targets {
        put_number(out, u64::from(target.place.lane.0));
        put_number(out, target.place.ordinal);
        // One more than it is, so that nothing stands for none.
        let time_to_live = target
            .time_to_live
            .map_or(0, |ttl| millis(ttl).saturating_add(1));
        put_number(out, time_to_live);
    }
    content(out);
    let length = u32::try_from(out.len() - length_at - 4).unwrap_or(u32::MAX);
    out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
}

fn encode_done(out: &mut Vec<u8>, done: &[Done]) {
    put_number(out, done.len() as u64);
    for done in done {
        put_number(out, u64::from(done.lane.0));
        put_number(out, done.first);
        put_number(out, done.last.saturating_sub(done.first));
    }
}

fn decode_commit(mut reader: Reader<'_>) -> Result<CommitRecord<'_>, Malformed> {
    let flags = reader.byte("flags")?;
    let index = if flags & FIRST == 0 {
        reader.small("part")?
    } else {
        0
    };
    let count = reader.count("number of messages")?;
    let messages = Messages { count, reader };
    for _ in 0..count {
        let length = u32::from_le_bytes(reader.array("length")?);
        reader.take(length as usize, "message")?;
    }
    let count = reader.count("number of places")?;
    let mut done = Vec::with_capacity(count.min(SMALL));
    for _ in 0..count {
        let lane = LaneId(reader.small("lane")?);
        let first = reader.number("ordinal")?;
        let last = first.checked_add(reader.number("ordinal")?);
        let last = last.ok_or(Malformed { what: "ordinal" })?;
        done.push(Done { lane, first, last });
    }
    Ok(CommitRecord {
        index,
        is_last: flags & LAST != 0,
        done,
        messages,
    })
}

fn decode_message<'a>(reader: &mut Reader<'a>) -> Result<MessageRecord<'a>, Malformed> {
    let length = u32::from_le_bytes(reader.array("length")?);
    let mut reader = Reader::new(reader.take(length as usize, "message")?);
    let sequence = Sequence::new(u64::from_le_bytes(reader.array("sequence")?));
    let flags = reader.byte("flags")?;
    let id = if flags & HAS_ID == 0 {
        sequence
    } else {
        Sequence::new(u64::from_le_bytes(reader.array("id")?))
    };
    let taken = reader.number("time")?;
    let charge_bytes = reader.small("charge")?;
    let count = reader.count("number of places")?;
    let mut targets = Vec::with_capacity(count.min(SMALL));
    for _ in 0..count {
        let lane = LaneId(reader.small("lane")?);
        let ordinal = reader.number("ordinal")?;
        let time_to_live = reader.number("time to live")?.checked_sub(1);
        targets.push(TargetRecord {
            place: Place { lane, ordinal },
            time_to_live: time_to_live.map(Duration::from_millis),
        });
    }
    Ok(MessageRecord {
        sequence,
        id,
        taken,
        charge_bytes,
        targets,
        content: reader.rest(),
    })
}

#[cfg(test)]
mod tests;

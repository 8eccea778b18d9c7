//! The queue in the segmented log of this project: messages are records, and so is what was taken. A segment goes when all
//! its messages are taken; the head of a segment says how far that is, so that the record of it may go too.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use cap_std::fs::Dir;
use wasm_edge_store::log::{Cursor, Group, Log, LogSettings, Position};
use wasm_edge_store::volume::FolderVolume;

use super::{Message, Queue};

const SETTINGS: LogSettings = LogSettings {
    format: *b"peers  1",
    segment_bytes: 1 << 20,
};

/// The first byte of a record: a message, or the number below which all are taken.
const MESSAGE: u8 = 0;
const TAKEN: u8 = 1;

/// What a group's buffer may keep between groups, bytes.
const BUFFER_MAX_BYTES: usize = 256 << 10;

pub(super) struct LogQueue {
    log: Log,
    cursor: Cursor,
    group: Group,
    /// All messages below this number are taken.
    taken: u64,
    /// Segments with the number behind the last message in each, oldest first.
    ends: VecDeque<(u64, u64)>,
}

impl LogQueue {
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let folder = Dir::open_ambient_dir(folder, cap_std::ambient_authority())?;
        let (log, _) = Log::open(Arc::new(FolderVolume::new(folder)), SETTINGS)?;
        let mut queue = Self {
            cursor: log.reader().read_from(Position::START),
            log,
            group: Group::new(),
            taken: 0,
            ends: VecDeque::new(),
        };
        queue.recover()?;
        Ok(queue)
    }

    /// Reads all: how far it is taken, and which segments have which messages.
    fn recover(&mut self) -> anyhow::Result<()> {
        let mut cursor = self.log.reader().read_from(Position::START);
        while let Some(record) = cursor.next()? {
            let (tag, number, _) = parse(record.payload)?;
            match tag {
                MESSAGE => self.in_segment(record.position.segment, number + 1),
                _ => {
                    self.taken = self.taken.max(number);
                    self.in_segment(record.position.segment, 0);
                }
            }
        }
        Ok(())
    }

    /// Notes that a segment has messages below this number.
    fn in_segment(&mut self, segment: u64, end: u64) {
        match self.ends.back_mut() {
            Some((last, known)) if *last == segment => *known = end.max(*known),
            _ => self.ends.push_back((segment, end)),
        }
    }

    /// Writes the group and syncs it.
    fn write(&mut self) -> anyhow::Result<()> {
        let positions = self.log.append(&mut self.group)?;
        self.log.sync()?;
        self.group.clear(BUFFER_MAX_BYTES);
        let segment = positions.last().context("a group is not empty")?.segment;
        self.in_segment(segment, 0);
        Ok(())
    }

    fn roll(&mut self) -> anyhow::Result<()> {
        if self.log.needs_roll() {
            self.log.roll(&record(TAKEN, self.taken))?;
        }
        Ok(())
    }
}

impl Queue for LogQueue {
    fn append(&mut self, first: u64, bodies: &[Vec<u8>]) -> anyhow::Result<()> {
        self.roll()?;
        for (number, body) in (first..).zip(bodies) {
            self.group.encode(|buffer| {
                buffer.extend_from_slice(&record(MESSAGE, number));
                buffer.extend_from_slice(body);
            })?;
        }
        self.write()?;
        if let Some((_, end)) = self.ends.back_mut() {
            *end = first + bodies.len() as u64;
        }
        Ok(())
    }

    fn take(&mut self, messages_max: usize) -> anyhow::Result<Vec<Message>> {
        let mut taken = Vec::with_capacity(messages_max);
        while taken.len() < messages_max
            && let Some(record) = self.cursor.next()?
        {
            let (tag, number, body) = parse(record.payload)?;
            if tag == MESSAGE && number >= self.taken {
                taken.push((number, body.to_vec()));
            }
        }
        let Some((last, _)) = taken.last() else {
            return Ok(taken);
        };
        self.roll()?;
        self.taken = last + 1;
        self.group.push(&record(TAKEN, self.taken))?;
        self.write()?;
        // The newest segment is written to; all before it are sealed.
        while self.ends.len() > 1
            && let Some((segment, end)) = self.ends.front().copied()
            && end <= self.taken
        {
            self.log.remove(segment)?;
            self.ends.pop_front();
        }
        Ok(taken)
    }
}

fn record(tag: u8, number: u64) -> [u8; 9] {
    let mut bytes = [tag; 9];
    bytes[1..].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn parse(payload: &[u8]) -> anyhow::Result<(u8, u64, &[u8])> {
    let Some(([tag, number @ ..], body)) = payload.split_first_chunk::<9>() else {
        bail!("a record of {} bytes", payload.len());
    };
    Ok((*tag, u64::from_le_bytes(*number), body))
}

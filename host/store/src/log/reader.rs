//! Reading a log, also while it is written to.
//!
//! Owns the way of a reader from record to record and from segment to
//! segment. Leaves to the table what there is to read. A cursor at the end
//! finds what is appended later; how to be woken for it is the owner's part.

use std::io;
use std::sync::Arc;

use super::frame::RecordKind;
use super::segment::{self, PREAMBLE_BYTES};
use super::table::{Entry, Found, Table};
use super::walk::{Step, Window};
use super::{LogError, Position, SegmentInfo};
use crate::volume::Volume;

/// Makes cursors; clones read the same log.
#[derive(Debug, Clone)]
pub struct LogReader {
    volume: Arc<dyn Volume>,
    table: Arc<Table>,
}

/// A record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it is.
    pub position: Position,
    /// What it is for.
    pub kind: RecordKind,
    /// What was appended.
    pub payload: &'a [u8],
}

/// Reads record after record. It holds 64 KiB, or the record that it read last if that is larger.
#[derive(Debug)]
pub struct Cursor {
    reader: LogReader,
    /// Where the next record is looked for.
    at: Position,
    /// The last segment to read.
    last: u64,
    /// The version of the segment that positions in it belong to.
    version: Option<u32>,
    open: Option<Open>,
    damaged: u64,
}

/// The segment that is being read.
#[derive(Debug)]
struct Open {
    window: Window,
    seed: u32,
    /// How far it was written when the table was last looked at.
    end: u32,
}

impl LogReader {
    pub(super) fn new(volume: Arc<dyn Volume>, table: Arc<Table>) -> Self {
        Self { volume, table }
    }

    /// Reads from the record at `from`, or the next one there is, to the end and on.
    ///
    /// A position in a segment that was replaced since it was told leads to
    /// some record of the replacement.
    pub fn read_from(&self, from: Position) -> Cursor {
        self.cursor(from, u64::MAX)
    }

    /// Reads one segment; it is as good as empty if it is not there.
    pub fn read_segment(&self, segment: u64) -> Cursor {
        let from = Position { segment, offset: 0 };
        self.cursor(from, segment)
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.table.segments()
    }

    fn cursor(&self, from: Position, last: u64) -> Cursor {
        Cursor {
            reader: self.clone(),
            at: Position {
                segment: from.segment,
                offset: from.offset.max(PREAMBLE_BYTES),
            },
            last,
            version: self.table.version(from.segment),
            open: None,
            damaged: 0,
        }
    }
}

impl Cursor {
    /// The next record, or nothing if there is none yet.
    ///
    /// # Errors
    /// [`LogError::Io`], [`LogError::Replaced`]; the cursor stands where it stood.
    // Not an iterator: a record borrows from the cursor.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, LogError> {
        let (offset, header) = loop {
            self.look()?;
            let Some(open) = self.open.as_mut().filter(|open| self.at.offset < open.end) else {
                return Ok(None);
            };
            let step = open.window.step(open.seed, self.at.offset, open.end);
            match step.map_err(LogError::io("read", &segment::name(self.at.segment)))? {
                Step::Record { header, next } => {
                    let offset = std::mem::replace(&mut self.at.offset, next);
                    break (offset, header);
                }
                Step::Damaged { next } => {
                    self.damaged += 1;
                    self.at.offset = next;
                }
                Step::End => self.at.offset = open.end,
            }
        };
        let segment = self.at.segment;
        let open = self.open.as_mut().ok_or(LogError::NoSegment)?;
        let payload = open
            .window
            .payload(offset, &header, open.end)
            .map_err(LogError::io("read", &segment::name(segment)))?;
        Ok(Some(Record {
            position: Position { segment, offset },
            kind: header.kind,
            payload,
        }))
    }

    /// Where the next record is looked for: reading from here goes on where this stands.
    pub fn position(&self) -> Position {
        self.at
    }

    /// How many damaged places it went over. One place may have held several records.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Sees to it that a segment with more to read is open, if there is one.
    fn look(&mut self) -> Result<(), LogError> {
        while self
            .open
            .as_ref()
            .is_none_or(|open| self.at.offset >= open.end)
        {
            match self.reader.table.find(self.at, self.version, self.last) {
                Found::Segment { id, entry } => self.enter(id, &entry)?,
                Found::Replaced { segment } => return Err(LogError::Replaced { segment }),
                Found::End => break,
            }
        }
        Ok(())
    }

    /// Opens a segment that has more, or passes over one that cannot be read.
    fn enter(&mut self, id: u64, entry: &Entry) -> Result<(), LogError> {
        if id != self.at.segment {
            self.open = None;
            self.version = None;
            self.at = Position {
                segment: id,
                offset: PREAMBLE_BYTES,
            };
        }
        let Some(seed) = entry.seed else {
            self.damaged += 1;
            self.at.offset = entry.end.max(PREAMBLE_BYTES);
            self.version = Some(entry.version);
            return Ok(());
        };
        if let Some(window) = self.window(id, entry)? {
            self.version = Some(entry.version);
            self.open = Some(Open {
                window,
                seed,
                end: entry.end,
            });
        }
        Ok(())
    }

    /// The file of a segment; nothing if the segment has changed since `entry` was seen.
    fn window(&self, id: u64, entry: &Entry) -> Result<Option<Window>, LogError> {
        if let Some(disk) = &entry.disk {
            return Ok(Some(Window::new(Arc::clone(disk))));
        }
        let name = segment::name(id);
        let opened = self.reader.volume.open(&name);
        let unchanged = self.reader.table.version(id) == Some(entry.version);
        match opened {
            Ok(disk) if unchanged => Ok(Some(Window::new(disk))),
            Err(source) if unchanged || source.kind() != io::ErrorKind::NotFound => {
                Err(LogError::io("open", &name)(source))
            }
            _ => Ok(None),
        }
    }
}

//! One module's log on disk: a few files that are filled one after the other, the oldest giving way.
//!
//! Owns which file is written, how large all become, and what is done about a torn end and a failed write.
//! Every function blocks; the writer calls them outside the asynchronous threads. The files' lines are
//! `record`'s matter, reading them back the `reader`'s.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use wasm_edge_store::disk::Disk;

use super::record::{self, FirstLine, Header};
use super::segment::{self, Lines};
use super::slots::{SLOTS, Slots};

/// Of a file's end, what is searched first for its last record.
const END_SEARCHED_BYTES: u64 = 32 * 1024;

/// Why a module's log cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RingError {
    /// A file of it has another format; nothing of it is touched.
    #[error(
        "the log has format {found}, this version reads and writes format {}",
        record::VERSION
    )]
    Version {
        /// The format it has.
        found: u32,
    },
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Records in a row, and where each of them ends.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) bytes: Vec<u8>,
    /// Number of each record, and the length of `bytes` up to its end.
    pub(super) ends: Vec<(u64, usize)>,
}

impl Group {
    /// Appends a record.
    pub(super) fn push(&mut self, seq: u64, body: &str) {
        record::append(&mut self.bytes, seq, body);
        self.ends.push((seq, self.bytes.len()));
    }
}

/// A write that failed.
#[derive(Debug)]
pub(super) struct AppendError {
    /// Records of the group that are not in the log.
    pub(super) lost: u64,
    /// Why.
    pub(super) source: io::Error,
}

/// The files of one module's log.
#[derive(Debug)]
pub(super) struct Ring {
    slots: Arc<dyn Slots>,
    header: Header,
    size_max_bytes: u64,
    /// Oldest first; the last one is written.
    segments: VecDeque<Segment>,
    /// The last segment's file, unless the next record begins a new one.
    active: Option<Box<dyn Disk>>,
}

#[derive(Debug)]
struct Segment {
    slot: usize,
    len_bytes: u64,
}

/// The largest record of a log of this size: half of a file, so that none is filled by one alone.
pub(super) fn record_max_bytes(size_max_bytes: u64) -> usize {
    let half = segment_max_bytes(size_max_bytes) / 2;
    usize::try_from(half).map_or(record::RECORD_MAX_BYTES, |half| {
        half.min(record::RECORD_MAX_BYTES)
    })
}

fn segment_max_bytes(size_max_bytes: u64) -> u64 {
    size_max_bytes / SLOTS as u64
}

impl Ring {
    /// Opens what is there and cuts off what a crash left half written. Answers the number of its last record too,
    /// 0 if there is none.
    pub(super) fn open(
        slots: Arc<dyn Slots>,
        header: Header,
        size_max_bytes: u64,
    ) -> Result<(Self, u64), RingError> {
        let mut found = Vec::new();
        for slot in 0..SLOTS {
            let Some(disk) = slots.open(slot)? else {
                continue;
            };
            let len_bytes = disk.len_bytes()?;
            match segment::open(disk)?.0 {
                FirstLine::Version(found) => return Err(RingError::Version { found }),
                FirstLine::Header { first_seq, .. } => {
                    found.push((first_seq, Segment { slot, len_bytes }));
                }
                // Where it belongs is not known: it is the first to give way.
                FirstLine::Damaged | FirstLine::Absent => {
                    found.push((0, Segment { slot, len_bytes }));
                }
            }
        }
        found.sort_by_key(|(first_seq, _)| *first_seq);
        let mut last_seq = found.last().map_or(0, |(first, _)| first.saturating_sub(1));
        let mut ring = Self {
            slots,
            header,
            size_max_bytes,
            segments: found.into_iter().map(|(_, segment)| segment).collect(),
            active: None,
        };
        last_seq = last_seq.max(ring.open_last()?.unwrap_or(0));
        Ok((ring, last_seq))
    }

    /// The size of all files.
    pub(super) fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len_bytes).sum()
    }

    /// Bounds the size from now on; what is too much goes.
    pub(super) fn set_size_max(&mut self, size_max_bytes: u64) -> io::Result<()> {
        self.size_max_bytes = size_max_bytes;
        while self.size_bytes() > size_max_bytes {
            self.drop_oldest()?;
        }
        Ok(())
    }

    /// Writes records; `sync` makes them last before it returns.
    ///
    /// What fails is not tried again: it must not keep later lines waiting.
    pub(super) fn append(&mut self, group: &Group, sync: bool) -> Result<(), AppendError> {
        let (mut start, mut next) = (0, 0);
        while next < group.ends.len() {
            let written = self.room(group.ends[next].0, group.ends[next].1 - start);
            let written = written.and_then(|room| {
                let fits = |(_, end): &&(u64, usize)| (*end - start) as u64 <= room;
                let count = group.ends[next..].iter().take_while(fits).count();
                let end = group.ends[next + count - 1].1;
                self.write(&group.bytes[start..end])?;
                Ok((count, end))
            });
            match written {
                Ok((count, end)) => (next, start) = (next + count, end),
                Err(source) => {
                    let lost = (group.ends.len() - next) as u64;
                    return Err(AppendError { lost, source });
                }
            }
        }
        match sync {
            true => self
                .sync()
                .map_err(|source| AppendError { lost: 0, source }),
            false => Ok(()),
        }
    }

    /// Makes what was written last.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.active.as_ref().map_or(Ok(()), |disk| disk.sync())
    }

    /// Removes the oldest file; `false` if there is none.
    pub(super) fn drop_oldest(&mut self) -> io::Result<bool> {
        let Some(oldest) = self.segments.front() else {
            return Ok(false);
        };
        self.slots.remove(oldest.slot)?;
        self.segments.pop_front();
        if self.segments.is_empty() {
            self.active = None;
        }
        Ok(true)
    }

    /// The room in the file to be written, enough for `needed` bytes; begins another file if there is not.
    fn room(&mut self, seq: u64, needed: usize) -> io::Result<u64> {
        let room = |ring: &Self| {
            ring.active.as_ref()?;
            let written = ring.segments.back()?.len_bytes;
            let room = segment_max_bytes(ring.size_max_bytes).saturating_sub(written);
            (needed as u64 <= room).then_some(room)
        };
        if let Some(room) = room(self) {
            return Ok(room);
        }
        self.begin(seq)?;
        // A record is at most half of a file; this is for one that was made under another limit.
        Ok(room(self).unwrap_or(needed as u64))
    }

    /// Begins a file whose first record has this number.
    fn begin(&mut self, seq: u64) -> io::Result<()> {
        if let Some(full) = self.active.take() {
            full.sync()?;
        }
        let kept_max = self.size_max_bytes - segment_max_bytes(self.size_max_bytes);
        while self.segments.len() >= SLOTS || self.size_bytes() > kept_max {
            self.drop_oldest()?;
        }
        let is_free = |slot: &usize| self.segments.iter().all(|segment| segment.slot != *slot);
        let slot = (0..SLOTS).find(is_free);
        let slot = slot.expect("a place is free: there are fewer segments than places");
        let disk = self.slots.create(slot)?;
        let mut header = Vec::new();
        record::append_header(&mut header, seq, &self.header);
        if let Err(err) = disk.write_at(0, &header) {
            // Without its header it would count as damaged; what cannot be removed is made anew next time.
            let _ = self.slots.remove(slot);
            return Err(err);
        }
        self.segments.push_back(Segment {
            slot,
            len_bytes: header.len() as u64,
        });
        self.active = Some(disk);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (Some(disk), Some(segment)) = (&self.active, self.segments.back_mut()) else {
            return Err(io::Error::other("no file of the log is open"));
        };
        match disk.write_at(segment.len_bytes, bytes) {
            Ok(()) => {
                segment.len_bytes += bytes.len() as u64;
                Ok(())
            }
            Err(err) => {
                if disk.set_len(segment.len_bytes).is_err() {
                    // What was half written stays: it is passed over when the file is read, and nothing follows it.
                    self.active = None;
                }
                Err(err)
            }
        }
    }

    /// Opens the newest file to go on in it; answers the number of its last record.
    fn open_last(&mut self) -> io::Result<Option<u64>> {
        let Some(segment) = self.segments.back_mut() else {
            return Ok(None);
        };
        let (last_seq, end) = match end_of(self.slots.as_ref(), segment, END_SEARCHED_BYTES)? {
            (None, _) => end_of(self.slots.as_ref(), segment, u64::MAX)?,
            found => found,
        };
        let Some(disk) = self.slots.open(segment.slot)? else {
            return Ok(last_seq);
        };
        if end < segment.len_bytes && disk.set_len(end).is_err() {
            // It cannot be cut off: the next record begins another file.
            return Ok(last_seq);
        }
        segment.len_bytes = end;
        // Without a whole first line there is no header, and what follows would have none.
        self.active = (end > 0).then_some(disk);
        Ok(last_seq)
    }
}

/// The number of the last record within the last `searched` bytes of a file, and where its last line ends.
fn end_of(slots: &dyn Slots, segment: &Segment, searched: u64) -> io::Result<(Option<u64>, u64)> {
    let Some(disk) = slots.open(segment.slot)? else {
        return Ok((None, 0));
    };
    let from = segment.len_bytes.saturating_sub(searched);
    let mut lines = Lines::from(disk, from)?;
    let mut last_seq = None;
    let mut end = 0;
    while let Some(line) = lines.next()? {
        // From the middle of the file on, the first line is the rest of one and counts as damaged.
        if let Some((seq, _)) = record::frame(line) {
            last_seq = Some(seq);
        }
        end = lines.position();
    }
    Ok((last_seq, end))
}

#[cfg(test)]
mod tests;

//! Records that are written together.
//!
//! Owns the one buffer in which they are laid out as they will lie in the
//! segment: the writer fills in the headers and writes it with one call. A
//! group that could not be written is written again as it is. Filled by the
//! owner of a log.

use super::Position;
use super::frame::{ALIGNMENT, HEADER_BYTES, Header, RECORD_MAX_BYTES, RecordKind};

/// Records in the order in which they will be written; used again and again.
#[derive(Debug, Default)]
pub struct Group {
    bytes: Vec<u8>,
    records: Vec<Placed>,
}

#[derive(Debug, Clone, Copy)]
struct Placed {
    kind: RecordKind,
    start: usize,
    length: usize,
}

/// A record is larger than [`RECORD_MAX_BYTES`]; the group is as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of {length_bytes} bytes is larger than the log takes")]
pub struct TooLarge {
    /// How large it is.
    pub length_bytes: usize,
}

impl Group {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record; `encode` appends its payload and leaves alone what is there.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn encode(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), TooLarge> {
        self.place(RecordKind::Entry, encode)
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn push(&mut self, payload: &[u8]) -> Result<(), TooLarge> {
        self.encode(|bytes| bytes.extend_from_slice(payload))
    }

    /// Adds the head record of a replacement, as its first.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn push_head(&mut self, payload: &[u8]) -> Result<(), TooLarge> {
        self.place(RecordKind::Head, |bytes| bytes.extend_from_slice(payload))
    }

    /// How many records it has.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What it takes in a segment.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Empties it and keeps its memory, if that is at most `capacity_max_bytes`.
    pub fn clear(&mut self, capacity_max_bytes: usize) {
        self.bytes.clear();
        self.records.clear();
        self.bytes.shrink_to(capacity_max_bytes);
    }

    fn place(
        &mut self,
        kind: RecordKind,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), TooLarge> {
        let before = self.bytes.len();
        let start = before + HEADER_BYTES as usize;
        self.bytes.resize(start, 0);
        encode(&mut self.bytes);
        let length = self.bytes.len() - start;
        if length > RECORD_MAX_BYTES {
            self.bytes.truncate(before);
            return Err(TooLarge {
                length_bytes: length,
            });
        }
        let end = self.bytes.len().next_multiple_of(ALIGNMENT as usize);
        self.bytes.resize(end, 0);
        self.records.push(Placed {
            kind,
            start,
            length,
        });
        Ok(())
    }

    /// The bytes as they are written at `place`, in a segment with this seed.
    pub(super) fn seal(&mut self, seed: u32, place: u32, synced: u32) -> &[u8] {
        for record in &self.records {
            let payload = &self.bytes[record.start..record.start + record.length];
            let header = Header::of(record.kind, payload, synced);
            let at = record.start - HEADER_BYTES as usize;
            let encoded = header.encode(seed, place + offset(at));
            self.bytes[at..record.start].copy_from_slice(&encoded);
        }
        &self.bytes
    }

    /// Where its records are once it is written at `place` of `segment`.
    pub(super) fn positions(&self, segment: u64, place: u32) -> Vec<Position> {
        let offsets = self.records.iter().map(|record| {
            let at = record.start - HEADER_BYTES as usize;
            place + offset(at)
        });
        offsets.map(|offset| Position { segment, offset }).collect()
    }
}

/// The owner of a segment has checked that all of the group fits into it.
fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("a group fits into a segment")
}

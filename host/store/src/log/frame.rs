//! How a record lies in a segment, byte by byte.
//!
//! Owns the header before each record and its checksums. Knows no files.
//! Used to write groups and to read them back.
//!
//! A record begins at a multiple of eight: length with the kind in its top
//! bit, how far the segment was synced when it was written, checksum of the
//! payload, checksum of the header (each 32 bits, little-endian), the
//! payload, and zeroes up to the next multiple of eight. The checksum of the
//! header begins with the segment's seed and takes in the place of the
//! record, so that bytes from elsewhere never pass for a header, nor do those
//! that a sender of messages made up: it does not know the seed.

/// Largest payload of a record; no length beyond it is believed.
pub const RECORD_MAX_BYTES: usize = 1024 * 1024;

/// Size of the header of a record.
pub(super) const HEADER_BYTES: u32 = 16;

/// Where records may begin.
pub(super) const ALIGNMENT: u32 = 8;

const HEAD_BIT: u32 = 1 << 31;

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// The first of a segment: what one has to know to read the rest without the segments before.
    Head,
    /// All others.
    Entry,
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: RecordKind,
    pub(super) length: u32,
    /// Everything before this offset of the segment was synced when the record was written.
    pub(super) synced: u32,
    payload_checksum: u32,
}

impl Header {
    /// That of `payload`, which is not longer than [`RECORD_MAX_BYTES`].
    pub(super) fn of(kind: RecordKind, payload: &[u8], synced: u32) -> Self {
        Self {
            kind,
            length: u32::try_from(payload.len()).expect("a record is not longer than its limit"),
            synced,
            payload_checksum: crc32fast::hash(payload),
        }
    }

    pub(super) fn encode(&self, seed: u32, offset: u32) -> [u8; HEADER_BYTES as usize] {
        let kind = match self.kind {
            RecordKind::Head => HEAD_BIT,
            RecordKind::Entry => 0,
        };
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[0..4].copy_from_slice(&(self.length | kind).to_le_bytes());
        bytes[4..8].copy_from_slice(&self.synced.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.payload_checksum.to_le_bytes());
        let checksum = checksum(seed, offset, &bytes[..12]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header that stands at `offset`, if one does.
    pub(super) fn decode(seed: u32, offset: u32, bytes: &[u8]) -> Option<Self> {
        let (fields, found) = bytes.get(..HEADER_BYTES as usize)?.split_at(12);
        if checksum(seed, offset, fields).to_le_bytes() != found {
            return None;
        }
        let length = word(fields, 0);
        let header = Self {
            kind: if length & HEAD_BIT == 0 {
                RecordKind::Entry
            } else {
                RecordKind::Head
            },
            length: length & !HEAD_BIT,
            synced: word(fields, 4),
            payload_checksum: word(fields, 8),
        };
        (header.length as usize <= RECORD_MAX_BYTES && header.synced <= offset).then_some(header)
    }

    /// Whether `payload` is what was written behind this header.
    pub(super) fn fits(&self, payload: &[u8]) -> bool {
        crc32fast::hash(payload) == self.payload_checksum
    }

    /// What the record takes in the segment.
    pub(super) fn size_bytes(&self) -> u32 {
        HEADER_BYTES + self.length.next_multiple_of(ALIGNMENT)
    }
}

fn checksum(seed: u32, offset: u32, fields: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(fields);
    hasher.update(&offset.to_le_bytes());
    hasher.finalize()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

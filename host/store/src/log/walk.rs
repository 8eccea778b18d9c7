//! From one record of a segment to the next, over whatever lies between.
//!
//! Owns the window through which a segment's file is read, and the way from a
//! damaged record to the next whole one. Knows one file. Used by readers and
//! by recovery.

use std::io;
use std::sync::Arc;

use super::frame::{ALIGNMENT, HEADER_BYTES, Header, RECORD_MAX_BYTES};
use crate::disk::Disk;

/// What is read at once, unless a record is larger.
const WINDOW_BYTES: usize = 64 * 1024;

/// A part of a segment's file.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) disk: Arc<dyn Disk>,
    start: u32,
    bytes: Vec<u8>,
    /// Nothing but zeroes from here on, where no header begins.
    written: u32,
}

/// What stands at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A whole record.
    Record { header: Header, next: u32 },
    /// None; the next may be at this offset.
    Damaged { next: u32 },
    /// The end.
    End,
}

impl Window {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            start: 0,
            bytes: Vec::new(),
            written: u32::MAX,
        }
    }

    /// As [`Self::new`], for a file that is filled up with zeroes from `written` on.
    pub(super) fn filled_up(disk: Arc<dyn Disk>, written: u32) -> Self {
        Self {
            written,
            ..Self::new(disk)
        }
    }

    /// What stands at `offset` of a segment that ends at `end`.
    pub(super) fn step(&mut self, seed: u32, offset: u32, end: u32) -> io::Result<Step> {
        if offset >= end {
            return Ok(Step::End);
        }
        let Some(header) = self.header(seed, offset, end)? else {
            return self.next_header(seed, offset, end);
        };
        match offset.checked_add(header.size_bytes()) {
            Some(next) if next <= end => {
                let whole = header.fits(self.payload(offset, &header, end)?);
                Ok(if whole {
                    Step::Record { header, next }
                } else {
                    Step::Damaged { next }
                })
            }
            _ => self.next_header(seed, offset, end),
        }
    }

    /// The payload of the record at `offset`.
    pub(super) fn payload(&mut self, offset: u32, header: &Header, end: u32) -> io::Result<&[u8]> {
        debug_assert!(header.length as usize <= RECORD_MAX_BYTES);
        self.bytes(offset + HEADER_BYTES, header.length as usize, end)
    }

    /// The header at `offset`, however large its record says to be.
    fn header(&mut self, seed: u32, offset: u32, end: u32) -> io::Result<Option<Header>> {
        if end - offset < HEADER_BYTES {
            return Ok(None);
        }
        let bytes = self.bytes(offset, HEADER_BYTES as usize, end)?;
        Ok(Header::decode(seed, offset, bytes))
    }

    /// Over the damage at `offset`; headers begin at multiples of eight only.
    fn next_header(&mut self, seed: u32, offset: u32, end: u32) -> io::Result<Step> {
        let mut next = offset.next_multiple_of(ALIGNMENT);
        if next == offset {
            next = next.saturating_add(ALIGNMENT);
        }
        while next < end.min(self.written) {
            if self.header(seed, next, end)?.is_some() {
                return Ok(Step::Damaged { next });
            }
            next = next.saturating_add(ALIGNMENT);
        }
        Ok(Step::Damaged { next: end })
    }

    fn bytes(&mut self, offset: u32, length: usize, end: u32) -> io::Result<&[u8]> {
        let inside = offset
            .checked_sub(self.start)
            .map(|from| from as usize)
            .filter(|from| from + length <= self.bytes.len());
        let from = match inside {
            Some(from) => from,
            None => {
                self.read(offset, length, end)?;
                0
            }
        };
        Ok(&self.bytes[from..from + length])
    }

    fn read(&mut self, offset: u32, length: usize, end: u32) -> io::Result<()> {
        let size = WINDOW_BYTES.max(length).min((end - offset) as usize);
        // One large record is no reason to hold its size for ever.
        self.bytes.clear();
        self.bytes.shrink_to(WINDOW_BYTES.max(size));
        self.bytes.resize(size, 0);
        self.start = offset;
        let read = self.disk.read_at(u64::from(offset), &mut self.bytes);
        if read.is_err() {
            self.bytes.clear();
        }
        read
    }
}

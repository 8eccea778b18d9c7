//! Reads one file of a log line by line, without holding more of it than a line.

use std::io;

use wasm_edge_store::disk::Disk;

use super::record::{self, FirstLine, RECORD_MAX_BYTES};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// The whole lines of a file from a place on. What stands behind the last line feed is no line: it is being
/// written, or was when the power went.
#[derive(Debug)]
pub(super) struct Lines {
    disk: Box<dyn Disk>,
    /// Where the next chunk begins.
    offset: u64,
    /// Where the file ended when it was opened.
    end: u64,
    buffer: Vec<u8>,
    /// Where the next line begins in the buffer.
    start: usize,
    /// Overlong lines, which are passed over.
    damaged: u64,
}

impl Lines {
    /// Of a file, from `offset` on.
    pub(super) fn from(disk: Box<dyn Disk>, offset: u64) -> io::Result<Self> {
        let end = disk.len_bytes()?;
        Ok(Self {
            disk,
            offset,
            end,
            buffer: Vec::new(),
            start: 0,
            damaged: 0,
        })
    }

    /// The next line, without its line feed.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let mut searched = self.start;
        let mut overlong = false;
        loop {
            let found = self.buffer[searched..]
                .iter()
                .position(|byte| *byte == b'\n');
            if let Some(length) = found {
                let (start, end) = (self.start, searched + length);
                self.start = end + 1;
                if !std::mem::take(&mut overlong) {
                    return Ok(Some(&self.buffer[start..end]));
                }
                self.damaged += 1;
                searched = self.start;
                continue;
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            if self.buffer.len() > RECORD_MAX_BYTES {
                overlong = true;
                self.buffer.clear();
            }
            searched = self.buffer.len();
            if !self.read_chunk()? {
                return Ok(None);
            }
        }
    }

    /// How many lines were too long to be records.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Where the next line begins in the file; after the last one, where what is no whole line begins.
    pub(super) fn position(&self) -> u64 {
        self.offset - (self.buffer.len() - self.start) as u64
    }

    fn read_chunk(&mut self) -> io::Result<bool> {
        let left = self.end.saturating_sub(self.offset);
        let length = left.min(CHUNK_BYTES as u64) as usize;
        if length == 0 {
            return Ok(false);
        }
        let filled = self.buffer.len();
        self.buffer.resize(filled + length, 0);
        match self.disk.read_at(self.offset, &mut self.buffer[filled..]) {
            Ok(()) => {
                self.offset += length as u64;
                Ok(true)
            }
            // What was only half written was taken back in between.
            Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => {
                self.buffer.truncate(filled);
                self.end = self.offset;
                Ok(false)
            }
            Err(err) => Err(err),
        }
    }
}

/// What the first line of a file says, with the lines after it.
pub(super) fn open(disk: Box<dyn Disk>) -> io::Result<(FirstLine, Lines)> {
    let mut lines = Lines::from(disk, 0)?;
    let first = match lines.next()? {
        Some(line) => record::first_line(line),
        None => FirstLine::Absent,
    };
    Ok((first, lines))
}

//! The content of one simulated file: what one reads, and what would survive.
//!
//! Owns what was written and not synced. Used by the simulated disk and the
//! simulated volume, which say what fails and when.

use super::{Random, Survivors};

/// The smallest piece that a disk writes as a whole.
pub(super) const SECTOR_BYTES: usize = 512;

/// A file without its name.
#[derive(Debug, Default)]
pub(crate) struct Inode {
    /// What survives whatever happens.
    synced: Vec<u8>,
    /// What a reader sees.
    current: Vec<u8>,
    /// How far it was written to; what a file is longer than that takes no room.
    filled: usize,
    /// Changes since the last sync, in order.
    pending: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Inode {
    pub(crate) fn safe(content: Vec<u8>) -> Self {
        Self {
            synced: content.clone(),
            filled: content.len(),
            current: content,
            pending: Vec::new(),
        }
    }

    pub(crate) fn content(&self) -> &[u8] {
        &self.current
    }

    /// The room that it takes.
    pub(crate) fn used_bytes(&self) -> usize {
        self.filled
    }

    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.current, offset, bytes);
        self.filled = self.filled.max(offset + bytes.len());
        // A disk writes whole sectors, each in its own time.
        let mut rest = bytes;
        let mut offset = offset;
        while !rest.is_empty() {
            let size = (SECTOR_BYTES - offset % SECTOR_BYTES).min(rest.len());
            let (sector, behind) = rest.split_at(size);
            self.pending.push(Change::Write {
                offset,
                bytes: sector.to_vec(),
            });
            offset += size;
            rest = behind;
        }
    }

    pub(crate) fn set_len(&mut self, length: usize) {
        self.current.resize(length, 0);
        self.filled = self.filled.min(length);
        self.pending.push(Change::Length(length));
    }

    pub(crate) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.synced);
        }
    }

    /// Some of what was pending is on the disk, the rest never will be; readers see all of it.
    pub(crate) fn fail_sync(&mut self, random: &mut Random) {
        self.synced = self.torn(random);
        self.pending.clear();
    }

    pub(crate) fn survivor(&self, survivors: Survivors, random: &mut Random) -> Vec<u8> {
        match survivors {
            Survivors::Synced => self.synced.clone(),
            // Not what a reader sees: that may hold what a failed sync has lost.
            Survivors::Written => {
                let mut content = self.synced.clone();
                self.pending
                    .iter()
                    .for_each(|change| change.apply(&mut content));
                content
            }
            Survivors::Torn(_) => self.torn(random),
        }
    }

    fn torn(&self, random: &mut Random) -> Vec<u8> {
        let mut content = self.synced.clone();
        // Now and then nearly all or nearly nothing was written: each is a case of its own.
        let (kept, of) = [(1, 2), (1, 8), (7, 8)][random.below(3)];
        for change in &self.pending {
            if random.below(of) < kept {
                change.apply(&mut content);
            } else if let Change::Write { offset, bytes } = change {
                // Perhaps the file grew, and what should be there is not.
                if random.one_in(2) {
                    content.resize(content.len().max(offset + bytes.len()), 0);
                }
            }
        }
        content
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(content, *offset, bytes),
            Self::Length(length) => content.resize(*length, 0),
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

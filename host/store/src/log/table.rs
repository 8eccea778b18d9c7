//! The segments of an open log, as the writer leaves them and readers find them.
//!
//! Owns which segments there are, in what order, and how far each can be
//! read. The writer changes it after the files, under a mutex that is held
//! for one short step and never during input or output.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::segment::PREAMBLE_BYTES;
use super::{LogError, Position, SegmentInfo};
use crate::disk::Disk;

/// The segments by number.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Written by the log's owner, read by all readers.
    segments: Mutex<BTreeMap<u64, Entry>>,
}

/// One segment.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// What its checksums begin with; nothing if its preamble is damaged, and it cannot be read.
    pub(super) seed: Option<u32>,
    /// The last number whose place it takes.
    pub(super) through: u64,
    /// Where its records end.
    pub(super) end: u32,
    /// How often it was replaced: positions in it mean something else each time.
    pub(super) version: u32,
    /// The open file, of the one that is written to.
    pub(super) disk: Option<Arc<dyn Disk>>,
}

/// What a reader finds when it looks where it stands.
#[derive(Debug)]
pub(super) enum Found {
    /// This segment, which has more.
    Segment { id: u64, entry: Entry },
    /// What stood here is in this segment now, and elsewhere in it.
    Replaced { segment: u64 },
    /// Nothing yet.
    End,
}

/// Sealed segments that are being replaced.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) first: u64,
    pub(super) through: u64,
    /// All but the first, with their sizes.
    pub(super) others: BTreeMap<u64, u64>,
}

impl Table {
    pub(super) fn new(segments: BTreeMap<u64, Entry>) -> Self {
        Self {
            segments: Mutex::new(segments),
        }
    }

    /// The highest number in use.
    pub(super) fn last_number(&self) -> Option<u64> {
        self.lock().values().map(|entry| entry.through).max()
    }

    pub(super) fn segments(&self) -> Vec<SegmentInfo> {
        let segments = self.lock();
        let newest = segments.keys().next_back().copied();
        let info = |(id, entry): (&u64, &Entry)| SegmentInfo {
            id: *id,
            bytes: u64::from(entry.end),
            sealed: newest != Some(*id),
        };
        segments.iter().map(info).collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.lock().values().map(|entry| u64::from(entry.end)).sum()
    }

    /// The segment, if it is a sealed one.
    pub(super) fn sealed(&self, id: u64) -> Option<Entry> {
        let segments = self.lock();
        let newest = segments.keys().next_back().copied();
        segments.get(&id).filter(|_| newest != Some(id)).cloned()
    }

    /// The sealed segments in `run`.
    pub(super) fn sealed_in(&self, run: &RangeInclusive<u64>) -> Result<Replaced, LogError> {
        let segments = self.lock();
        let newest = segments.keys().next_back().copied();
        let mut inside = segments.range(run.clone());
        let not_sealed = LogError::NotSealed {
            segment: *run.start(),
        };
        let Some((&first, entry)) = inside.next().filter(|(id, _)| newest != Some(**id)) else {
            return Err(not_sealed);
        };
        let mut replaced = Replaced {
            first,
            through: entry.through,
            others: BTreeMap::new(),
        };
        for (id, entry) in inside {
            if newest == Some(*id) {
                return Err(LogError::NotSealed { segment: *id });
            }
            replaced.through = entry.through;
            replaced.others.insert(*id, u64::from(entry.end));
        }
        Ok(replaced)
    }

    pub(super) fn begin(&self, id: u64, seed: u32, end: u32, disk: Arc<dyn Disk>) {
        let mut segments = self.lock();
        // The one before is complete: readers open it when they come to it.
        if let Some(mut sealed) = segments.last_entry() {
            sealed.get_mut().disk = None;
        }
        let entry = Entry {
            seed: Some(seed),
            through: id,
            end,
            version: 0,
            disk: Some(disk),
        };
        segments.insert(id, entry);
    }

    pub(super) fn grow(&self, id: u64, end: u32) {
        if let Some(entry) = self.lock().get_mut(&id) {
            entry.end = end;
        }
    }

    /// The segment has a new file with the same content.
    pub(super) fn moved(&self, id: u64, disk: Arc<dyn Disk>) {
        if let Some(entry) = self.lock().get_mut(&id) {
            entry.disk = Some(disk);
        }
    }

    pub(super) fn remove(&self, id: u64) {
        self.lock().remove(&id);
    }

    pub(super) fn replace(&self, replaced: &Replaced, seed: u32, end: u32) {
        let mut segments = self.lock();
        segments.retain(|id, _| !replaced.others.contains_key(id));
        if let Some(entry) = segments.get_mut(&replaced.first) {
            entry.seed = Some(seed);
            entry.through = replaced.through;
            entry.end = end;
            entry.version += 1;
        }
    }

    /// The version of a segment, for a reader that is about to read in it.
    pub(super) fn version(&self, id: u64) -> Option<u32> {
        self.lock().get(&id).map(|entry| entry.version)
    }

    /// What there is for a reader at `at`, which knows the segment in this version.
    pub(super) fn find(&self, at: Position, version: Option<u32>, last: u64) -> Found {
        let segments = self.lock();
        let untouched = at.offset <= PREAMBLE_BYTES;
        match segments.get(&at.segment) {
            Some(entry) if version.is_some_and(|known| known != entry.version) && !untouched => {
                return Found::Replaced {
                    segment: at.segment,
                };
            }
            Some(entry) if at.offset < entry.end => {
                return Found::Segment {
                    id: at.segment,
                    entry: entry.clone(),
                };
            }
            Some(_) => {}
            None => {
                let before = segments.range(..at.segment).next_back();
                if let Some((id, _)) = before.filter(|(_, entry)| entry.through >= at.segment) {
                    return Found::Replaced { segment: *id };
                }
            }
        }
        let after = at.segment.saturating_add(1);
        let next = (after <= last)
            .then(|| segments.range(after..=last).next())
            .flatten();
        next.map_or(Found::End, |(id, entry)| Found::Segment {
            id: *id,
            entry: entry.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

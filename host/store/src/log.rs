//! The segmented log: records appended in one order, which is what survives.
//!
//! Owns the files of one folder: a run of segments of which only the newest
//! is written to, their order, and what becomes of them after a crash. Leaves
//! the meaning of records to others; it knows no messages and no routes. One
//! owner writes, and says when something is to be on the disk; readers share
//! it. Everything blocks. The device's message store and the hub's telemetry
//! are logs.
//!
//! What holds after a crash at any moment:
//! - Everything that was appended before a [`Log::sync`] that returned well is there.
//! - What is there is a beginning of what was appended, without holes, less the segments that
//!   were removed. A removed segment may be back if no sync came after it.
//! - A record whose bytes were damaged later is skipped and counted, the others are read.
//!
//! An append or a sync that failed leaves the log whole: the records of a
//! failed append are not in it, those of a failed sync are and are not safe
//! yet. The next call mends what the failure left in doubt before it does
//! anything else. So the caller does nothing but try again.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::disk::Disk;
use crate::volume::{SyncSite, Volume};

mod active;
mod error;
mod frame;
mod group;
mod reader;
mod recovery;
mod segment;
mod table;
mod walk;

use active::{Active, Doubt};
pub use error::LogError;
pub use frame::{RECORD_MAX_BYTES, RecordKind};
pub use group::{Group, TooLarge};
pub use reader::{Cursor, LogReader, Record};
pub use recovery::Recovery;
use segment::{PREAMBLE_BYTES, Preamble};
use table::Table;

/// A file in the making; there is one writer, so one name is enough.
const TEMPORARY: &str = ".tmp-segment";

/// Places where the log syncs; without any one of them something is lost at some power cut.
pub mod site {
    use crate::volume::SyncSite;

    /// What was appended, when the owner asks for it.
    pub const RECORDS: SyncSite = SyncSite("log: records");
    /// The names of new segments, before anything in them counts as safe.
    pub const NAMES: SyncSite = SyncSite("log: names");
    /// A segment, before the next one is begun.
    pub const SEAL: SyncSite = SyncSite("log: seal");
    /// The beginning of a segment, before it gets its name.
    pub const BEGINNING: SyncSite = SyncSite("log: beginning");
    /// A segment that replaces others, before it gets the name of the first.
    pub const REPLACEMENT: SyncSite = SyncSite("log: replacement");
    /// The end of a segment from which a failed write was cut.
    pub const CUT: SyncSite = SyncSite("log: cut");
    /// The copy of a segment that could not be synced.
    pub const COPY: SyncSite = SyncSite("log: copy");
    /// What was found at the end of the log when it was opened.
    pub const RECOVERED: SyncSite = SyncSite("log: recovered");
    /// The names that were found when it was opened.
    pub const RECOVERED_NAMES: SyncSite = SyncSite("log: recovered names");

    /// All of them.
    pub const ALL: [SyncSite; 9] = [
        RECORDS,
        NAMES,
        SEAL,
        BEGINNING,
        REPLACEMENT,
        CUT,
        COPY,
        RECOVERED,
        RECOVERED_NAMES,
    ];
}

/// What a log is told when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// Whose log it is, with the version of its records.
    pub format: [u8; 8],
    /// A segment is full when it has reached this size; at most half of what 32 bits count.
    pub segment_bytes: u32,
}

/// Where a record is: it grows with every record, and a restart changes nothing about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The number of the segment.
    pub segment: u64,
    /// The place in the segment, in bytes.
    pub offset: u32,
}

impl Position {
    /// Before all records.
    pub const START: Self = Self {
        segment: 0,
        offset: 0,
    };
}

/// A segment as its owner sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub id: u64,
    /// What its file takes.
    pub bytes: u64,
    /// Whether it is complete; all are but the newest.
    pub sealed: bool,
}

/// The writer's end of a log.
#[derive(Debug)]
pub struct Log {
    volume: Arc<dyn Volume>,
    settings: LogSettings,
    table: Arc<Table>,
    active: Option<Active>,
    /// The number of the next segment.
    next: u64,
    /// Whether names were changed since they were synced.
    names_changed: bool,
    /// Files whose content is in a replacement, with their sizes; removed once its name is safe.
    leftovers: BTreeMap<u64, u64>,
    random: SystemRandom,
}

impl Log {
    /// Opens the log in `volume`, empty if nothing is there.
    ///
    /// Removes what an interrupted change left over and cuts off what was
    /// never completely written; all that is read afterwards is on the disk.
    /// Nothing can be appended until [`Self::roll`] began a segment.
    ///
    /// # Errors
    /// [`LogError::Io`], [`LogError::Format`].
    pub fn open(
        volume: Arc<dyn Volume>,
        settings: LogSettings,
    ) -> Result<(Self, Recovery), LogError> {
        let (table, newest, recovery) = recovery::recover(&volume, settings.format)?;
        let mut log = Self {
            next: table.last_number().map_or(0, |last| last + 1),
            table: Arc::new(table),
            volume,
            settings,
            active: newest,
            names_changed: false,
            leftovers: BTreeMap::new(),
            random: SystemRandom::new(),
        };
        log.mend()?;
        log.volume
            .sync_folder(site::RECOVERED_NAMES)
            .map_err(LogError::folder("sync"))?;
        // It is complete: a segment is only ever written to by the process that began it.
        log.active = None;
        log.names_changed = false;
        Ok((log, recovery))
    }

    /// For readers, which may read while this writes.
    pub fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.volume), Arc::clone(&self.table))
    }

    /// Writes `group` with one call, and says where its records are; it is not synced.
    ///
    /// # Errors
    /// [`LogError::NoSegment`], [`LogError::SegmentFull`], [`LogError::Io`]: none of the records
    /// is in the log then.
    pub fn append(&mut self, group: &mut Group) -> Result<Vec<Position>, LogError> {
        let active = self.active.as_ref().ok_or(LogError::NoSegment)?;
        let end = u32::try_from(group.size_bytes())
            .ok()
            .and_then(|size| active.end.checked_add(size))
            .ok_or(LogError::SegmentFull)?;
        self.mend()?;
        let active = self.active.as_mut().ok_or(LogError::NoSegment)?;
        let bytes = group.seal(active.seed, active.end, active.synced);
        if let Err(source) = active.disk.write_at(u64::from(active.end), bytes) {
            active.doubt = Doubt::Tail;
            return Err(LogError::io("write to", &segment::name(active.id))(source));
        }
        let positions = group.positions(active.id, active.end);
        active.end = end;
        self.table.grow(active.id, end);
        Ok(positions)
    }

    /// Makes all that was appended so far survive a power cut.
    ///
    /// # Errors
    /// [`LogError::Io`]: it is not known how much of it would survive.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.sync_records(site::RECORDS)?;
        self.sync_names()
    }

    /// Whether the next group needs [`Self::roll`] before it.
    pub fn needs_roll(&self) -> bool {
        self.active
            .as_ref()
            .is_none_or(|active| active.end >= self.settings.segment_bytes)
    }

    /// Seals the newest segment and begins the next one with the head record `head`.
    ///
    /// All that was appended before is synced.
    ///
    /// # Errors
    /// [`LogError::Io`]: the newest segment can still be written to. A `head` larger than
    /// [`RECORD_MAX_BYTES`] is [`LogError::SegmentFull`].
    pub fn roll(&mut self, head: &[u8]) -> Result<(), LogError> {
        let mut beginning = Group::new();
        beginning
            .push_head(head)
            .map_err(|_| LogError::SegmentFull)?;
        self.seal()?;
        // Also the names: the system may keep a later rename and forget an earlier one.
        self.sync_names()?;
        let preamble = self.preamble(self.next, self.next)?;
        let length = self.settings.segment_bytes;
        let (disk, end) = self.install(&preamble, &mut beginning, length, site::BEGINNING)?;
        let seed = preamble.seed();
        self.table.begin(preamble.id, seed, end, Arc::clone(&disk));
        self.active = Some(Active {
            id: preamble.id,
            seed,
            disk,
            end,
            synced: end,
            has_room: length > end,
            doubt: Doubt::None,
        });
        self.next += 1;
        Ok(())
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.table.segments()
    }

    /// Removes a sealed segment, wherever it stands.
    ///
    /// It may be back after a power cut, until the next sync.
    ///
    /// # Errors
    /// [`LogError::NotSealed`], [`LogError::Io`]: it is still there.
    pub fn remove(&mut self, segment: u64) -> Result<(), LogError> {
        let entry = self
            .table
            .sealed(segment)
            .ok_or(LogError::NotSealed { segment })?;
        if entry.through > segment {
            // Those that it replaced must not come back without it.
            self.settle_names()?;
        }
        let name = segment::name(segment);
        self.volume
            .remove(&name)
            .map_err(LogError::io("remove", &name))?;
        self.names_changed = true;
        self.table.remove(segment);
        Ok(())
    }

    /// Puts the records of `group` in the place of all the sealed segments in `run`, and says where
    /// they are; with an empty group, the place stays empty.
    ///
    /// After a crash the old segments are there or the new one. Positions in
    /// the run mean nothing afterwards, and readers in it are told.
    ///
    /// # Errors
    /// [`LogError::NotSealed`] when there is no segment in the run or it holds the newest one,
    /// [`LogError::SegmentFull`], [`LogError::Io`]: nothing changed then.
    pub fn replace(
        &mut self,
        run: RangeInclusive<u64>,
        group: &mut Group,
    ) -> Result<Vec<Position>, LogError> {
        let replaced = self.table.sealed_in(&run)?;
        let (first, through) = (replaced.first, replaced.through);
        let preamble = self.preamble(first, through)?;
        let (_, end) = self.install(&preamble, group, 0, site::REPLACEMENT)?;
        let positions = group.positions(first, PREAMBLE_BYTES);
        self.table.replace(&replaced, preamble.seed(), end);
        self.leftovers.extend(replaced.others);
        // Not yet safe is no failure: the old files stay until it is, and `sync` tells.
        let _ = self.sync_names();
        Ok(positions)
    }

    /// What all files take.
    pub fn bytes(&self) -> u64 {
        self.table.bytes() + self.leftovers.values().sum::<u64>()
    }

    fn preamble(&self, id: u64, through: u64) -> Result<Preamble, LogError> {
        let mut salt = [0; 4];
        self.random.fill(&mut salt).map_err(|_| {
            let source = io::Error::other("the system has no random numbers");
            LogError::io("begin", &segment::name(id))(source)
        })?;
        Ok(Preamble {
            format: self.settings.format,
            id,
            through,
            salt: u32::from_le_bytes(salt),
        })
    }

    /// Makes a segment's file: complete, or not there under its name.
    ///
    /// It gets at least `length` bytes, without taking the room for them: a file that does not get
    /// longer with each record is synced in half the time, and without its length being written too.
    fn install(
        &mut self,
        preamble: &Preamble,
        group: &mut Group,
        length: u32,
        site: SyncSite,
    ) -> Result<(Arc<dyn Disk>, u32), LogError> {
        let end = u32::try_from(group.size_bytes())
            .ok()
            .and_then(|size| PREAMBLE_BYTES.checked_add(size))
            .ok_or(LogError::SegmentFull)?;
        let records = group.seal(preamble.seed(), PREAMBLE_BYTES, 0);
        let fill = |disk: &dyn Disk| {
            disk.write_at(0, &preamble.encode())?;
            disk.write_at(u64::from(PREAMBLE_BYTES), records)?;
            match length > end {
                true => disk.set_len(u64::from(length)),
                false => Ok(()),
            }
        };
        let disk = self.make(&segment::name(preamble.id), fill, site)?;
        Ok((disk, end))
    }

    /// Makes a file under a temporary name, and gives it its own once it is filled and synced.
    fn make(
        &mut self,
        name: &str,
        fill: impl FnOnce(&dyn Disk) -> io::Result<()>,
        site: SyncSite,
    ) -> Result<Arc<dyn Disk>, LogError> {
        let make = || {
            let disk = self.volume.create(TEMPORARY)?;
            fill(&*disk)?;
            self.volume.sync_file(&*disk, site)?;
            self.volume.rename(TEMPORARY, name)?;
            Ok(disk)
        };
        let made = make();
        if made.is_ok() {
            self.names_changed = true;
        } else {
            // What is left of it takes room that may be what is missing; opening removes it too.
            let _ = self.volume.remove(TEMPORARY);
        }
        made.map_err(LogError::io("make", name))
    }

    fn sync_records(&mut self, site: SyncSite) -> Result<(), LogError> {
        self.mend()?;
        match self.active.as_mut() {
            Some(active) if active.synced < active.end => active.sync(&*self.volume, site),
            _ => Ok(()),
        }
    }

    /// Makes the newest segment's file last, as long as its records.
    fn seal(&mut self) -> Result<(), LogError> {
        self.mend()?;
        let Some(active) = self.active.as_mut().filter(|active| active.has_room) else {
            return self.sync_records(site::SEAL);
        };
        let cut = active.disk.set_len(u64::from(active.end));
        cut.map_err(LogError::io("cut", &segment::name(active.id)))?;
        active.sync(&*self.volume, site::SEAL)?;
        active.has_room = false;
        Ok(())
    }

    fn sync_names(&mut self) -> Result<(), LogError> {
        if self.names_changed {
            self.volume
                .sync_folder(site::NAMES)
                .map_err(LogError::folder("sync"))?;
            self.names_changed = false;
        }
        // Only now: the replacement that has their records is safe.
        let (volume, changed) = (&self.volume, &mut self.names_changed);
        self.leftovers.retain(|id, _| {
            let removed = volume.remove(&segment::name(*id)).is_ok();
            *changed |= removed;
            !removed
        });
        Ok(())
    }

    /// As [`Self::sync_names`], until nothing is left over.
    fn settle_names(&mut self) -> Result<(), LogError> {
        self.sync_names()?;
        self.sync_names()?;
        match self.leftovers.first_key_value() {
            None => Ok(()),
            Some((id, _)) => {
                let source = io::Error::other("the file is still there");
                Err(LogError::io("remove", &segment::name(*id))(source))
            }
        }
    }
}

#[cfg(test)]
mod tests;

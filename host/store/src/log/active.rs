//! The segment that is written to, and what failures leave in doubt about it.
//!
//! Owns making it certain again: what is behind its end is gone, and what is
//! before it is on the disk. It can be tried until it works, with the log as
//! it was in between. Called before everything that the log's owner asks for.

use std::io;
use std::sync::Arc;

use super::{Log, LogError, segment, site};
use crate::disk::Disk;
use crate::volume::{SyncSite, Volume};

/// What is copied at once.
const COPY_BYTES: usize = 64 * 1024;

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) id: u64,
    pub(super) seed: u32,
    pub(super) disk: Arc<dyn Disk>,
    /// Where the next record goes.
    pub(super) end: u32,
    /// Everything before this is on the disk.
    pub(super) synced: u32,
    /// The file is longer than its records, filled up with zeroes.
    pub(super) has_room: bool,
    pub(super) doubt: Doubt,
}

/// What a failure left behind in the active segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Nothing.
    None,
    /// Bytes behind the end, of a write that failed.
    Tail,
    /// Bytes behind the end, and some before it may never have been synced, or in vain.
    Recovered,
    /// Bytes before the end may never reach the disk where they are: a sync failed.
    Content,
}

impl Active {
    /// Makes all its records last.
    pub(super) fn sync(&mut self, volume: &dyn Volume, site: SyncSite) -> Result<(), LogError> {
        if let Err(source) = volume.sync_file(&*self.disk, site) {
            self.doubt = Doubt::Content;
            return Err(LogError::io("sync", &segment::name(self.id))(source));
        }
        self.synced = self.end;
        Ok(())
    }

    /// Cuts off what is behind the end and makes the rest last, in the same file.
    fn settle(&self, volume: &dyn Volume) -> io::Result<()> {
        let site = if self.doubt == Doubt::Recovered {
            // Written again: where a sync failed for a process that is no more, the system may take
            // these bytes for synced ever since.
            copy(&*self.disk, &*self.disk, self.synced, self.end)?;
            site::RECOVERED
        } else {
            site::CUT
        };
        self.disk.set_len(u64::from(self.end))?;
        volume.sync_file(&*self.disk, site)
    }
}

impl Log {
    /// Makes the active segment certain again, in its file or else in a new one.
    pub(super) fn mend(&mut self) -> Result<(), LogError> {
        let Some(mut active) = self.active.take() else {
            return Ok(());
        };
        let mended = self.mend_segment(&mut active);
        self.active = Some(active);
        mended
    }

    fn mend_segment(&mut self, active: &mut Active) -> Result<(), LogError> {
        match active.doubt {
            Doubt::None => return Ok(()),
            Doubt::Tail | Doubt::Recovered if active.settle(&*self.volume).is_ok() => {}
            _ => {
                active.doubt = Doubt::Content;
                let fill = |disk: &dyn Disk| copy(&*active.disk, disk, 0, active.end);
                let name = segment::name(active.id);
                active.disk = self.make(&name, fill, site::COPY)?;
                self.table.moved(active.id, Arc::clone(&active.disk));
                // Or the old file might come back, with what a failed write left in it.
                self.sync_names()?;
            }
        }
        active.synced = active.end;
        active.has_room = false;
        active.doubt = Doubt::None;
        Ok(())
    }
}

/// Copies the bytes from `start` to `end` to the same place in another file, or in the same.
fn copy(from: &dyn Disk, to: &dyn Disk, start: u32, end: u32) -> io::Result<()> {
    let mut bytes = vec![0; COPY_BYTES.min((end.saturating_sub(start)) as usize)];
    let mut offset = start;
    while offset < end {
        let size = bytes.len().min((end - offset) as usize);
        let part = &mut bytes[..size];
        from.read_at(u64::from(offset), part)?;
        to.write_at(u64::from(offset), part)?;
        offset += u32::try_from(size).unwrap_or(u32::MAX);
    }
    Ok(())
}

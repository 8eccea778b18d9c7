//! What is found in the folder of a log when it is opened.
//!
//! Owns what a crash leaves behind: temporary files, segments that were
//! replaced, and an end that was not completely written. Only the newest
//! segment can have such an end, since each was synced before the next was
//! begun. Called by [`Log::open`](super::Log::open).

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::segment::{self, PREAMBLE_BYTES, Preamble};
use super::table::{Entry, Table};
use super::walk::{Step, Window};
use super::{LogError, site};
use crate::disk::Disk;
use crate::file::TEMPORARY_PREFIX;
use crate::volume::Volume;

/// What opening a log found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Segments that are there.
    pub segments: usize,
    /// Damaged places in the newest segment, before its end; those in others are counted by who
    /// reads them.
    pub damaged_records: u64,
    /// What was cut off at the end: it was not completely written.
    pub cut_bytes: u64,
    /// Files that an interrupted change had left over.
    pub leftover_files: usize,
}

/// Looks at all files, and makes what is left of them last.
pub(super) fn recover(
    volume: &Arc<dyn Volume>,
    format: [u8; 8],
) -> Result<(Table, Recovery), LogError> {
    let folder = || LogError::io("list the files of", "segments");
    let mut recovery = Recovery::default();
    let mut segments = BTreeMap::new();
    for name in volume.list().map_err(folder())? {
        if name.starts_with(TEMPORARY_PREFIX) {
            remove(&**volume, &name, &mut recovery)?;
        } else if let Some(id) = segment::number(&name) {
            segments.insert(id, look(&**volume, &name, format)?);
        }
    }
    for id in superseded(&segments) {
        remove(&**volume, &segment::name(id), &mut recovery)?;
        segments.remove(&id);
    }
    if let Some(mut newest) = segments.last_entry() {
        let name = segment::name(*newest.key());
        match newest.get().seed {
            Some(seed) => {
                let entry = newest.get_mut();
                entry.end = settle(&**volume, &name, seed, entry.end, &mut recovery)?;
            }
            None => recovery.damaged_records += 1,
        }
    }
    volume
        .sync_folder(site::RECOVERED_NAMES)
        .map_err(LogError::io("sync the folder of", "segments"))?;
    recovery.segments = segments.len();
    Ok((Table::new(segments), recovery))
}

fn remove(volume: &dyn Volume, name: &str, recovery: &mut Recovery) -> Result<(), LogError> {
    recovery.leftover_files += 1;
    volume.remove(name).map_err(LogError::io("remove", name))
}

/// Reads what a segment's file says of itself.
fn look(volume: &dyn Volume, name: &str, format: [u8; 8]) -> Result<Entry, LogError> {
    let read = || -> io::Result<(u32, Vec<u8>)> {
        let disk = volume.open(name)?;
        // Beyond this no position reaches, and nothing was written by a log.
        let end = u32::try_from(disk.len_bytes()?).unwrap_or(u32::MAX);
        let mut bytes = vec![0; PREAMBLE_BYTES.min(end) as usize];
        disk.read_at(0, &mut bytes)?;
        Ok((end, bytes))
    };
    let (end, bytes) = read().map_err(LogError::io("read", name))?;
    let preamble = Preamble::decode(name, &bytes, format)?;
    let id = segment::number(name).unwrap_or_default();
    Ok(Entry {
        seed: preamble.map(|preamble| preamble.seed()),
        through: preamble.map_or(id, |preamble| preamble.through),
        end,
        version: 0,
        disk: None,
    })
}

/// Segments whose records are in another one that replaced them.
fn superseded(segments: &BTreeMap<u64, Entry>) -> Vec<u64> {
    let mut superseded = Vec::new();
    let mut covered = None;
    for (id, entry) in segments {
        if covered.is_some_and(|through| *id <= through) {
            superseded.push(*id);
        } else {
            covered = Some(entry.through);
        }
    }
    superseded
}

/// Finds the end of the newest segment, cuts off what is behind it and makes the rest last.
fn settle(
    volume: &dyn Volume,
    name: &str,
    seed: u32,
    length: u32,
    recovery: &mut Recovery,
) -> Result<u32, LogError> {
    let disk = volume.open(name).map_err(LogError::io("open", name))?;
    let (end, damaged) = end(&disk, seed, length).map_err(LogError::io("read", name))?;
    recovery.damaged_records += damaged;
    recovery.cut_bytes += u64::from(length - end);
    if end < length {
        disk.set_len(u64::from(end))
            .map_err(LogError::io("cut", name))?;
    }
    // What was written and never synced counts from now on, as later records will build on it.
    volume
        .sync_file(&*disk, site::RECOVERED)
        .map_err(LogError::io("sync", name))?;
    Ok(end)
}

/// Where the records end, and how many damaged places are before that.
///
/// Each record says how far the segment was synced when it was written. Up to
/// there a bad record was damaged later and the ones behind it count; beyond,
/// the first bad one is where the writing was interrupted.
fn end(disk: &Arc<dyn Disk>, seed: u32, length: u32) -> io::Result<(u32, u64)> {
    let mut window = Window::new(Arc::clone(disk));
    let mut synced = PREAMBLE_BYTES;
    let mut offset = PREAMBLE_BYTES;
    loop {
        offset = match window.step(seed, offset, length)? {
            Step::Record { header, next } => {
                synced = synced.max(header.synced);
                next
            }
            Step::Damaged { next } => next,
            Step::End => break,
        };
    }
    let mut window = Window::new(Arc::clone(disk));
    let (mut offset, mut damaged) = (PREAMBLE_BYTES, 0);
    loop {
        match window.step(seed, offset, length)? {
            Step::Record { next, .. } => offset = next,
            Step::Damaged { .. } if offset >= synced => return Ok((offset, damaged)),
            Step::Damaged { next } => {
                damaged += 1;
                if next > synced {
                    return Ok((synced.min(length), damaged));
                }
                offset = next;
            }
            Step::End => return Ok((length, damaged)),
        }
    }
}

//! What is found in the folder of a log when it is opened.
//!
//! Owns what a crash leaves behind: temporary files, segments that were
//! replaced, and the end of the newest segment, which may be incompletely
//! written; no other can be, since each was synced before the next was begun.
//! Leaves making the end good to `active.rs`. Called when a log is opened.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::LogError;
use super::active::{Active, Doubt};
use super::segment::{self, PREAMBLE_BYTES, Preamble};
use super::table::{Entry, Table};
use super::walk::{Step, Window};
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

/// Looks at all files and removes leftovers. The newest segment is still to be mended.
pub(super) fn recover(
    volume: &Arc<dyn Volume>,
    format: [u8; 8],
) -> Result<(Table, Option<Active>, Recovery), LogError> {
    let mut recovery = Recovery::default();
    let mut segments = BTreeMap::new();
    for name in volume.list().map_err(LogError::folder("list"))? {
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
    let newest = match segments.last_entry() {
        Some(mut entry) => newest(&**volume, *entry.key(), entry.get_mut(), &mut recovery)?,
        None => None,
    };
    recovery.segments = segments.len();
    Ok((Table::new(segments), newest, recovery))
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

/// Finds the end of the newest segment.
fn newest(
    volume: &dyn Volume,
    id: u64,
    entry: &mut Entry,
    recovery: &mut Recovery,
) -> Result<Option<Active>, LogError> {
    let Some(seed) = entry.seed else {
        recovery.damaged_records += 1;
        return Ok(None);
    };
    let name = segment::name(id);
    let disk = volume.open(&name).map_err(LogError::io("open", &name))?;
    let written = written(&*disk, entry.end).map_err(LogError::io("read", &name))?;
    let found = extent(&disk, seed, entry.end, written).map_err(LogError::io("read", &name))?;
    recovery.damaged_records += found.damaged;
    recovery.cut_bytes += u64::from(written.saturating_sub(found.end));
    entry.end = found.end;
    Ok(Some(Active {
        id,
        seed,
        disk,
        end: found.end,
        synced: found.synced,
        // It gets the length of its records before anything else.
        has_room: false,
        doubt: Doubt::Recovered,
    }))
}

/// How much of a file is looked at together, from its end.
const PART_BYTES: usize = 4096;
static ZEROES: [u8; PART_BYTES] = [0; PART_BYTES];

/// Where the zeroes begin that a segment's file was filled up with.
fn written(disk: &dyn Disk, length: u32) -> io::Result<u32> {
    let mut bytes = [0; PART_BYTES];
    let mut end = length;
    while end > 0 {
        let size = end.min(PART_BYTES as u32);
        let part = &mut bytes[..size as usize];
        disk.read_at(u64::from(end - size), part)?;
        if *part != ZEROES[..part.len()] {
            let last = part.iter().rposition(|byte| *byte != 0);
            return Ok(end - size + last.map_or(0, |last| last as u32 + 1));
        }
        end -= size;
    }
    Ok(0)
}

/// What is good in a segment that may have been interrupted.
struct Extent {
    /// Where its records end.
    end: u32,
    /// Before this all was synced.
    synced: u32,
    /// Damaged places before that.
    damaged: u64,
}

/// Where the records end.
///
/// Each record says how far the segment was synced when it was written. Up to
/// there a bad record was damaged later and the ones behind it count; beyond,
/// the first bad one is where the writing was interrupted.
fn extent(disk: &Arc<dyn Disk>, seed: u32, length: u32, written: u32) -> io::Result<Extent> {
    let mut window = Window::filled_up(Arc::clone(disk), written);
    let mut offset = PREAMBLE_BYTES;
    let mut synced = PREAMBLE_BYTES.min(length);
    let mut first_bad = None;
    loop {
        offset = match window.step(seed, offset, length)? {
            Step::Record { header, next } => {
                synced = synced.max(header.synced);
                next
            }
            Step::Damaged { next } => {
                first_bad = first_bad.or(Some(offset));
                next
            }
            Step::End => break,
        };
    }
    // Only now is it known what was synced; what stands before the first bad record is good either way.
    let mut offset = first_bad.unwrap_or(length);
    let mut damaged = 0;
    let end = loop {
        match window.step(seed, offset, length)? {
            Step::Record { next, .. } => offset = next,
            Step::Damaged { .. } if offset >= synced => break offset,
            Step::Damaged { next } => {
                damaged += 1;
                if next > synced {
                    break synced;
                }
                offset = next;
            }
            Step::End => break length,
        }
    };
    Ok(Extent {
        end,
        synced,
        damaged,
    })
}

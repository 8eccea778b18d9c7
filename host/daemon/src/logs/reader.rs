//! Reads logs back: from their files, then what is not written yet, in the device's order, one line at a time.
//!
//! What is held is one line per module and a chunk of its file, however large the logs are; for `tail`, the
//! numbers of the last lines besides. Everything here blocks.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use wasm_edge_model::identity::{DeviceId, ModuleId};

use super::entry::LogEntry;
use super::filter::LogFilter;
use super::record::{self, FirstLine};
use super::segment::{self, Lines};
use super::slots::{SLOTS, Slots};

/// The logs of one device as they are at one moment. Files are opened when they are read; what gave way in
/// between is left out.
#[derive(Debug)]
pub struct LogSnapshot {
    pub(super) device: DeviceId,
    pub(super) modules: Vec<ModuleSnapshot>,
    /// Lines from this number on came later.
    pub(super) end_seq: u64,
}

/// The log of one module.
#[derive(Debug)]
pub(super) struct ModuleSnapshot {
    pub(super) module: ModuleId,
    pub(super) slots: Arc<dyn Slots>,
    /// What is not in the files, or being written to them: records as they stand there.
    pub(super) unwritten: Vec<Arc<[u8]>>,
}

/// What was found beside lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadSummary {
    /// Records that could not be read and were passed over.
    pub damaged: u64,
}

/// Hands the wanted lines of some devices to `each`, those of one device in its order, until it breaks off; with
/// `tail`, only so many of the last ones. Several devices are put together by the time of their lines.
///
/// # Errors
/// Those of the system; a file that cannot be read ends it.
pub fn read(
    snapshots: &[LogSnapshot],
    filter: &LogFilter,
    tail: Option<usize>,
    mut each: impl FnMut(LogEntry) -> ControlFlow<()>,
) -> io::Result<ReadSummary> {
    let Some(tail) = tail else {
        return walk(snapshots, filter, &vec![0; snapshots.len()], |_, entry| {
            each(entry)
        });
    };
    if tail == 0 {
        return Ok(ReadSummary::default());
    }
    // Twice over the files, so that no more than numbers are held.
    let mut last = VecDeque::new();
    walk(
        snapshots,
        filter,
        &vec![0; snapshots.len()],
        |device, entry| {
            if last.len() == tail {
                last.pop_front();
            }
            last.push_back((device, entry.seq));
            ControlFlow::Continue(())
        },
    )?;
    let mut first_seqs = vec![u64::MAX; snapshots.len()];
    for (device, seq) in last {
        first_seqs[device] = first_seqs[device].min(seq);
    }
    walk(snapshots, filter, &first_seqs, |_, entry| each(entry))
}

/// Hands over the wanted lines with the device's place in `snapshots`, from `first_seqs` of each on.
fn walk(
    snapshots: &[LogSnapshot],
    filter: &LogFilter,
    first_seqs: &[u64],
    mut each: impl FnMut(usize, LogEntry) -> ControlFlow<()>,
) -> io::Result<ReadSummary> {
    let mut devices = snapshots
        .iter()
        .map(|snapshot| DeviceReader::open(snapshot, filter))
        .collect::<io::Result<Vec<_>>>()?;
    let mut heads = Vec::with_capacity(devices.len());
    for (device, first_seq) in devices.iter_mut().zip(first_seqs) {
        heads.push(device.next_wanted(filter, *first_seq)?);
    }
    while let Some(next) = least(&heads, |entry: &LogEntry| entry.time) {
        let following = devices[next].next_wanted(filter, first_seqs[next])?;
        let entry = std::mem::replace(&mut heads[next], following);
        let entry = entry.expect("the least is one that is there");
        if each(next, entry).is_break() {
            break;
        }
    }
    let damaged = devices.iter().map(DeviceReader::damaged).sum();
    Ok(ReadSummary { damaged })
}

/// The place of the entry with the least key.
fn least<T, K: Ord>(heads: &[Option<T>], key: impl Fn(&T) -> K) -> Option<usize> {
    let there = heads.iter().enumerate();
    let there = there.filter_map(|(place, head)| Some((place, key(head.as_ref()?))));
    there.min_by(|a, b| a.1.cmp(&b.1)).map(|(place, _)| place)
}

/// The lines of one device by number.
struct DeviceReader<'a> {
    modules: Vec<ModuleReader<'a>>,
    heads: Vec<Option<LogEntry>>,
}

impl<'a> DeviceReader<'a> {
    fn open(snapshot: &'a LogSnapshot, filter: &LogFilter) -> io::Result<Self> {
        let wanted =
            |module: &&ModuleSnapshot| filter.module.as_ref().is_none_or(|id| *id == module.module);
        let mut modules = Vec::new();
        let mut heads = Vec::new();
        for module in snapshot.modules.iter().filter(wanted) {
            let mut reader = ModuleReader::open(snapshot, module)?;
            heads.push(reader.next()?);
            modules.push(reader);
        }
        Ok(Self { modules, heads })
    }

    fn next_wanted(&mut self, filter: &LogFilter, first_seq: u64) -> io::Result<Option<LogEntry>> {
        while let Some(next) = least(&self.heads, |entry: &LogEntry| entry.seq) {
            let following = self.modules[next].next()?;
            let entry = std::mem::replace(&mut self.heads[next], following);
            if let Some(entry) = entry.filter(|entry| entry.seq >= first_seq && filter.wants(entry))
            {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn damaged(&self) -> u64 {
        self.modules.iter().map(|module| module.damaged).sum()
    }
}

/// The lines of one module, oldest first.
struct ModuleReader<'a> {
    snapshot: &'a LogSnapshot,
    module: &'a ModuleSnapshot,
    /// Files that are still to be read: place and number of the first record, oldest first.
    segments: VecDeque<(usize, u64)>,
    lines: Option<Lines>,
    /// How much of [`ModuleSnapshot::unwritten`] was read: parts, and bytes of the next one.
    unwritten: (usize, usize),
    /// The number of the last line that was given out.
    last_seq: Option<u64>,
    damaged: u64,
}

impl<'a> ModuleReader<'a> {
    fn open(snapshot: &'a LogSnapshot, module: &'a ModuleSnapshot) -> io::Result<Self> {
        let mut segments = Vec::new();
        for slot in 0..SLOTS {
            let Some(disk) = module.slots.open(slot)? else {
                continue;
            };
            match segment::open(disk)?.0 {
                FirstLine::Header { first_seq, .. } => segments.push((slot, first_seq)),
                FirstLine::Damaged => segments.push((slot, 0)),
                FirstLine::Version(_) | FirstLine::Absent => {}
            }
        }
        segments.sort_by_key(|(_, first_seq)| *first_seq);
        Ok(Self {
            snapshot,
            module,
            segments: segments.into(),
            lines: None,
            unwritten: (0, 0),
            last_seq: None,
            damaged: 0,
        })
    }

    fn next(&mut self) -> io::Result<Option<LogEntry>> {
        while let Some(parsed) = self.next_record()? {
            let Some((seq, time, line)) = parsed else {
                self.damaged += 1;
                continue;
            };
            // What was being written when the snapshot was taken is in the file by now, too.
            let is_new = self.last_seq.is_none_or(|last| seq > last);
            if !is_new || seq >= self.snapshot.end_seq {
                continue;
            }
            self.last_seq = Some(seq);
            return Ok(Some(LogEntry {
                seq,
                time,
                device: self.snapshot.device.clone(),
                module: self.module.module.clone(),
                line,
            }));
        }
        Ok(None)
    }

    /// The next record, `Some(None)` if it is damaged.
    fn next_record(&mut self) -> io::Result<Option<Option<Parsed>>> {
        loop {
            if let Some(lines) = &mut self.lines {
                if let Some(line) = lines.next()? {
                    return Ok(Some(record::parse(line)));
                }
                self.damaged += lines.damaged();
                self.lines = None;
            }
            let Some((slot, first_seq)) = self.segments.pop_front() else {
                return Ok(self.next_unwritten());
            };
            self.lines = self.open_segment(slot, first_seq)?;
        }
    }

    /// The lines of a file, unless another one took its place.
    fn open_segment(&mut self, slot: usize, first_seq: u64) -> io::Result<Option<Lines>> {
        let Some(disk) = self.module.slots.open(slot)? else {
            return Ok(None);
        };
        let (first_line, lines) = segment::open(disk)?;
        Ok(match first_line {
            FirstLine::Header {
                first_seq: found, ..
            } => (found == first_seq).then_some(lines),
            FirstLine::Damaged => {
                self.damaged += 1;
                Some(lines)
            }
            FirstLine::Version(_) | FirstLine::Absent => None,
        })
    }

    fn next_unwritten(&mut self) -> Option<Option<Parsed>> {
        let (part, start) = self.unwritten;
        let rest = self.module.unwritten.get(part)?.get(start..)?;
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            self.unwritten = (part + 1, 0);
            return self.next_unwritten();
        };
        self.unwritten = (part, start + length + 1);
        Some(record::parse(&rest[..length]))
    }
}

/// Number, time and line of a record.
type Parsed = (
    u64,
    wasm_edge_model::time::Timestamp,
    wasm_edge_runtime::guest::LogLine,
);

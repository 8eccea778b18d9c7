//! A log lived through by chance, beside what it promises.
//!
//! Every record carries its number and the attempt that wrote it, so that
//! each one that is found can be told from any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::SETTINGS;
use crate::disk::faults::{Random, Survivors};
use crate::log::{Group, Log, Position, RecordKind};
use crate::volume::simulated::SimulatedVolume;
use crate::volume::{SyncSite, Volume};

/// How a story goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plot {
    pub(super) seed: u64,
    /// One of so many operations fails.
    pub(super) fail_one_in: Option<usize>,
    pub(super) switched_off: Option<SyncSite>,
}

/// Number and attempt.
type Mark = (u64, u64);

/// What must be found of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    /// Removed, and back perhaps.
    Removed,
    RemovedForGood,
}

#[derive(Debug)]
struct Written {
    mark: Mark,
    segment: u64,
    fate: Fate,
}

/// A log and what it should hold.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) volume: SimulatedVolume,
    random: Random,
    log: Option<Log>,
    written: Vec<Written>,
    /// All records below this number are safe.
    safe: u64,
    next: u64,
    attempt: u64,
    /// Records of the newest append, which failed: a power cut may show them.
    doubtful: Vec<Mark>,
}

pub(super) const POWER_CUTS: usize = 3;
const STEPS: usize = 60;

/// A story with some power cuts; what was promised and did not hold is the error.
pub(super) fn tell(plot: Plot) -> Result<(), String> {
    let mut random = Random::new(plot.seed);
    let mut story = Story::begin(SimulatedVolume::new(random.number()), random.number());
    for _ in 0..POWER_CUTS {
        story.volume.fail_one_in(plot.fail_one_in);
        if let Some(site) = plot.switched_off {
            story.volume.switch_off(site);
        }
        let at = random.below(200);
        story.volume.cut_power_at(at);
        story.steps(STEPS)?;
        story = story.after_power_cut(Survivors::Torn(random.number()))?;
    }
    Ok(())
}

impl Story {
    pub(super) fn begin(volume: SimulatedVolume, seed: u64) -> Self {
        Self {
            volume,
            random: Random::new(seed),
            log: None,
            written: Vec::new(),
            safe: 0,
            next: 0,
            attempt: 0,
            doubtful: Vec::new(),
        }
    }

    /// Goes on until the power goes, for so many steps at most.
    pub(super) fn steps(&mut self, steps: usize) -> Result<(), String> {
        for _ in 0..steps {
            if self.volume.is_dead() {
                break;
            }
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        let Some(mut log) = self.log.take() else {
            return self.open();
        };
        match self.random.below(20) {
            0..=10 => self.append(&mut log),
            11..=14 => self.sync(&mut log),
            15 | 16 => self.remove(&mut log),
            17 => self.replace(&mut log),
            18 => self.read(&log, false)?,
            // As if killed: what the system was given is still there.
            _ => return Ok(()),
        }
        self.log = Some(log);
        Ok(())
    }

    /// Opens the log; a fault on the way is none of its own.
    fn open(&mut self) -> Result<(), String> {
        let volume: Arc<dyn Volume> = Arc::new(self.volume.clone());
        let (log, recovery) = match Log::open(volume, SETTINGS) {
            Ok(opened) => opened,
            Err(err) if err.system().is_some() => return Ok(()),
            Err(err) => return Err(format!("cannot be opened: {err}")),
        };
        if recovery.damaged_records > 0 {
            return Err(format!("{recovery:?}"));
        }
        self.read(&log, true)?;
        self.safe = self.next;
        self.log = Some(log);
        Ok(())
    }

    fn append(&mut self, log: &mut Log) {
        if log.needs_roll() && log.roll(b"head").is_err() {
            return;
        }
        self.attempt += 1;
        let marks: Vec<Mark> = (0..1 + self.random.below(6) as u64)
            .map(|number| (self.next + number, self.attempt))
            .collect();
        let mut group = Group::new();
        for mark in &marks {
            group.encode(|bytes| encode(*mark, bytes)).unwrap();
        }
        match log.append(&mut group) {
            Ok(positions) => {
                self.next += marks.len() as u64;
                self.doubtful.clear();
                let written = marks.iter().zip(positions).map(|(mark, position)| Written {
                    mark: *mark,
                    segment: position.segment,
                    fate: Fate::Kept,
                });
                self.written.extend(written);
            }
            // Nothing was tried if what was in doubt before could not be mended.
            Err(_) => self.doubtful.extend(marks),
        }
    }

    fn sync(&mut self, log: &mut Log) {
        if log.sync().is_ok() {
            self.safe = self.next;
            for written in &mut self.written {
                if written.fate == Fate::Removed {
                    written.fate = Fate::RemovedForGood;
                }
            }
        }
    }

    fn sealed(&mut self, log: &Log) -> Option<u64> {
        let segments = log.segments();
        let sealed = segments.len().checked_sub(1).filter(|sealed| *sealed > 0)?;
        Some(segments[self.random.below(sealed)].id)
    }

    fn remove(&mut self, log: &mut Log) {
        let Some(segment) = self.sealed(log) else {
            return;
        };
        if log.remove(segment).is_ok() {
            for written in &mut self.written {
                if written.segment == segment && written.fate == Fate::Kept {
                    written.fate = Fate::Removed;
                }
            }
        }
    }

    fn replace(&mut self, log: &mut Log) {
        let (Some(one), Some(other)) = (self.sealed(log), self.sealed(log)) else {
            return;
        };
        let run = one.min(other)..=one.max(other);
        let mut group = Group::new();
        group.push_head(b"head").unwrap();
        let mut dropped = Vec::new();
        for written in &self.written {
            if run.contains(&written.segment) && written.fate == Fate::Kept {
                if self.random.one_in(3) {
                    dropped.push(written.mark);
                } else {
                    group.encode(|bytes| encode(written.mark, bytes)).unwrap();
                }
            }
        }
        if log.replace(run.clone(), &mut group).is_ok() {
            for written in &mut self.written {
                if run.contains(&written.segment) && written.fate == Fate::Kept {
                    written.segment = *run.start();
                    if dropped.contains(&written.mark) {
                        written.fate = Fate::Removed;
                    }
                }
            }
        }
    }

    /// Reads all: what is there is what should be, and after a restart perhaps what was in doubt.
    fn read(&mut self, log: &Log, restarted: bool) -> Result<(), String> {
        let found = found(log)?;
        let kept = self.written.iter().filter(|it| it.fate == Fate::Kept);
        let kept: Vec<Mark> = kept.map(|it| it.mark).collect();
        let marks: Vec<Mark> = found.iter().map(|(mark, _)| *mark).collect();
        let doubtful = marks
            .strip_prefix(&kept[..])
            .filter(|rest| rest.is_empty() || (restarted && self.doubtful_prefix(rest)));
        let Some(doubtful) = doubtful else {
            return Err(format!("found {marks:?}, expected {kept:?}"));
        };
        if restarted {
            self.next += doubtful.len() as u64;
            self.written
                .extend(found[kept.len()..].iter().map(|(mark, segment)| Written {
                    mark: *mark,
                    segment: *segment,
                    fate: Fate::Kept,
                }));
            self.doubtful.clear();
        }
        Ok(())
    }

    /// Whether `rest` is a beginning of one failed append.
    fn doubtful_prefix(&self, rest: &[Mark]) -> bool {
        let attempt = rest.first().map(|mark| mark.1);
        let mut attempted = self.doubtful.iter().filter(|mark| Some(mark.1) == attempt);
        rest.iter().all(|mark| attempted.next() == Some(mark))
    }

    /// What is left when the power goes now, compared with what was promised.
    pub(super) fn after_power_cut(mut self, survivors: Survivors) -> Result<Self, String> {
        self.log = None;
        let volume = self.volume.after_power_cut(survivors);
        let shared: Arc<dyn Volume> = Arc::new(volume.clone());
        let (log, recovery) = Log::open(shared, SETTINGS).map_err(|err| format!("{err:?}"))?;
        if recovery.damaged_records > 0 {
            return Err(format!("{recovery:?}"));
        }
        let found = found(&log)?;
        self.compare(&found)?;
        let next = found.last().map_or(0, |(mark, _)| mark.0 + 1);
        // Numbers go on where nothing was lost, also behind removed ones.
        let next = next.max(self.safe);
        let written = found.into_iter().map(|(mark, segment)| Written {
            mark,
            segment,
            fate: Fate::Kept,
        });
        Ok(Self {
            random: self.random.clone(),
            written: written.collect(),
            log: Some(log),
            safe: next,
            next,
            attempt: self.attempt,
            doubtful: Vec::new(),
            volume,
        })
    }

    fn compare(&self, found: &[(Mark, u64)]) -> Result<(), String> {
        let mut rest: BTreeMap<u64, u64> = found.iter().map(|(mark, _)| *mark).collect();
        if rest.len() != found.len() || !found.is_sorted_by_key(|(mark, _)| mark.0) {
            return Err(format!("twins or disorder: {found:?}"));
        }
        let mut ended = false;
        for written in &self.written {
            let (number, attempt) = written.mark;
            let present = match rest.remove(&number) {
                None => false,
                Some(other) if other == attempt => true,
                // What a failed attempt wrote may stand where the rest of the log is lost.
                Some(other) if number >= self.safe && self.doubtful.contains(&(number, other)) => {
                    false
                }
                Some(other) => return Err(format!("{number} of {other}, not {attempt}")),
            };
            match written.fate {
                Fate::Kept if present && ended => return Err(format!("a hole before {number}")),
                Fate::Kept if !present && number < self.safe => {
                    return Err(format!("{number} is lost, all below {} is safe", self.safe));
                }
                Fate::Kept => ended |= !present,
                Fate::RemovedForGood if present => return Err(format!("{number} is back")),
                Fate::Removed | Fate::RemovedForGood => {}
            }
        }
        let rest: Vec<Mark> = rest.into_iter().collect();
        if rest.is_empty() || (!ended && self.doubtful_prefix(&rest)) {
            Ok(())
        } else {
            Err(format!("{rest:?} was never there"))
        }
    }
}

/// What is in the log: marks, and the segments in which they are.
fn found(log: &Log) -> Result<Vec<(Mark, u64)>, String> {
    let mut cursor = log.reader().read_from(Position::START);
    let mut found = Vec::new();
    let mut segment = None;
    while let Some(record) = cursor.next().map_err(|err| format!("{err:?}"))? {
        let first = segment.replace(record.position.segment) != Some(record.position.segment);
        if first != (record.kind == RecordKind::Head) {
            return Err(format!("{:?} at {:?}", record.kind, record.position));
        }
        if record.kind == RecordKind::Entry {
            found.push((decode(record.payload)?, record.position.segment));
        }
    }
    if cursor.damaged() > 0 {
        return Err(format!("{} damaged", cursor.damaged()));
    }
    Ok(found)
}

fn encode(mark: Mark, bytes: &mut Vec<u8>) {
    let (number, attempt) = mark;
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&attempt.to_le_bytes());
    let mut random = Random::new(number ^ (attempt << 32));
    let length_max = [8, 64, 600, 2000][random.below(4)];
    let length = bytes.len() + random.below(length_max);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.number().to_le_bytes());
    }
    bytes.truncate(length);
}

fn decode(payload: &[u8]) -> Result<Mark, String> {
    let word = |at: usize| -> Option<u64> {
        Some(u64::from_le_bytes(
            payload.get(at..at + 8)?.try_into().ok()?,
        ))
    };
    let mark = word(0).zip(word(8)).ok_or("a record is too short")?;
    let mut expected = Vec::new();
    encode(mark, &mut expected);
    if payload == expected {
        Ok(mark)
    } else {
        Err(format!("the record {mark:?} is another"))
    }
}

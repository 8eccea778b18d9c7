//! Merging: the messages that are left of a run of segments go into one segment in their place.
//!
//! Choosing the run is pure ([`choose`]). A merge reads the run once and writes what is left of it, so the
//! emptier the segments, the cheaper the space; it is done only when space is wanted.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use wasm_edge_store::log::{Group, LogError, RecordKind};

use super::{WriteError, Writer};
use crate::journal::codec::{self, Head, MessageRecord, Record};
use crate::journal::commit::{LaneId, Place};

/// Segments that one merge takes at most.
const RUN_MAX: usize = 8;

/// What a merge reads at most, in segments of full size.
const READ_MAX_SEGMENTS: u64 = 4;

/// What a file takes beside its content: the block that is not full.
const FILE_BYTES: u64 = 4096;

/// A segment that could be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    id: u64,
    bytes: u64,
    /// About, from how many of its messages are left.
    live_bytes: u64,
}

/// Chooses the run with the most space to gain for what has to be copied, if it is worth it.
fn choose(candidates: &[Candidate], segment_bytes: u64) -> Option<RangeInclusive<u64>> {
    let mut best: Option<(u64, RangeInclusive<u64>)> = None;
    for (place, first) in candidates.iter().enumerate() {
        let (mut bytes, mut live) = (0, 0);
        for last in candidates[place..].iter().take(RUN_MAX) {
            bytes += last.bytes + FILE_BYTES;
            live += last.live_bytes;
            if live > segment_bytes || bytes > READ_MAX_SEGMENTS * segment_bytes {
                break;
            }
            let gain = bytes.saturating_sub(live + FILE_BYTES);
            // In 64ths of what is copied; a file more or less counts as much as its block.
            let worth = 64 * gain / (live + FILE_BYTES);
            if gain >= bytes / 8 && best.as_ref().is_none_or(|(found, _)| worth > *found) {
                best = Some((worth, first.id..=last.id));
            }
        }
    }
    best.map(|(_, run)| run)
}

/// What is copied in a merge.
struct Copy {
    group: Group,
    named: HashSet<LaneId>,
    /// The places of the messages, with the record of the group that each is in.
    kept: Vec<(Place, usize)>,
}

impl Writer {
    /// Merges the run of segments with the most to gain; says whether there was one.
    pub(super) fn merge_emptiest(&mut self) -> Result<bool, WriteError> {
        let candidates: Vec<Candidate> = {
            let index = self.shared.index();
            let segments = self.log.segments().into_iter();
            let sealed = segments.filter(|segment| segment.sealed);
            let candidates = sealed.map(|segment| {
                let found = index.segment(segment.id);
                Candidate {
                    id: segment.id,
                    bytes: segment.bytes,
                    live_bytes: segment.bytes * found.live / found.places.max(1),
                }
            });
            candidates.collect()
        };
        let segment_bytes = u64::from(self.shared.settings.segment_bytes);
        match choose(&candidates, segment_bytes) {
            Some(run) => self.merge(run).map(|()| true),
            None => Ok(false),
        }
    }

    /// Merges the segment of which every head has to tell most; says whether that worked.
    pub(super) fn merge_most_thinned(&mut self) -> bool {
        let thinned = self.shared.index().most_thinned(self.newest);
        thinned.is_some_and(|segment| self.merge(segment..=segment).is_ok())
    }

    fn merge(&mut self, run: RangeInclusive<u64>) -> Result<(), WriteError> {
        // What says that messages are done has to last before they go: it may have sent others.
        self.sync()?;
        let mut copy = self.copy(&run)?;
        let bytes = copy.group.size_bytes() as u64;
        let gone = {
            let mut index = self.shared.index();
            let positions = self.log.replace(run.clone(), &mut copy.group)?;
            let kept = copy.kept.iter().filter_map(|(place, record)| {
                let position = positions.get(*record)?;
                Some((*place, *position))
            });
            let kept: Vec<_> = kept.collect();
            index.replace(run, &kept)
        };
        for lane in gone {
            self.shared.intake.drop_lane(lane);
        }
        self.shared.figures.copied(bytes);
        self.publish_space();
        Ok(())
    }

    /// Reads what is left of a run of segments.
    fn copy(&self, run: &RangeInclusive<u64>) -> Result<Copy, WriteError> {
        let mut copy = Copy {
            group: Group::new(),
            named: HashSet::new(),
            kept: Vec::new(),
        };
        let mut bytes = Vec::new();
        self.merged_head().encode(&mut bytes);
        copy.group
            .push_head(&bytes)
            .map_err(|_| LogError::SegmentFull)?;
        let segments = self.log.segments();
        let segments = segments.iter().filter(|segment| run.contains(&segment.id));
        for segment in segments {
            let mut cursor = self.shared.reader.read_segment(segment.id);
            while let Some(record) = cursor.next()? {
                if record.kind == RecordKind::Entry {
                    self.copy_record(&mut copy, record.payload)?;
                }
            }
        }
        Ok(copy)
    }

    fn copy_record(&self, copy: &mut Copy, payload: &[u8]) -> Result<(), WriteError> {
        // What cannot be read is of no use in another place.
        let Ok(Record::Commit(commit)) = codec::decode(payload) else {
            return Ok(());
        };
        let mut kept: Vec<MessageRecord<'_>> = Vec::new();
        {
            let index = self.shared.index();
            for mut message in commit.messages.map_while(Result::ok) {
                message.targets.retain(|target| index.is_live(target.place));
                if !message.targets.is_empty() {
                    kept.push(message);
                }
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        let targets = || kept.iter().flat_map(|message| &message.targets);
        let missing: Vec<LaneId> = targets()
            .map(|target| target.place.lane)
            .filter(|lane| copy.named.insert(*lane))
            .collect();
        self.shared.add_lanes(&mut copy.group, &missing);
        let record = copy.group.len();
        copy.kept
            .extend(targets().map(|target| (target.place, record)));
        copy.group
            .encode(|out| codec::encode_kept(out, &kept))
            .map_err(|_| LogError::SegmentFull)?;
        Ok(())
    }

    fn merged_head(&self) -> Head {
        Head {
            is_merged: true,
            store: self.shared.store,
            epoch: self.epoch,
            next_lane: self.shared.intake.next_lane(),
            clock: self.shared.clock_stamp(),
            lanes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(segments: &[(u64, u64)], expected: Option<RangeInclusive<u64>>) {
        let candidates = segments
            .iter()
            .zip(1..)
            .map(|((bytes, live), id)| Candidate {
                id,
                bytes: bytes * 1024,
                live_bytes: live * 1024,
            });
        let candidates: Vec<_> = candidates.collect();
        assert_eq!(choose(&candidates, 1024 * 1024), expected);
    }

    #[test]
    fn full_segments_are_left_alone() {
        check(&[], None);
        check(&[(1024, 1024), (1024, 1020)], None);
    }

    #[test]
    fn the_emptiest_run_is_taken() {
        check(&[(1024, 512)], Some(1..=1));
        check(
            &[(1024, 1000), (1024, 100), (1024, 100), (1024, 900)],
            Some(2..=3),
        );
    }

    #[test]
    fn small_segments_are_put_together() {
        check(&[(2, 2), (2, 2), (2, 2), (1024, 1024)], Some(1..=3));
    }

    #[test]
    fn what_is_left_fits_into_one_segment() {
        check(&[(1024, 600), (1024, 600)], Some(1..=1));
    }
}

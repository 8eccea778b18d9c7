//! Where the messages of each lane are and which of them are done: the little that has to be in memory of all
//! that is on the disk.
//!
//! Pure. Per lane and segment there is one stretch of ordinals with a mark of what is done, a few words
//! however many messages there are. The writer brings it up to date with what it has written; loading asks it
//! where to read.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::RangeInclusive;

use wasm_edge_store::log::Position;

use crate::journal::codec::HeadLane;
use crate::journal::commit::{Done, LaneId, Place};
use crate::journal::done::DoneSet;

/// All lanes and segments of the log.
#[derive(Debug, Default)]
pub(super) struct Index {
    lanes: HashMap<LaneId, Lane>,
    segments: BTreeMap<u64, SegmentUse>,
    /// Segments that may have nothing left in them.
    idle: BTreeSet<u64>,
    /// Changes when positions do.
    version: u64,
}

/// What of a segment is still needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SegmentUse {
    /// Places that were ever in it.
    pub(super) places: u64,
    /// Those of them that are not done.
    pub(super) live: u64,
}

/// One lane.
#[derive(Debug, Default)]
struct Lane {
    /// The ordinal after the last.
    next: u64,
    /// In the order of segments, and so of ordinals.
    stretches: VecDeque<Stretch>,
    /// From where on a reader finds the messages from this ordinal on.
    hint: Option<(u64, Position)>,
    /// Ordinals whose messages could not be copied any more in a merge; whoever loads next is told.
    lost: Vec<u64>,
}

/// The places of a lane in one segment.
#[derive(Debug, Clone)]
struct Stretch {
    segment: u64,
    /// The record of its first place.
    start: u32,
    last: u64,
    done: DoneSet,
}

/// What to read for a lane next: part of one segment.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) from: Position,
    /// The ordinals wanted are from here on.
    pub(super) first: u64,
    /// To here.
    pub(super) last: u64,
    /// Those that are done as of now.
    pub(super) done: DoneSet,
    /// What [`Index::version`] was.
    pub(super) version: u64,
}

impl Index {
    /// A segment was begun.
    pub(super) fn begin(&mut self, segment: u64) {
        self.segments.entry(segment).or_default();
        self.idle.insert(segment);
    }

    /// A message was written. Ordinals of its segment that were passed over count as done: nobody used their
    /// places, or what was in them was done when the segment was merged.
    pub(super) fn add(&mut self, place: Place, at: Position) {
        if let Some((first, last)) = self.add_after_gap(place, at) {
            self.lose(place.lane, first, last);
        }
    }

    /// As [`Self::add`], with ordinals that were passed over counted as not done; it says which.
    pub(super) fn add_after_gap(&mut self, place: Place, at: Position) -> Option<(u64, u64)> {
        let lane = self.lanes.entry(place.lane).or_default();
        if place.ordinal < lane.next {
            // Only a defect of ours can put two messages in one place; the first one counts.
            return None;
        }
        lane.next = place.ordinal + 1;
        let (gap, places) = match lane.stretches.back_mut() {
            Some(stretch) if stretch.segment == at.segment => {
                let before = std::mem::replace(&mut stretch.last, place.ordinal);
                let gap = (before + 1 < place.ordinal).then(|| (before + 1, place.ordinal - 1));
                (gap, place.ordinal - before)
            }
            _ => {
                lane.stretches.push_back(Stretch::new(place, at));
                (None, 1)
            }
        };
        let segment = self.segments.entry(at.segment).or_default();
        segment.places += places;
        segment.live += places;
        gap
    }

    /// Places of a lane hold nothing any more; says how many of them were not done.
    pub(super) fn lose(&mut self, lane: LaneId, first: u64, last: u64) -> u64 {
        self.mark(Done { lane, first, last }, DoneSet::insert_absent)
    }

    /// Places are done; says how many of them were not before.
    pub(super) fn done(&mut self, done: Done) -> u64 {
        self.mark(done, DoneSet::insert)
    }

    fn mark(&mut self, done: Done, insert: impl Fn(&mut DoneSet, u64, u64) -> u64) -> u64 {
        let Some(lane) = self.lanes.get_mut(&done.lane) else {
            return 0;
        };
        let begin = lane
            .stretches
            .partition_point(|stretch| stretch.last < done.first);
        let mut sum = 0;
        for stretch in lane.stretches.range_mut(begin..) {
            if stretch.done.first() > done.last {
                break;
            }
            let first = done.first.max(stretch.done.first());
            let added = insert(&mut stretch.done, first, done.last.min(stretch.last));
            sum += added;
            if let Some(segment) = self.segments.get_mut(&stretch.segment) {
                segment.live = segment.live.saturating_sub(added);
                if segment.live == 0 {
                    self.idle.insert(stretch.segment);
                }
            }
        }
        sum
    }

    /// The ordinal after the last of a lane, if there is anything of it.
    pub(super) fn next_ordinal(&self, lane: LaneId) -> Option<u64> {
        self.lanes.get(&lane).map(|lane| lane.next)
    }

    /// Whether anything of a lane is in the log, done or not.
    pub(super) fn has_lane(&self, id: LaneId) -> bool {
        self.lanes.contains_key(&id)
    }

    /// Takes a segment with nothing left in it, other than the newest.
    pub(super) fn idle_segment(&mut self, newest: Option<u64>) -> Option<u64> {
        let live = |segment: &u64| {
            self.segments
                .get(segment)
                .is_none_or(|found| found.live > 0)
        };
        self.idle.retain(|segment| !live(segment));
        let found = self.idle.iter().find(|segment| Some(**segment) != newest);
        found.copied()
    }

    /// A segment is gone; says which lanes went with it.
    pub(super) fn remove_segment(&mut self, segment: u64) -> Vec<LaneId> {
        self.version += 1;
        self.segments.remove(&segment);
        self.idle.remove(&segment);
        for lane in self.lanes.values_mut() {
            let place = lane.place_of(segment);
            if let Some(place) = place {
                lane.stretches.remove(place);
            }
            lane.hint = lane.hint.filter(|(_, at)| at.segment != segment);
        }
        self.drop_lanes()
    }

    /// A run of segments was replaced by its first one, which holds these places now; says which lanes went
    /// with the others.
    pub(super) fn replace(
        &mut self,
        run: RangeInclusive<u64>,
        kept: &[(Place, Position)],
    ) -> Vec<LaneId> {
        self.version += 1;
        let first = *run.start();
        let mut stretches: HashMap<LaneId, Stretch> = HashMap::new();
        for (place, at) in kept {
            let stretch = stretches
                .entry(place.lane)
                .or_insert_with(|| Stretch::new(*place, *at));
            if place.ordinal > stretch.last + 1 {
                stretch
                    .done
                    .insert_absent(stretch.last + 1, place.ordinal - 1);
            }
            stretch.last = stretch.last.max(place.ordinal);
        }
        let (mut places, mut live) = (0, 0);
        for (id, lane) in &mut self.lanes {
            let begin = lane
                .stretches
                .partition_point(|stretch| stretch.segment < *run.start());
            let end = lane
                .stretches
                .partition_point(|stretch| stretch.segment <= *run.end());
            let replaced: Vec<Stretch> = lane.stretches.drain(begin..end).collect();
            let kept = stretches.get(id);
            let lost = replaced.iter().flat_map(|old| old.missing_in(kept));
            lane.lost.extend(lost);
            lane.hint = lane.hint.filter(|(_, at)| !run.contains(&at.segment));
            if let Some(mut stretch) = stretches.remove(id) {
                places += stretch.done.live_through(stretch.last);
                // What was done while the messages were copied.
                for old in &replaced {
                    stretch
                        .done
                        .insert_all(&old.done, stretch.last.min(old.last));
                }
                live += stretch.done.live_through(stretch.last);
                lane.stretches.insert(begin, stretch);
            }
        }
        self.segments.retain(|segment, _| !run.contains(segment));
        self.idle.retain(|segment| !run.contains(segment));
        self.segments.insert(first, SegmentUse { places, live });
        if live == 0 {
            self.idle.insert(first);
        }
        self.drop_lanes()
    }

    /// What is still needed of a segment.
    pub(super) fn segment(&self, id: u64) -> SegmentUse {
        self.segments.get(&id).copied().unwrap_or_default()
    }

    /// Whether a message is still wanted at a place.
    pub(super) fn is_live(&self, place: Place) -> bool {
        let Some(lane) = self.lanes.get(&place.lane) else {
            return false;
        };
        let at = lane
            .stretches
            .partition_point(|stretch| stretch.last < place.ordinal);
        lane.stretches.get(at).is_some_and(|stretch| {
            stretch.done.first() <= place.ordinal && !stretch.done.contains(place.ordinal)
        })
    }

    /// Whether no message of the lane is left.
    pub(super) fn is_empty(&self, lane: LaneId) -> bool {
        self.lanes.get(&lane).is_none_or(|lane| {
            let mut stretches = lane.stretches.iter();
            stretches.all(|stretch| stretch.done.live_through(stretch.last) == 0)
        })
    }

    /// Where to read for the messages of a lane from an ordinal on.
    pub(super) fn reading(&self, id: LaneId, from: u64) -> Option<Reading> {
        let lane = self.lanes.get(&id)?;
        let begin = lane
            .stretches
            .partition_point(|stretch| stretch.last < from);
        let mut stretches = lane.stretches.range(begin..);
        let (stretch, first) = stretches.find_map(|stretch| {
            let first = stretch.done.first_live(from, stretch.last)?;
            Some((stretch, first))
        })?;
        let start = Position {
            segment: stretch.segment,
            offset: stretch.start,
        };
        let hint = lane
            .hint
            .filter(|(ordinal, at)| at.segment == stretch.segment && *ordinal <= first);
        Some(Reading {
            from: hint.map_or(start, |(_, at)| at),
            first,
            last: stretch.last,
            done: stretch.done.clone(),
            version: self.version,
        })
    }

    /// Takes the ordinals of a lane that were lost in merges.
    pub(super) fn take_lost(&mut self, id: LaneId) -> Vec<u64> {
        let Some(lane) = self.lanes.get_mut(&id) else {
            return Vec::new();
        };
        let lost = std::mem::take(&mut lane.lost);
        if lane.is_over() {
            self.lanes.remove(&id);
        }
        lost
    }

    /// Changes whenever positions that were told do not hold any more.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// From this position on a reader finds the messages of a lane from an ordinal on.
    pub(super) fn note(&mut self, id: LaneId, ordinal: u64, at: Position) {
        if self.segments.contains_key(&at.segment)
            && let Some(lane) = self.lanes.get_mut(&id)
        {
            lane.hint = Some((ordinal, at));
        }
    }

    /// The state of all lanes for the head of a segment.
    pub(super) fn head_lanes(&self) -> Vec<HeadLane> {
        let lanes = self.lanes.iter().map(|(id, lane)| lane.head(*id));
        let mut lanes: Vec<_> = lanes.collect();
        lanes.sort_by_key(|lane| lane.id);
        lanes
    }

    /// The segment that takes most room in every head, for places in it that are done out of order.
    pub(super) fn most_thinned(&self, newest: Option<u64>) -> Option<u64> {
        let mut thinned: BTreeMap<u64, usize> = BTreeMap::new();
        for stretch in self.lanes.values().flat_map(|lane| &lane.stretches) {
            if Some(stretch.segment) != newest && stretch.done.has_beyond() {
                let bits = stretch.done.bits_beyond();
                let words = bits.iter().map(|(_, words)| words.len() + 1).sum::<usize>();
                *thinned.entry(stretch.segment).or_default() += words;
            }
        }
        let most = thinned.into_iter().max_by_key(|(_, words)| *words);
        most.filter(|(_, words)| *words > 0)
            .map(|(segment, _)| segment)
    }

    /// Lanes with anything in the log.
    pub(super) fn lanes(&self) -> impl Iterator<Item = LaneId> + '_ {
        self.lanes.keys().copied()
    }

    /// The segments of a lane, with how many of its messages are left in each and how many were there.
    pub(super) fn stretches(&self, id: LaneId) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        let stretches = self
            .lanes
            .get(&id)
            .into_iter()
            .flat_map(|lane| &lane.stretches);
        stretches.map(|stretch| {
            let live = stretch.done.live_through(stretch.last);
            (
                stretch.segment,
                live,
                stretch.last + 1 - stretch.done.first(),
            )
        })
    }

    /// About what it takes in memory.
    #[cfg(test)]
    pub(super) fn heap_estimate(&self) -> usize {
        let lanes = self.lanes.values().map(|lane| {
            let bits = lane
                .stretches
                .iter()
                .map(|stretch| stretch.done.heap_bytes());
            size_of::<Lane>()
                + lane.stretches.capacity() * size_of::<Stretch>()
                + bits.sum::<usize>()
        });
        lanes.sum::<usize>() + self.segments.len() * (8 + size_of::<SegmentUse>())
    }

    fn drop_lanes(&mut self) -> Vec<LaneId> {
        let gone = self.lanes.iter().filter(|(_, lane)| lane.is_over());
        let gone: Vec<_> = gone.map(|(id, _)| *id).collect();
        for id in &gone {
            self.lanes.remove(id);
        }
        gone
    }
}

impl Stretch {
    fn new(place: Place, at: Position) -> Self {
        Stretch {
            segment: at.segment,
            start: at.offset,
            last: place.ordinal,
            done: DoneSet::new(place.ordinal),
        }
    }

    /// The ordinals that are not done and are not in what took its place.
    fn missing_in<'a>(&'a self, kept: Option<&'a Stretch>) -> impl Iterator<Item = u64> + 'a {
        let live = (self.done.low()..=self.last).filter(|ordinal| !self.done.contains(*ordinal));
        live.filter(move |ordinal| {
            kept.is_none_or(|kept| {
                !(kept.done.first()..=kept.last).contains(ordinal) || kept.done.contains(*ordinal)
            })
        })
    }
}

impl Lane {
    fn is_over(&self) -> bool {
        self.stretches.is_empty() && self.lost.is_empty()
    }

    fn place_of(&self, segment: u64) -> Option<usize> {
        let place = self
            .stretches
            .binary_search_by_key(&segment, |stretch| stretch.segment);
        place.ok()
    }

    fn head(&self, id: LaneId) -> HeadLane {
        let mut head = HeadLane {
            id,
            low: self.next,
            runs: Vec::new(),
            bits: Vec::new(),
        };
        let mut live = self
            .stretches
            .iter()
            .skip_while(|stretch| stretch.done.low() > stretch.last);
        let Some(first) = live.next() else {
            return head;
        };
        head.low = first.done.low();
        for stretch in std::iter::once(first).chain(live) {
            let (begin, low) = (stretch.done.first(), stretch.done.low());
            if low > begin && begin > head.low {
                head.runs.push((begin, low - 1));
            }
            head.bits.extend(stretch.done.bits_beyond());
        }
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: LaneId = LaneId(1);

    fn at(segment: u64, offset: u32) -> Position {
        Position { segment, offset }
    }

    fn place(ordinal: u64) -> Place {
        Place {
            lane: LANE,
            ordinal,
        }
    }

    fn done(first: u64, last: u64) -> Done {
        Done {
            lane: LANE,
            first,
            last,
        }
    }

    /// So many messages in each of some segments.
    fn filled(segments: u64, messages: u64) -> Index {
        let mut index = Index::default();
        for segment in 0..segments {
            index.begin(segment);
            for number in 0..messages {
                let offset = u32::try_from(number).unwrap();
                index.add(place(segment * messages + number), at(segment, offset));
            }
        }
        index
    }

    #[test]
    fn a_million_messages_take_far_less_than_a_byte_each() {
        let mut index = filled(100, 10_000);
        assert!(index.heap_estimate() < 20_000);
        // Also when every second one was taken out.
        for ordinal in (0..1_000_000).step_by(2) {
            index.done(done(ordinal, ordinal));
        }
        assert!(index.heap_estimate() < 300_000, "{}", index.heap_estimate());
    }

    #[test]
    fn a_segment_can_go_when_all_in_it_is_done_wherever_it_stands() {
        let mut index = filled(4, 10);
        assert_eq!(index.done(done(10, 18)), 9);
        assert_eq!(index.idle_segment(Some(3)), None);
        assert_eq!(index.done(done(5, 19)), 6);
        assert_eq!(index.idle_segment(Some(3)), Some(1));
        assert_eq!(index.remove_segment(1), []);
        assert_eq!(index.idle_segment(Some(3)), None);
        // The newest one stays.
        assert_eq!(index.done(done(30, 39)), 10);
        assert_eq!(index.idle_segment(Some(3)), None);
        assert_eq!(index.idle_segment(None), Some(3));
        let reading = index.reading(LANE, 5).unwrap();
        assert_eq!((reading.from.segment, reading.first), (2, 20));
    }

    #[test]
    fn reading_goes_on_where_it_stopped_and_passes_over_what_is_done() {
        let mut index = filled(3, 10);
        index.note(LANE, 4, at(0, 4));
        let first = |from| {
            let reading = index.reading(LANE, from).unwrap();
            (reading.from, reading.first, reading.last)
        };
        assert_eq!(first(0), (at(0, 0), 0, 9));
        assert_eq!(first(4), (at(0, 4), 4, 9));
        assert_eq!(first(6), (at(0, 4), 6, 9));
        assert_eq!(first(12), (at(1, 0), 12, 19));
        index.done(done(0, 14));
        let reading = index.reading(LANE, 0).unwrap();
        assert_eq!((reading.from, reading.first), (at(1, 0), 15));
        assert!(index.reading(LANE, 30).is_none());
    }

    #[test]
    fn a_head_tells_what_is_done_and_nothing_of_lanes_that_are_gone() {
        let mut index = filled(3, 10);
        index.done(done(0, 2));
        index.done(done(5, 5));
        index.done(done(20, 24));
        let heads = index.head_lanes();
        assert_eq!(heads.len(), 1);
        assert_eq!((heads[0].id, heads[0].low), (LANE, 3));
        assert_eq!(heads[0].runs, [(20, 24)]);
        assert!(heads[0].ordinals().any(|ordinal| ordinal == 5));
        index.done(done(0, 29));
        assert_eq!(index.head_lanes()[0].low, 30);
        for segment in 0..3 {
            index.remove_segment(segment);
        }
        assert_eq!(index.head_lanes(), []);
    }

    #[test]
    fn what_a_merge_could_not_copy_is_lost_and_told_once() {
        let mut index = filled(2, 10);
        index.done(done(0, 4));
        index.done(done(10, 18));
        let kept = [(place(6), at(0, 0)), (place(8), at(0, 0))];
        index.replace(0..=1, &kept);
        assert_eq!(index.take_lost(LANE), [5, 7, 9, 19]);
        assert_eq!(index.take_lost(LANE), [0; 0]);
        assert!(index.is_live(place(6)) && !index.is_live(place(7)));
        assert_eq!(index.segment(0).live, 2);
        index.done(done(6, 8));
        assert_eq!(index.remove_segment(0), [LANE]);
    }
}

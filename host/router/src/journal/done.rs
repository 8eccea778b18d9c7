//! Which places of a stretch of one lane are done.
//!
//! Pure. As a lane is emptied from its front, the mark `low` tells nearly all; what is done beyond it is a
//! bit each, so that even a lane from which every second message was taken out costs an eighth of a byte per
//! message. The index keeps one of these per lane and segment.

/// Bits in a word.
const WORD_BITS: u64 = 64;

/// Places of the ordinals from a first one on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DoneSet {
    /// The ordinal of the first bit.
    first: u64,
    /// All before it are done, it is not.
    low: u64,
    /// Those done beyond `low`; bits before it mean nothing. As long as it has to be.
    words: Vec<u64>,
    /// How many bits beyond `low` are set.
    beyond: u64,
    /// Those of the bits whose places are not in the segment at all: nobody has to be told of them.
    absent: Vec<u64>,
}

impl DoneSet {
    /// Nothing from `first` on is done.
    pub(super) fn new(first: u64) -> Self {
        DoneSet {
            first,
            low: first,
            words: Vec::new(),
            beyond: 0,
            absent: Vec::new(),
        }
    }

    /// The first ordinal that is not done.
    pub(super) fn low(&self) -> u64 {
        self.low
    }

    /// The ordinal it begins with.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Marks those of another set up to `last`, both of the same lane.
    pub(super) fn insert_all(&mut self, other: &DoneSet, last: u64) {
        let first = self.first.max(other.first);
        if other.low > first {
            self.insert(first, last.min(other.low - 1));
        }
        for (base, words) in other.bits_beyond() {
            for ordinal in set_bits(base, &words) {
                if (first..=last).contains(&ordinal) {
                    self.insert(ordinal, ordinal);
                }
            }
        }
    }

    /// How many are not done up to `last`, beyond which none is.
    pub(super) fn live_through(&self, last: u64) -> u64 {
        (last + 1).saturating_sub(self.low) - self.beyond
    }

    /// The first of a range that is not done, both ends included.
    pub(super) fn first_live(&self, from: u64, last: u64) -> Option<u64> {
        (from.max(self.low)..=last).find(|ordinal| !self.bit(*ordinal))
    }

    pub(super) fn contains(&self, ordinal: u64) -> bool {
        ordinal < self.low || self.bit(ordinal)
    }

    /// Marks a range, both ends included; says how many of it were not done before.
    pub(super) fn insert(&mut self, from: u64, to: u64) -> u64 {
        let from = from.max(self.low);
        if from > to {
            return 0;
        }
        let mut added = 0;
        if from == self.low {
            added = to + 1 - from - self.count(from, to);
            self.beyond -= to + 1 - from - added;
            self.low = to + 1;
            while self.beyond > 0 && self.bit(self.low) {
                self.beyond -= 1;
                self.low += 1;
            }
            if self.beyond == 0 {
                self.words = Vec::new();
                self.absent = Vec::new();
            }
            return added;
        }
        for ordinal in from..=to {
            let (word, mask) = self.place(ordinal);
            if word >= self.words.len() {
                self.words.resize(word + 1, 0);
            }
            added += u64::from(self.words[word] & mask == 0);
            self.words[word] |= mask;
        }
        self.beyond += added;
        added
    }

    /// Marks places as done that are not there; says how many of them were not done before.
    pub(super) fn insert_absent(&mut self, from: u64, to: u64) -> u64 {
        let added = self.insert(from, to);
        for ordinal in from.max(self.low)..=to {
            let (word, mask) = self.place(ordinal);
            if word >= self.absent.len() {
                self.absent.resize(word + 1, 0);
            }
            self.absent[word] |= mask;
        }
        added
    }

    /// Those done beyond the low mark that are there, as runs of bits, each with the ordinal of its first bit.
    /// There may be some before the low mark too.
    pub(super) fn bits_beyond(&self) -> Vec<(u64, Vec<u64>)> {
        let mut runs: Vec<(u64, Vec<u64>)> = Vec::new();
        if self.beyond == 0 {
            return runs;
        }
        let (first, _) = self.place(self.low);
        let mut follows = false;
        for (place, word) in self.words.iter().enumerate().skip(first) {
            let word = word & !self.absent.get(place).copied().unwrap_or(0);
            if word == 0 {
                follows = false;
                continue;
            }
            match runs.last_mut().filter(|_| follows) {
                Some((_, words)) => words.push(word),
                None => runs.push((self.first + place as u64 * WORD_BITS, vec![word])),
            }
            follows = true;
        }
        runs
    }

    /// Whether any is done beyond the low mark.
    pub(super) fn has_beyond(&self) -> bool {
        self.beyond > 0
    }

    /// What it takes in memory beside itself.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        (self.words.capacity() + self.absent.capacity()) * 8
    }

    fn count(&self, from: u64, to: u64) -> u64 {
        if self.beyond == 0 {
            return 0;
        }
        let end = self.first + self.words.len() as u64 * WORD_BITS;
        (from..=to.min(end))
            .filter(|ordinal| self.bit(*ordinal))
            .count() as u64
    }

    fn bit(&self, ordinal: u64) -> bool {
        let (word, mask) = self.place(ordinal);
        self.words.get(word).is_some_and(|word| word & mask != 0)
    }

    fn place(&self, ordinal: u64) -> (usize, u64) {
        let index = ordinal - self.first;
        let word = usize::try_from(index / WORD_BITS).expect("a stretch fits into a segment");
        (word, 1 << (index % WORD_BITS))
    }
}

/// The ordinals whose bits are set, from that of the first bit on.
pub(super) fn set_bits(base: u64, words: &[u64]) -> impl Iterator<Item = u64> + '_ {
    words.iter().enumerate().flat_map(move |(place, word)| {
        let set = (0..WORD_BITS).filter(move |bit| word & (1 << bit) != 0);
        set.map(move |bit| base.saturating_add(place as u64 * WORD_BITS + bit))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lane_emptied_from_its_front_needs_no_bits() {
        let mut done = DoneSet::new(1_000);
        for ordinal in 1_000..5_000 {
            assert_eq!(done.insert(ordinal, ordinal), 1);
            assert_eq!(done.heap_bytes(), 0);
        }
        assert_eq!(done.low(), 5_000);
        assert_eq!(done.live_through(4_999), 0);
    }

    #[test]
    fn every_second_one_costs_an_eighth_of_a_byte() {
        let mut done = DoneSet::new(0);
        for ordinal in (1..8_000).step_by(2) {
            done.insert(ordinal, ordinal);
        }
        assert!(done.heap_bytes() <= 2 * 8_000 / 8);
        assert_eq!(done.live_through(7_999), 4_000);
    }

    #[test]
    fn places_that_are_not_there_need_not_be_told() {
        let mut done = DoneSet::new(0);
        assert_eq!(done.insert_absent(3, 70), 68);
        assert_eq!(done.insert(2, 2), 1);
        assert_eq!(done.insert_absent(200, 200), 1);
        assert_eq!(done.insert(201, 201), 1);
        assert_eq!(done.low(), 0);
        let told: Vec<u64> = done
            .bits_beyond()
            .iter()
            .flat_map(|(base, words)| set_bits(*base, words))
            .collect();
        assert_eq!(told, [2, 201]);
    }

    proptest! {
        #[test]
        fn it_is_as_good_as_a_set(first in 0..100_u64, ranges in prop::collection::vec((0..300_u64, 0..80_u64), 0..40)) {
            let (mut done, mut naive) = (DoneSet::new(first), BTreeSet::new());
            for (from, length) in ranges {
                let from = first + from;
                let before = naive.len();
                naive.extend(from..=from + length);
                prop_assert_eq!(done.insert(from, from + length), (naive.len() - before) as u64);
            }
            for ordinal in first..first + 400 {
                prop_assert_eq!(done.contains(ordinal), naive.contains(&ordinal));
            }
            let last = first + 399;
            prop_assert_eq!(done.live_through(last), 400 - naive.len() as u64);
            prop_assert_eq!(Some(done.low()), (first..).find(|ordinal| !naive.contains(ordinal)));
            // The low mark and the bits make the same set again.
            let mut again = DoneSet::new(first);
            if done.low() > first {
                again.insert(first, done.low() - 1);
            }
            for (base, words) in done.bits_beyond() {
                for ordinal in set_bits(base, &words) {
                    again.insert(ordinal, ordinal);
                }
            }
            for ordinal in first..first + 400 {
                prop_assert_eq!(again.contains(ordinal), naive.contains(&ordinal));
            }
        }
    }
}

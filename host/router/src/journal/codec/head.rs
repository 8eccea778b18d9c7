//! The head record of a segment: what of the segments before is done, and where counting goes on.
//!
//! With it, the records in older segments that say what is done are not needed any more, and a segment whose
//! messages are all done can go.

use crate::journal::commit::LaneId;
use crate::journal::done::set_bits;
use crate::journal::elapsed::ClockStamp;
use crate::journal::wire::{Malformed, Reader, put_number};

/// What the head of a segment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::journal) struct Head {
    /// The segment was written anew without what was done: ordinals between its messages are no sign of
    /// damage. Then there are no lanes here.
    pub(in crate::journal) is_merged: bool,
    /// Which store it is.
    pub(in crate::journal) store: u32,
    pub(in crate::journal) epoch: u32,
    /// No lane has this number or a greater one.
    pub(in crate::journal) next_lane: u32,
    pub(in crate::journal) clock: ClockStamp,
    pub(in crate::journal) lanes: Vec<HeadLane>,
}

/// What is done of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::journal) struct HeadLane {
    pub(in crate::journal) id: LaneId,
    /// All before this ordinal are done.
    pub(in crate::journal) low: u64,
    /// Runs beyond it that are done, both ends included.
    pub(in crate::journal) runs: Vec<(u64, u64)>,
    /// Ordinals beyond it that are done, as bits from an ordinal on.
    pub(in crate::journal) bits: Vec<(u64, Vec<u64>)>,
}

impl Head {
    pub(in crate::journal) fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_merged));
        out.extend_from_slice(&self.store.to_le_bytes());
        put_number(out, u64::from(self.epoch));
        put_number(out, u64::from(self.next_lane));
        self.clock.encode(out);
        put_number(out, self.lanes.len() as u64);
        for lane in &self.lanes {
            lane.encode(out);
        }
    }

    pub(in crate::journal) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let is_merged = reader.byte("flags")? != 0;
        let store = u32::from_le_bytes(reader.array("store")?);
        let epoch = reader.small("epoch")?;
        let next_lane = reader.small("lane")?;
        let clock = ClockStamp::decode(&mut reader)?;
        let count = reader.count("number of lanes")?;
        let mut lanes = Vec::new();
        for _ in 0..count {
            lanes.push(HeadLane::decode(&mut reader)?);
        }
        Ok(Head {
            is_merged,
            store,
            epoch,
            next_lane,
            clock,
            lanes,
        })
    }

    /// What it takes, about: no less.
    pub(in crate::journal) fn size_bytes(&self) -> usize {
        let lanes = self.lanes.iter().map(HeadLane::size_bytes);
        128 + lanes.sum::<usize>()
    }
}

impl HeadLane {
    fn size_bytes(&self) -> usize {
        let words: usize = self.bits.iter().map(|(_, words)| words.len() + 1).sum();
        30 + self.runs.len() * 20 + words * 10
    }

    /// The ordinals whose bits are set.
    pub(in crate::journal) fn ordinals(&self) -> impl Iterator<Item = u64> + '_ {
        let bits = self.bits.iter();
        bits.flat_map(|(base, words)| set_bits(*base, words))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, u64::from(self.id.0));
        put_number(out, self.low);
        put_number(out, self.runs.len() as u64);
        for (first, last) in &self.runs {
            put_number(out, *first);
            put_number(out, last.saturating_sub(*first));
        }
        put_number(out, self.bits.len() as u64);
        for (base, words) in &self.bits {
            put_number(out, *base);
            put_number(out, words.len() as u64);
            for word in words {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let what = "lane's state";
        let id = LaneId(reader.small(what)?);
        let low = reader.number(what)?;
        let mut runs = Vec::new();
        for _ in 0..reader.count(what)? {
            let first = reader.number(what)?;
            let last = first.checked_add(reader.number(what)?);
            runs.push((first, last.ok_or(Malformed { what })?));
        }
        let mut bits = Vec::new();
        for _ in 0..reader.count(what)? {
            let base = reader.number(what)?;
            let mut words = Vec::new();
            for _ in 0..reader.count(what)? {
                words.push(u64::from_le_bytes(reader.array(what)?));
            }
            bits.push((base, words));
        }
        Ok(HeadLane {
            id,
            low,
            runs,
            bits,
        })
    }
}

//! Power cuts, kills and failing disks at random moments, against a model: what is found afterwards is a
//! prefix of what was submitted and holds all that was acknowledged.
//!
//! The writer runs on the thread of the test, so that a seed gives the same run again.

use std::collections::{BTreeMap, VecDeque};

use wasm_edge_store::disk::faults::Survivors;
use wasm_edge_store::log::site;
use wasm_edge_store::volume::SyncSite;

use super::*;

/// Lanes of the chain: what is handled in one goes on to the next.
const LANES: usize = 3;

/// What is in a place: the message's text and its identity.
type Live = BTreeMap<(usize, u64), (String, Sequence)>;

/// Random numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        // The constants of Knuth's MMIX generator; its high bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % end as u64).unwrap()
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// One commit as the model knows it.
struct Event {
    done: Vec<(usize, u64)>,
    sent: Vec<((usize, u64), String, Sequence)>,
    durability: Durability,
    told: oneshot::Receiver<()>,
    is_told: bool,
}

/// One process: from opening the journal to its end.
struct Process {
    journal: Journal,
    writer: Writer,
    handles: Vec<LaneHandle>,
    first_sequence: Sequence,
    next_sequence: Sequence,
    /// What was there at the beginning.
    base: Live,
    /// What is there if all that was submitted happens.
    live: Live,
    events: Vec<Event>,
    goes_on: bool,
}

struct Plan {
    segment_bytes: u32,
    max_bytes: u64,
    /// How likely an operation is one that sends.
    sends_percent: usize,
    /// How likely a commit is acknowledged only when it is synced.
    power_percent: usize,
    /// How likely the message that is handled is not the first of its lane.
    random_percent: usize,
}

impl Process {
    fn start(volume: &SimulatedVolume, plan: &Plan) -> Result<Self, String> {
        let settings = Settings {
            max_bytes: plan.max_bytes,
            segment_bytes: plan.segment_bytes,
            machine: settings(0).machine,
        };
        let opened = Journal::prepare(Arc::new(volume.clone()), settings);
        let (shared, mut writer, recovered) = opened.map_err(|error| error.to_string())?;
        if recovered.damaged_records > 0 || recovered.damaged_messages > 0 {
            return Err(format!("damage: {recovered:?}"));
        }
        // A writer that is to end does not try for ever.
        shared.intake.close();
        let journal = Journal::new(shared, None);
        let mut handles: BTreeMap<LaneName, LaneHandle> = BTreeMap::new();
        let mut counted = 0;
        for lane in recovered.lanes {
            counted += lane.messages;
            handles.insert(lane.name, lane.handle);
        }
        let names = (0..LANES).map(|lane| lane_name(&lane.to_string()));
        let handles: Vec<_> = names
            .map(|name| handles.remove(&name).unwrap_or_else(|| journal.lane(&name)))
            .collect();
        let mut base = Live::new();
        for (lane, handle) in handles.iter().enumerate() {
            let loaded = journal.load(handle.id(), None, usize::MAX, usize::MAX);
            let loaded = loaded.map_err(|error| error.to_string())?;
            if !loaded.damaged.is_empty() || !loaded.is_end {
                return Err(format!("damage: {:?}", loaded.damaged));
            }
            let mut last = None;
            for stored in loaded.messages {
                if last.is_some_and(|last| last >= stored.sequence) {
                    return Err("sequences do not grow in a lane".into());
                }
                last = Some(stored.sequence);
                let text = String::from_utf8(stored.message.body.to_vec()).unwrap();
                base.insert((lane, stored.place.ordinal), (text, stored.id));
            }
        }
        if counted != base.len() {
            return Err(format!("{counted} counted, {} there", base.len()));
        }
        let goes_on = writer.begin_now();
        Ok(Process {
            journal,
            writer,
            handles,
            first_sequence: recovered.next_sequence,
            next_sequence: recovered.next_sequence,
            live: base.clone(),
            base,
            events: Vec::new(),
            goes_on,
        })
    }

    fn text(&mut self, dice: &mut Dice) -> String {
        let length = match dice.below(20) {
            0 => 1_000,
            1..8 => 400,
            _ => 20,
        };
        format!("{:?}{}", self.next_sequence, "x".repeat(dice.below(length)))
    }

    fn submit(
        &mut self,
        done: Vec<(usize, u64)>,
        lanes: &[Vec<usize>],
        plan: &Plan,
        dice: &mut Dice,
    ) {
        let mut commit = Commit::default();
        let mut sent = Vec::new();
        for (lane, ordinal) in &done {
            self.live.remove(&(*lane, *ordinal));
            commit.done.push(Done::from(Place {
                lane: self.handles[*lane].id(),
                ordinal: *ordinal,
            }));
        }
        for lanes in lanes {
            let text = self.text(dice);
            let sequence = self.next_sequence;
            self.next_sequence = sequence.next();
            let mut places = Vec::new();
            for lane in lanes {
                let place = self.handles[*lane].next_place();
                let key = (*lane, place.ordinal);
                places.push(place);
                self.live.insert(key, (text.clone(), sequence));
                sent.push((key, text.clone(), sequence));
            }
            commit.messages.push(new_message(sequence, &text, &places));
        }
        let durability = if dice.percent(plan.power_percent) {
            Durability::Power
        } else {
            Durability::Process
        };
        let (tell, told) = oneshot::channel();
        self.journal.submit(commit, durability, Some(tell));
        self.events.push(Event {
            done,
            sent,
            durability,
            told,
            is_told: false,
        });
    }

    /// One thing that a device does.
    fn act(&mut self, plan: &Plan, dice: &mut Dice) -> Result<(), String> {
        if dice.percent(25) {
            self.goes_on &= self.writer.step_now();
            return self.look();
        }
        if dice.percent(5) {
            return self.check_loads(dice);
        }
        let bytes: usize = self.live.values().map(|(text, _)| text.len() + 200).sum();
        if dice.percent(plan.sends_percent) && bytes < usize::try_from(plan.max_bytes / 2).unwrap()
        {
            let mut lanes = vec![0];
            if dice.percent(20) {
                lanes.push(2);
            }
            self.submit(Vec::new(), &[lanes], plan, dice);
            return Ok(());
        }
        let lane = dice.below(LANES);
        let mut mine: VecDeque<_> = self.live.range((lane, 0)..(lane + 1, 0)).collect();
        let Some(first) = mine.pop_front() else {
            return Ok(());
        };
        let first = *first.0;
        if dice.percent(5) {
            let some: Vec<_> = mine.iter().take(10).map(|(key, _)| **key).collect();
            self.submit(some, &[], plan, dice);
            return Ok(());
        }
        let taken = if dice.percent(plan.random_percent) && !mine.is_empty() {
            *mine[dice.below(mine.len())].0
        } else {
            first
        };
        let next = if lane + 1 < LANES { dice.below(3) } else { 0 };
        let lanes = vec![vec![(lane + 1) % LANES]; next];
        self.submit(vec![taken], &lanes, plan, dice);
        Ok(())
    }

    /// Hears what was acknowledged, which is in the order of the commits.
    fn look(&mut self) -> Result<(), String> {
        for event in &mut self.events {
            if !event.is_told {
                event.is_told = event.told.try_recv().is_ok();
            }
        }
        for durability in [Durability::Process, Durability::Power] {
            let told = self
                .events
                .iter()
                .filter(|event| event.durability == durability);
            if !told.map(|event| event.is_told).is_sorted_by(|a, b| a >= b) {
                return Err("acknowledged out of order".into());
            }
        }
        Ok(())
    }

    fn check_loads(&self, dice: &mut Dice) -> Result<(), String> {
        let lane = dice.below(LANES);
        let written = self.journal.written_through();
        let loaded = self
            .journal
            .load(self.handles[lane].id(), None, usize::MAX, usize::MAX)
            .map_err(|error| error.to_string())?;
        let found: Vec<_> = loaded
            .messages
            .iter()
            .map(|stored| (stored.place.ordinal, stored.id))
            .collect();
        let expected: Vec<_> = self
            .live
            .range((lane, 0)..(lane + 1, 0))
            .filter(|(_, (_, id))| *id <= written)
            .map(|((_, ordinal), (_, id))| (*ordinal, *id))
            .collect();
        if found == expected && loaded.damaged.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "lane {lane}: loaded {found:?}, expected {expected:?}"
            ))
        }
    }

    /// Compares what another process finds with what this one had submitted and heard.
    fn check_end(&self, found: &Live, crash: Crash) -> Result<(), String> {
        let acknowledged = self
            .events
            .iter()
            .rposition(|event| event.is_told && event.durability >= crash.weakest())
            .map_or(0, |last| last + 1);
        let mut live = self.base.clone();
        for end in 0..=self.events.len() {
            if end >= acknowledged && self.is_reached(&live, found, end) {
                return Ok(());
            }
            let Some(event) = self.events.get(end) else {
                break;
            };
            for place in &event.done {
                live.remove(place);
            }
            for (place, text, id) in &event.sent {
                live.insert(*place, (text.clone(), *id));
            }
        }
        Err(format!(
            "found is no prefix of {} commits, {acknowledged} of which were acknowledged",
            self.events.len(),
        ))
    }

    /// Whether `found` is what is live, less what later commits do that say nothing else.
    fn is_reached(&self, live: &Live, found: &Live, end: usize) -> bool {
        if found
            .iter()
            .any(|(place, what)| live.get(place) != Some(what))
        {
            return false;
        }
        let later = self.events[end..]
            .iter()
            .filter(|event| event.sent.is_empty());
        let done: Vec<_> = later.flat_map(|event| &event.done).collect();
        let mut missing = live.keys().filter(|place| !found.contains_key(place));
        missing.all(|place| done.contains(&place))
    }
}

/// How a process ends.
#[derive(Clone, Copy, PartialEq)]
enum Crash {
    /// What was not synced is there in part.
    Power,
    /// The system goes on with what it has in memory, and may lose it at the next power cut.
    Kill,
}

impl Crash {
    /// The weakest durability that outlasts it.
    fn weakest(self) -> Durability {
        match self {
            Crash::Power => Durability::Power,
            Crash::Kill => Durability::Process,
        }
    }
}

/// Some processes one after the other on one volume, each ended by a crash. Returns how many there were.
fn run(seed: u64, off: Option<SyncSite>) -> Result<usize, String> {
    let mut dice = Dice(seed);
    let segment_bytes = [512, 2_048, 8_192][dice.below(3)];
    let plan = Plan {
        segment_bytes,
        max_bytes: u64::from(segment_bytes) * [12, 24][dice.below(2)],
        sends_percent: 20 + dice.below(60),
        power_percent: [0, 30, 95][dice.below(3)],
        random_percent: [5, 80][dice.below(2)],
    };
    let mut volume = SimulatedVolume::new(seed);
    let mut previous: Option<(Process, Crash)> = None;
    // Those up to here may be known outside.
    let mut given = Sequence::default();
    let crashes = 1 + dice.below(5);
    for _ in 0..=crashes {
        if let Some(off) = off {
            volume.switch_off(off);
        }
        volume.fail_one_in(None);
        let crash = if dice.percent(75) {
            Crash::Power
        } else {
            Crash::Kill
        };
        if crash == Crash::Power {
            // Some of these moments are in the middle of opening.
            let length = [12, 100, 600][dice.below(3)];
            let operations = volume.figures().operations;
            volume.cut_power_at(operations + dice.below(length));
        }
        let started = Process::start(&volume, &plan);
        if started.is_err() && volume.is_dead() {
            volume = volume.after_power_cut(Survivors::Torn(dice.0));
            if let Some((_, crash)) = &mut previous {
                *crash = Crash::Power;
            }
            continue;
        }
        let mut process = started?;
        if process.first_sequence <= given {
            return Err(format!("{given:?} is given out again"));
        }
        if let Some((previous, crash)) = previous.take() {
            previous.check_end(&process.base, crash)?;
        }
        if dice.percent(50) {
            volume.fail_one_in(Some(5 + dice.below(50)));
        }
        let acts = [100, 1_000][dice.below(2)];
        for _ in 0..dice.below(acts) {
            if volume.is_dead() || !process.goes_on {
                break;
            }
            process.act(&plan, &mut dice)?;
        }
        process.look()?;
        given = given.max(process.journal.written_through());
        if crash == Crash::Power {
            volume = volume.after_power_cut(Survivors::Torn(dice.0));
        }
        previous = Some((process, crash));
    }
    Ok(crashes + 1)
}

/// How many crashes the test of them makes; the soak test asks for more.
fn crashes_wanted() -> usize {
    let wanted = std::env::var("WASM_EDGE_SOAK_CRASHES").ok();
    wanted.map_or(300, |wanted| wanted.parse().expect("a number of crashes"))
}

#[test]
fn after_any_crash_what_is_found_is_a_prefix_with_all_that_was_acknowledged() {
    let first = std::env::var("WASM_EDGE_SOAK_SEED").ok();
    let first: u64 = first.map_or(0, |seed| seed.parse().expect("a seed"));
    let mut crashes = 0;
    for seed in first.. {
        crashes += run(seed, None).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        if crashes > crashes_wanted() {
            break;
        }
    }
}

#[test]
fn each_sync_of_the_log_is_missed_within_two_thousand_cuts() {
    for off in site::ALL {
        let mut crashes = 0;
        let failed = (0..).any(|seed| {
            let result = run(seed, Some(off));
            crashes += result.as_ref().copied().unwrap_or(1);
            assert!(crashes <= 2_000, "nothing fails without {off:?}");
            result.is_err()
        });
        assert!(failed);
    }
}

mod crash;
mod restart;
mod story;
mod trouble;

use std::time::Duration;

use bytes::Bytes;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::{InputName, Message, MessageSource, OutputName, SystemProperty};
use wasm_edge_store::volume::simulated::SimulatedVolume;

use super::commit::{Done, LaneKind, NewMessage, NewTarget, Place, Stored};
use super::elapsed::ClockReading;
use super::*;
use crate::endpoint::Endpoint;

/// The machine's clocks, set by a test.
#[derive(Debug)]
struct SetClock(Mutex<ClockReading>);

impl MachineClock for SetClock {
    fn read(&self) -> ClockReading {
        *lock(&self.0)
    }
}

fn settings(segment_bytes: u32) -> JournalSettings {
    let reading = ClockReading {
        boot_id: [1; 16],
        since_boot: Duration::from_secs(10),
        wall: Duration::from_secs(1_700_000_000),
        is_synchronised: true,
    };
    JournalSettings {
        max_bytes: MAX_BYTES_MIN,
        segment_bytes,
        machine: Arc::new(SetClock(Mutex::new(reading))),
    }
}

fn open(volume: &SimulatedVolume) -> (Journal, Recovered) {
    Journal::open(Arc::new(volume.clone()), settings(4096)).unwrap()
}

fn lane_name(input: &str) -> LaneName {
    LaneName {
        endpoint: Endpoint::Module {
            module: ModuleId::new("filter").unwrap(),
            input: InputName::new(input).unwrap(),
        },
        priority: 3,
        sender: None,
        kind: LaneKind::Waiting,
    }
}

fn message(text: &str) -> Message {
    let mut message = Message {
        body: Bytes::copy_from_slice(text.as_bytes()),
        ..Message::default()
    };
    message.properties.set("kind", "reading");
    let system = &mut message.system;
    system.set(SystemProperty::ConnectionModuleId, "sensor");
    system.set(SystemProperty::OutputName, "out");
    system.set(SystemProperty::ContentType, "text/plain");
    message
}

fn source() -> MessageSource {
    MessageSource::Module {
        module: ModuleId::new("sensor").unwrap(),
        output: Some(OutputName::new("out").unwrap()),
    }
}

fn new_message(sequence: Sequence, text: &str, places: &[Place]) -> NewMessage {
    let targets = places.iter().map(|place| NewTarget {
        place: *place,
        time_to_live: None,
    });
    NewMessage {
        sequence,
        id: sequence,
        message: Arc::new(message(text)),
        source: Arc::new(source()),
        targets: targets.collect(),
        charge_bytes: 100 + text.len(),
        taken_at: wasm_edge_clock::now(),
        aside: None,
    }
}

fn done(place: Place) -> Commit {
    Commit {
        done: vec![Done::from(place)],
        messages: Vec::new(),
    }
}

fn sent(message: NewMessage) -> Commit {
    Commit {
        done: Vec::new(),
        messages: vec![message],
    }
}

/// Submits and waits until it has happened.
fn commit(journal: &Journal, commit: Commit, durability: Durability) {
    let (tell, told) = oneshot::channel();
    journal.submit(commit, durability, Some(tell));
    told.blocking_recv().expect("the writer goes on");
}

fn load_all(journal: &Journal, lane: LaneId) -> Vec<Stored> {
    let mut all: Vec<Stored> = Vec::new();
    loop {
        let after = all.last().map(|stored| stored.place.ordinal);
        let loaded = journal.load(lane, after, 16, 4096).unwrap();
        assert_eq!(loaded.damaged, []);
        all.extend(loaded.messages);
        if loaded.is_end {
            return all;
        }
    }
}

fn texts(stored: &[Stored]) -> Vec<&str> {
    let texts = stored
        .iter()
        .map(|stored| std::str::from_utf8(&stored.message.body));
    texts.map(Result::unwrap).collect()
}

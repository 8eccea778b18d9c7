use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::time::Instant;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::{
    InputName, Message, MessageSource, OutputName, Properties, SystemProperties, SystemProperty,
};

use super::*;
use crate::aside::AsideReason;
use crate::endpoint::Endpoint;
use crate::journal::commit::{AsideNote, LaneKind, NewTarget};
use crate::journal::elapsed::ClockReading;
use crate::tries::Tries;

fn module() -> impl Strategy<Value = ModuleId> {
    "[a-zA-Z0-9_-]{1,20}".prop_map(|text| ModuleId::new(&text).unwrap())
}

fn source() -> impl Strategy<Value = MessageSource> {
    let output = prop::option::of("[a-z]{1,10}".prop_map(|text| OutputName::new(&text).unwrap()));
    prop_oneof![
        (module(), output).prop_map(|(module, output)| MessageSource::Module { module, output }),
        module().prop_map(|module| MessageSource::TwinChange { module }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let all: Vec<SystemProperty> = SystemProperty::all().collect();
    let system = prop::collection::vec((prop::sample::select(all), "[a-zé ]{0,12}"), 0..8);
    let properties = prop::collection::vec(("[a-z]{1,8}", ".{0,12}"), 0..6);
    let body = prop::collection::vec(any::<u8>(), 0..400);
    (system, properties, body).prop_map(|(system, properties, body)| Message {
        body: Bytes::from(body),
        properties: Properties::from_iter(properties),
        system: SystemProperties::from_iter(system),
    })
}

fn note() -> impl Strategy<Value = AsideNote> {
    let reasons = vec![
        AsideReason::Rejected,
        AsideReason::TriesExhausted,
        AsideReason::RetriesExhausted,
    ];
    let numbers = any::<(u32, u32, u32)>();
    (prop::sample::select(reasons), ".{0,20}", numbers).prop_map(
        |(reason, detail, (failed, retried, priority))| AsideNote {
            reason,
            detail,
            tries: Tries { failed, retried },
            priority,
        },
    )
}

fn target() -> impl Strategy<Value = NewTarget> {
    let time_to_live = prop::option::of((0..u64::MAX / 2).prop_map(Duration::from_millis));
    (any::<u32>(), any::<u64>(), time_to_live).prop_map(|(lane, ordinal, time_to_live)| NewTarget {
        place: Place {
            lane: LaneId(lane),
            ordinal,
        },
        time_to_live,
    })
}

fn new_message() -> impl Strategy<Value = NewMessage> {
    let targets = prop::collection::vec(target(), 1..5);
    let what = (message(), source(), targets, prop::option::of(note()));
    (any::<(u64, bool, u32)>(), what).prop_map(
        |((sequence, is_again, charge), (message, source, targets, aside))| NewMessage {
            sequence: Sequence::new(sequence),
            id: Sequence::new(if is_again { sequence / 2 } else { sequence }),
            message: Arc::new(message),
            source: Arc::new(source),
            targets,
            charge_bytes: charge as usize,
            taken_at: Instant::now(),
            aside,
        },
    )
}

fn commit() -> impl Strategy<Value = Commit> {
    let done = any::<(u32, u32, u32)>().prop_map(|(lane, first, more)| Done {
        lane: LaneId(lane),
        first: first.into(),
        last: u64::from(first) + u64::from(more),
    });
    let done = prop::collection::vec(done, 0..5);
    let messages = prop::collection::vec(new_message(), 0..4);
    (done, messages).prop_map(|(done, messages)| Commit { done, messages })
}

fn encoded(commit: &Commit) -> Vec<u8> {
    let clock = ElapsedClock::new(0, Instant::now());
    let parts = parts(commit);
    assert_eq!(parts.len(), 1);
    let mut out = Vec::new();
    encode_part(&mut out, commit, &parts[0], &clock);
    out
}

fn same(new: &NewMessage, record: &MessageRecord<'_>) -> Result<(), TestCaseError> {
    prop_assert_eq!(new.sequence, record.sequence);
    prop_assert_eq!(new.id, record.id);
    prop_assert_eq!(new.charge_bytes, record.charge_bytes);
    let targets = new.targets.iter().map(|target| TargetRecord {
        place: target.place,
        time_to_live: target.time_to_live,
    });
    prop_assert_eq!(targets.collect::<Vec<_>>(), record.targets.clone());
    let content = Content::decode(record.content).unwrap();
    prop_assert_eq!(&content.message, &*new.message);
    prop_assert_eq!(&content.source, &*new.source);
    prop_assert_eq!(&content.aside, &new.aside);
    let sender = Content::sender(record.content).unwrap();
    prop_assert_eq!(sender, new.source.module().as_str());
    Ok(())
}

proptest! {
    #[test]
    fn commits_come_back_as_they_were(commit in commit()) {
        let bytes = encoded(&commit);
        let estimate: usize = commit.messages.iter().map(message_bytes).sum();
        prop_assert!(bytes.len() <= estimate + 8 + commit.done.len() * PLACE_BYTES);
        let Ok(Record::Commit(record)) = decode(&bytes) else {
            panic!("a commit");
        };
        prop_assert!(record.is_last && record.index == 0);
        prop_assert_eq!(&record.done, &commit.done);
        let messages: Vec<_> = record.messages.map(Result::unwrap).collect();
        prop_assert_eq!(messages.len(), commit.messages.len());
        for (new, record) in commit.messages.iter().zip(&messages) {
            same(new, record)?;
        }
        // And again when they are copied.
        let mut copy = Vec::new();
        encode_kept(&mut copy, &messages);
        let Ok(Record::Commit(record)) = decode(&copy) else {
            panic!("a commit");
        };
        for (new, record) in commit.messages.iter().zip(record.messages) {
            same(new, &record.unwrap())?;
        }
    }

    #[test]
    fn whatever_stands_in_a_record_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 1..4_u8) {
        let mut record = vec![kind];
        record.extend_from_slice(&bytes);
        for payload in [&bytes, &record] {
            if let Ok(Record::Commit(commit)) = decode(payload) {
                for message in commit.messages.map_while(Result::ok) {
                    let _ = Content::decode(message.content);
                }
            }
            let _ = Head::decode(payload);
        }
    }

    #[test]
    fn what_is_cut_off_is_refused(commit in commit(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(&commit);
        prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
    }
}

#[test]
fn lanes_and_heads_come_back() {
    let names = [
        LaneName {
            endpoint: Endpoint::Upstream,
            priority: 2_000_000_000,
            sender: Some(ModuleId::new("sensor").unwrap()),
            kind: LaneKind::Waiting,
        },
        LaneName {
            endpoint: Endpoint::Module {
                module: ModuleId::new("filter").unwrap(),
                input: InputName::new("in").unwrap(),
            },
            priority: 0,
            sender: None,
            kind: LaneKind::Aside,
        },
    ];
    let mut out = Vec::new();
    encode_lanes(&mut out, (7..9).map(LaneId).zip(&names));
    let Ok(Record::Lanes(lanes)) = decode(&out) else {
        panic!("lanes");
    };
    let [first, second] = names;
    assert_eq!(lanes, [(LaneId(7), first), (LaneId(8), second)]);

    let head = Head {
        is_merged: false,
        store: 0xdead_beef,
        epoch: 3,
        next_lane: 9,
        clock: clock_stamp(),
        lanes: vec![HeadLane {
            id: LaneId(7),
            low: 1_000,
            runs: vec![(2_000, 2_100)],
            bits: vec![(3_008, vec![5, 1 << 63])],
        }],
    };
    let mut out = Vec::new();
    head.encode(&mut out);
    assert!(out.len() <= head.size_bytes());
    assert_eq!(Head::decode(&out), Ok(head.clone()));
    let ordinals: Vec<_> = head.lanes[0].ordinals().collect();
    assert_eq!(ordinals, [3_008, 3_010, 3_135]);
}

#[test]
fn the_records_of_the_first_version_are_those_that_were_promised() {
    let mut message = Message {
        body: Bytes::from_static(b"{}"),
        ..Message::default()
    };
    message.properties.set("p", "v");
    message
        .system
        .set(SystemProperty::ConnectionModuleId, "sensor");
    message.system.set(SystemProperty::ContentType, "t");
    let opened_at = Instant::now();
    let target = |lane, ordinal, millis| NewTarget {
        place: Place {
            lane: LaneId(lane),
            ordinal,
        },
        time_to_live: Some(Duration::from_millis(millis)),
    };
    let commit = Commit {
        done: vec![Done {
            lane: LaneId(2),
            first: 3,
            last: 5,
        }],
        messages: vec![NewMessage {
            sequence: Sequence::new(0x0102),
            id: Sequence::new(0x0101),
            message: Arc::new(message),
            source: Arc::new(MessageSource::Module {
                module: ModuleId::new("sensor").unwrap(),
                output: Some(OutputName::new("o").unwrap()),
            }),
            targets: vec![target(1, 300, 1), target(2, 6, 0)],
            charge_bytes: 700,
            taken_at: opened_at,
            aside: None,
        }],
    };
    let mut out = Vec::new();
    let clock = ElapsedClock::new(10, opened_at);
    encode_part(&mut out, &commit, &parts(&commit)[0], &clock);
    let expected = [
        "010301",               // A commit, its first and last record, one message.
        "34000000",             // Its length.
        "0201000000000000",     // Sequence.
        "010101000000000000",   // It has an identity of its own.
        "0abc05",               // Taken at 10 ms, charged 700 bytes.
        "02",                   // Two places.
        "01ac0202020601",       // Lanes 1 and 2, with times to live.
        "020673656e736f72016f", // From a module's output.
        "02040274",             // Two system properties: the content type,
        "0b00",                 // and one that says what the source says.
        "010170",               // One property,
        "0176",                 // and its value.
        "027b7d",               // Body.
        "01020302",             // One range of places is done.
    ];
    let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected.concat());

    let mut out = Vec::new();
    encode_clock(&mut out, &clock_stamp());
    let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "03e80701010101010101010101010101010101d00fb81701");
}

fn clock_stamp() -> ClockStamp {
    ClockStamp {
        elapsed: 1_000,
        reading: ClockReading {
            boot_id: [1; 16],
            since_boot: Duration::from_secs(2),
            wall: Duration::from_secs(3),
            is_synchronised: true,
        },
    }
}

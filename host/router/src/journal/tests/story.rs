//! What a journal does, told step by step.

use super::*;

#[test]
fn messages_come_back_in_order_as_they_were_and_again_after_a_restart() {
    let volume = SimulatedVolume::new(1);
    let (journal, recovered) = open(&volume);
    assert_eq!(recovered.lanes, []);
    let mut sequence = recovered.next_sequence;
    let mut lane = journal.lane(&lane_name("in"));
    let mut places = Vec::new();
    for text in ["a", "b", "c"] {
        let place = lane.next_place();
        places.push(place);
        commit(
            &journal,
            sent(new_message(sequence, text, &[place])),
            Durability::Process,
        );
        assert_eq!(journal.written_through(), sequence);
        sequence = sequence.next();
    }
    let stored = load_all(&journal, lane.id());
    assert_eq!(texts(&stored), ["a", "b", "c"]);
    assert_eq!(stored[0].message, message("a"));
    assert_eq!(stored[0].source, source());
    assert_eq!(stored[1].place, places[1]);
    assert_eq!(stored[2].charge_bytes, 101);
    commit(&journal, done(places[1]), Durability::Power);
    assert_eq!(texts(&load_all(&journal, lane.id())), ["a", "c"]);
    let id = stored[2].id.id(journal.store()).to_string();
    drop(journal);

    let (journal, recovered) = open(&volume);
    assert!(recovered.next_sequence > sequence);
    let [found] = &recovered.lanes[..] else {
        panic!("one lane: {recovered:?}");
    };
    assert_eq!(found.name, lane_name("in"));
    assert_eq!((found.messages, found.bytes), (2, 202));
    assert_eq!(found.senders[0].module.as_str(), "sensor");
    let stored = load_all(&journal, found.handle.id());
    assert_eq!(texts(&stored), ["a", "c"]);
    assert_eq!(stored[1].id.id(journal.store()).to_string(), id);
}

#[test]
fn a_lane_that_is_emptied_and_forgotten_leaves_nothing_behind() {
    let volume = SimulatedVolume::new(1);
    let (journal, recovered) = open(&volume);
    let mut sequence = recovered.next_sequence;
    for round in 0..20 {
        let mut lane = journal.lane(&lane_name("in"));
        for _ in 0..10 {
            let place = lane.next_place();
            let body = "x".repeat(300);
            commit(
                &journal,
                sent(new_message(sequence, &body, &[place])),
                Durability::Process,
            );
            commit(&journal, done(place), Durability::Process);
            sequence = sequence.next();
        }
        assert!(load_all(&journal, lane.id()).is_empty(), "{round}");
        journal.forget_lane(lane);
    }
    drop(journal);
    let bytes: usize = volume.files().values().map(Vec::len).sum();
    assert!(bytes < 3 * 4096, "{bytes}");
    let (_journal, recovered) = open(&volume);
    assert_eq!(recovered.lanes, []);
}

#[test]
fn a_message_to_several_lanes_is_written_once_and_goes_with_the_last() {
    let volume = SimulatedVolume::new(1);
    let (journal, recovered) = open(&volume);
    let mut lanes = ["a", "b", "c"].map(|input| journal.lane(&lane_name(input)));
    let places = lanes.each_mut().map(LaneHandle::next_place);
    let before = journal.figures().written_bytes;
    let body = "x".repeat(2_000);
    commit(
        &journal,
        sent(new_message(recovered.next_sequence, &body, &places)),
        Durability::Process,
    );
    assert!(journal.figures().written_bytes - before < 2_500);
    for (lane, place) in lanes.iter().zip(places) {
        assert_eq!(load_all(&journal, lane.id()).len(), 1);
        commit(&journal, done(place), Durability::Process);
        assert_eq!(load_all(&journal, lane.id()).len(), 0);
    }
}

#[test]
fn a_commit_larger_than_a_record_and_a_segment_is_still_one_commit() {
    let volume = SimulatedVolume::new(1);
    let mut settings = settings(4096);
    settings.max_bytes = 16 * 1024 * 1024;
    let (journal, recovered) = Journal::open(Arc::new(volume.clone()), settings.clone()).unwrap();
    let mut lane = journal.lane(&lane_name("in"));
    let mut sequence = recovered.next_sequence;
    let mut large = Commit::default();
    for number in 0..10 {
        let text = format!("{number}{}", "x".repeat(250_000));
        large
            .messages
            .push(new_message(sequence, &text, &[lane.next_place()]));
        sequence = sequence.next();
    }
    commit(&journal, large, Durability::Power);
    drop(journal);
    let (journal, recovered) = Journal::open(Arc::new(volume), settings).unwrap();
    assert_eq!(recovered.lanes[0].messages, 10);
    assert_eq!(load_all(&journal, recovered.lanes[0].handle.id()).len(), 10);
}

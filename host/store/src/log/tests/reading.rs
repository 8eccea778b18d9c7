//! Readers beside a writer, and positions.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::volume::simulated::{Failure, SimulatedVolume};

fn simulated() -> (SimulatedVolume, Arc<dyn Volume>) {
    let volume = SimulatedVolume::new(1);
    (volume.clone(), Arc::new(volume))
}

/// A log of so many segments with one record each, called `0`, `1` and so on.
fn segments(volume: &Arc<dyn Volume>, count: usize) -> Log {
    let (mut log, _) = open(volume);
    for number in 0..count {
        log.roll(b"head").unwrap();
        append(&mut log, &[&number.to_string()]);
    }
    log
}

fn group(payloads: &[&str]) -> Group {
    let mut group = Group::new();
    for payload in payloads {
        group.push(payload.as_bytes()).unwrap();
    }
    group
}

#[test]
fn a_reader_goes_over_segments_that_are_removed_before_it_comes_to_them() {
    let (_, volume) = simulated();
    let mut log = segments(&volume, 5);
    let mut cursor = log.reader().read_from(Position::START);
    cursor.next().unwrap().unwrap();
    log.remove(0).unwrap();
    log.remove(2).unwrap();
    assert!(matches!(
        log.remove(2),
        Err(LogError::NotSealed { segment: 2 })
    ));
    assert!(matches!(
        log.remove(4),
        Err(LogError::NotSealed { segment: 4 })
    ));
    // The one that it stands in it reads to its end.
    assert_eq!(rest(&mut cursor), ["0", "1", "3", "4"]);
    assert_eq!(
        rest(&mut log.reader().read_from(Position::START)),
        ["1", "3", "4"]
    );
    assert_eq!(rest(&mut log.reader().read_segment(3)), ["3"]);
    assert!(rest(&mut log.reader().read_segment(2)).is_empty());
}

#[test]
fn a_replacement_keeps_its_place_and_readers_in_it_are_told() {
    let (simulated, volume) = simulated();
    let mut log = segments(&volume, 5);
    let reader = log.reader();
    let mut before = reader.read_from(Position::START);
    let mut inside = reader.read_segment(1);
    assert_eq!(rest(&mut inside), ["1"]);
    let mut ahead = reader.read_from(Position {
        segment: 2,
        offset: 0,
    });

    let bytes = log.bytes();
    let positions = log.replace(1..=3, &mut group(&["one", "three"])).unwrap();
    assert!(log.bytes() < bytes);
    assert_eq!(simulated.files().len(), 3);
    assert_eq!(positions[0].segment, 1);
    assert_eq!(rest(&mut before), ["0", "one", "three", "4"]);
    assert!(matches!(
        ahead.next(),
        Err(LogError::Replaced { segment: 1 })
    ));
    assert!(matches!(
        inside.next(),
        Err(LogError::Replaced { segment: 1 })
    ));
    assert_eq!(rest(&mut reader.read_from(positions[1])), ["three", "4"]);

    log.replace(0..=0, &mut group(&[])).unwrap();
    let not_sealed = log.replace(2..=4, &mut group(&[])).unwrap_err();
    assert!(matches!(not_sealed, LogError::NotSealed { .. }));
    drop(log);
    let (log, recovery) = open(&volume);
    assert_eq!(recovery.leftover_files, 0);
    assert_eq!(
        rest(&mut log.reader().read_from(Position::START)),
        ["one", "three", "4"]
    );
}

#[test]
fn numbers_go_on_after_a_replacement_whatever_is_removed() {
    let (_, volume) = simulated();
    let mut log = segments(&volume, 4);
    log.replace(1..=2, &mut group(&["x"])).unwrap();
    log.remove(1).unwrap();
    log.remove(0).unwrap();
    drop(log);
    let (mut log, _) = open(&volume);
    assert_eq!(append(&mut log, &["next"])[0].segment, 4);
}

#[test]
fn a_full_disk_refuses_what_does_not_fit_and_takes_it_when_there_is_room() {
    let (simulated, volume) = simulated();
    let mut log = segments(&volume, 3);
    simulated.set_capacity(Some(simulated.used_bytes() + 50));
    let mut large = group(&["does not fit".repeat(10).as_str()]);
    for _ in 0..3 {
        let full = log.append(&mut large).unwrap_err();
        assert_eq!(full.system().unwrap().kind(), io::ErrorKind::StorageFull);
    }
    // What fits goes in, what was there is there, and what was refused is not.
    append(&mut log, &["fits"]);
    log.sync().unwrap();
    let mut cursor = log.reader().read_from(Position::START);
    assert_eq!(rest(&mut cursor), ["0", "1", "2", "fits"]);
    assert!(log.roll(b"head").is_err());
    log.remove(0).unwrap();
    log.append(&mut large).unwrap();
    log.sync().unwrap();
    assert_eq!(rest(&mut cursor), ["does not fit".repeat(10)]);
}

#[test]
fn a_reader_that_met_a_failure_reads_on_where_it_stood() {
    let (simulated, volume) = simulated();
    let mut log = segments(&volume, 2);
    let mut cursor = log.reader().read_from(Position::START);
    cursor.next().unwrap().unwrap();
    cursor.next().unwrap().unwrap();
    simulated.fail_reads(true);
    cursor.next().unwrap_err();
    cursor.next().unwrap_err();
    simulated.fail_reads(false);
    assert_eq!(rest(&mut cursor), ["1"]);
    // Also in a segment that was written anew meanwhile, since it could not be synced.
    let operation = simulated.figures().operations + 1;
    simulated.fail(operation..operation + 1, Failure::Device);
    append(&mut log, &["2"]);
    log.sync().unwrap_err();
    assert_eq!(rest(&mut cursor), ["2"]);
    append(&mut log, &["3"]);
    log.sync().unwrap();
    assert_eq!(rest(&mut cursor), ["3"]);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_written() {
    let (_, volume) = simulated();
    let mut group = group(&["before"]);
    let too_large = group.push(&vec![0; RECORD_MAX_BYTES + 1]).unwrap_err();
    assert_eq!(too_large.length_bytes, RECORD_MAX_BYTES + 1);
    group.push(&vec![1; RECORD_MAX_BYTES]).unwrap();
    let (mut log, _) = open(&volume);
    assert!(matches!(log.append(&mut group), Err(LogError::NoSegment)));
    log.roll(b"").unwrap();
    log.append(&mut group).unwrap();
    assert!(log.needs_roll());
    let mut cursor = log.reader().read_from(Position::START);
    let mut lengths = Vec::new();
    while let Some(record) = cursor.next().unwrap() {
        lengths.push(record.payload.len());
    }
    assert_eq!(lengths, [0, 6, RECORD_MAX_BYTES]);
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<usize>),
    Roll,
    Remove(usize),
    Replace(usize, usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(0..1500usize, 1..6).prop_map(Step::Append),
        1 => Just(Step::Roll),
        1 => (0..8usize).prop_map(Step::Remove),
        1 => (0..8usize, 0..4usize).prop_map(|(first, more)| Step::Replace(first, more)),
        1 => Just(Step::Restart),
    ]
}

/// What the log should hold: every record with its position, in order.
type Naive = Vec<(Position, Vec<u8>)>;

fn take(volume: &Arc<dyn Volume>, log: &mut Log, naive: &mut Naive, step: &Step, count: &mut u8) {
    let sealed: Vec<u64> = {
        let segments = log.segments();
        segments
            .iter()
            .filter(|it| it.sealed)
            .map(|it| it.id)
            .collect()
    };
    match step {
        Step::Append(lengths) => {
            if log.needs_roll() {
                log.roll(b"head").unwrap();
            }
            let mut group = Group::new();
            let payloads: Vec<Vec<u8>> = lengths
                .iter()
                .map(|length| {
                    *count = count.wrapping_add(1);
                    vec![*count; *length]
                })
                .collect();
            for payload in &payloads {
                group.push(payload).unwrap();
            }
            let positions = log.append(&mut group).unwrap();
            naive.extend(positions.into_iter().zip(payloads));
        }
        Step::Roll => log.roll(b"head").unwrap(),
        Step::Remove(index) => {
            if let Some(segment) = sealed.get(*index) {
                log.remove(*segment).unwrap();
                naive.retain(|(position, _)| position.segment != *segment);
            }
        }
        Step::Replace(first, more) => {
            let last = sealed.get(first + more).or(sealed.last());
            let Some((&first, &last)) = sealed.get(*first).zip(last) else {
                return;
            };
            let mut group = Group::new();
            group.push_head(b"head").unwrap();
            let inside = |position: &Position| (first..=last).contains(&position.segment);
            let mut drop = false;
            naive.retain(|(position, _)| {
                drop = !drop;
                !inside(position) || drop
            });
            for (_, payload) in naive.iter().filter(|(position, _)| inside(position)) {
                group.push(payload).unwrap();
            }
            let mut positions = log.replace(first..=last, &mut group).unwrap().into_iter();
            positions.next();
            for (position, _) in naive.iter_mut().filter(|(position, _)| inside(position)) {
                *position = positions.next().unwrap();
            }
        }
        Step::Restart => *log = open(volume).0,
    }
}

fn read(cursor: &mut Cursor) -> Naive {
    let mut read = Vec::new();
    while let Some(record) = cursor.next().unwrap() {
        if record.kind == RecordKind::Entry {
            read.push((record.position, record.payload.to_vec()));
        }
    }
    read
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_log_equals_a_naive_list_whatever_is_done_to_it(steps in vec(step(), 1..40)) {
        let (simulated, volume) = simulated();
        let mut log = open(&volume).0;
        let (mut naive, mut count) = (Naive::new(), 0);
        let mut follower = None;
        for step in &steps {
            take(&volume, &mut log, &mut naive, step, &mut count);
            // One that has read all so far reads what came since, and nothing twice.
            match step {
                Step::Append(lengths) => {
                    let cursor = follower.get_or_insert_with(|| {
                        let from = naive[naive.len() - lengths.len()].0;
                        log.reader().read_from(from)
                    });
                    prop_assert_eq!(&read(cursor)[..], &naive[naive.len() - lengths.len()..]);
                }
                Step::Roll | Step::Remove(_) => {}
                Step::Replace(..) | Step::Restart => follower = None,
            }
        }
        let reader = log.reader();
        prop_assert_eq!(&read(&mut reader.read_from(Position::START)), &naive);
        prop_assert!(naive.is_sorted_by_key(|(position, _)| *position));
        for (index, (position, _)) in naive.iter().enumerate() {
            prop_assert_eq!(&read(&mut reader.read_from(*position))[..], &naive[index..]);
        }
        prop_assert_eq!(log.bytes(), simulated.used_bytes() as u64);
    }
}

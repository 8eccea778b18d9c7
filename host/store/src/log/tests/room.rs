//! The newest segment's file is as long as it may become, and the room in it is no damage.

use super::*;

/// The lengths of the files, oldest first.
fn lengths(volume: &Arc<dyn Volume>) -> Vec<u64> {
    let mut names = volume.list().unwrap();
    names.sort();
    let length = |name: &String| volume.open(name).unwrap().len_bytes().unwrap();
    names.iter().map(length).collect()
}

#[test]
fn a_file_has_its_length_from_the_start_until_it_is_sealed() {
    let (_place, volume) = folder();
    let (mut log, _) = open(&volume);
    append(&mut log, &["a"]);
    let full = u64::from(SETTINGS.segment_bytes);
    assert_eq!(lengths(&volume), [full]);
    let records = log.bytes();
    assert!(records < full);
    log.sync().unwrap();
    log.roll(b"head").unwrap();
    assert_eq!(lengths(&volume), [records, full]);
}

#[test]
fn room_that_was_left_is_not_what_was_cut_off() {
    let (_place, volume) = folder();
    let (mut log, _) = open(&volume);
    append(&mut log, &["a", "b"]);
    let records = log.bytes();
    drop(log);
    let (mut log, recovery) = open(&volume);
    assert_eq!((recovery.cut_bytes, recovery.damaged_records), (0, 0));
    // It goes on in the next one.
    append(&mut log, &["c"]);
    assert_eq!(
        rest(&mut log.reader().read_from(Position::START)),
        ["a", "b", "c"]
    );
    let end = log.bytes() - records;
    assert_eq!(
        lengths(&volume),
        [records, u64::from(SETTINGS.segment_bytes)]
    );
    drop(log);

    let name = &volume.list().unwrap().into_iter().max().unwrap();
    volume
        .open(name)
        .unwrap()
        .write_at(end, &[0, 0, 7, 0])
        .unwrap();
    let (log, recovery) = open(&volume);
    assert_eq!(recovery.cut_bytes, 3);
    assert_eq!(
        rest(&mut log.reader().read_from(Position::START)),
        ["a", "b", "c"]
    );
}

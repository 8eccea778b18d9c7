//! Bytes that changed after they were written.

use std::collections::BTreeMap;
use std::ops::Range;

use super::*;
use crate::volume::simulated::SimulatedVolume;

type Files = BTreeMap<String, Vec<u8>>;

/// Texts of all lengths around the alignment, and one that is longer than a sector.
fn texts() -> Vec<String> {
    let short = (0..12).map(|length| "x".repeat(length));
    short.chain([String::from("long").repeat(200)]).collect()
}

fn shared(files: &Files) -> Arc<dyn Volume> {
    Arc::new(SimulatedVolume::with(files.clone(), 1))
}

/// A log of two segments: the first has `texts`, the second `last`. And where each text's record is.
fn written() -> (Files, Vec<Range<usize>>) {
    let volume = SimulatedVolume::new(1);
    let (mut log, _) = open(&(Arc::new(volume.clone()) as Arc<dyn Volume>));
    let texts = texts();
    let payloads: Vec<&str> = texts.iter().map(String::as_str).collect();
    let positions = append(&mut log, &payloads);
    log.roll(b"head").unwrap();
    append(&mut log, &["last"]);
    log.sync().unwrap();
    let records = positions.iter().zip(&texts).map(|(position, text)| {
        let start = position.offset as usize;
        start..start + frame::HEADER_BYTES as usize + text.len()
    });
    (volume.files(), records.collect())
}

/// What is read, and how many damaged places were found.
fn read(files: &Files) -> (Vec<String>, u64) {
    let (log, recovery) = open(&shared(files));
    let mut cursor = log.reader().read_from(Position::START);
    let texts = rest(&mut cursor);
    (texts, cursor.damaged().max(recovery.damaged_records))
}

#[test]
fn of_a_sealed_segment_a_flipped_bit_takes_the_record_that_it_hit_and_no_other() {
    let (files, records) = written();
    let name = segment::name(0);
    let head = PREAMBLE_BYTES as usize..records[0].start - 4;
    for at in 0..files[&name].len() {
        let mut files = files.clone();
        files.get_mut(&name).unwrap()[at] ^= 1 << (at % 8);
        let hit = records.iter().position(|record| record.contains(&at));
        let mut expected = texts();
        expected.push("last".to_owned());
        if let Some(hit) = hit {
            expected.remove(hit);
        }
        let damaged = u64::from(hit.is_some() || head.contains(&at));
        assert_eq!(read(&files), (expected, damaged), "at {at}");
    }
}

#[test]
fn in_the_newest_segment_a_flipped_bit_takes_one_record_of_what_is_known_to_be_synced() {
    let volume = SimulatedVolume::new(1);
    let (mut log, _) = open(&(Arc::new(volume.clone()) as Arc<dyn Volume>));
    let synced = append(&mut log, &["a", "b", "c"]);
    log.sync().unwrap();
    let unsure = append(&mut log, &["d", "e", "f"]);
    let name = segment::name(0);
    let check = |at: Position, expected: &[&str], damaged: u64| {
        let mut files = volume.files();
        files.get_mut(&name).unwrap()[at.offset as usize] ^= 1;
        let expected = expected.iter().map(ToString::to_string).collect();
        assert_eq!(read(&files), (expected, damaged));
    };
    check(synced[1], &["a", "c", "d", "e", "f"], 1);
    check(synced[2], &["a", "b", "d", "e", "f"], 1);
    check(unsure[0], &["a", "b", "c"], 0);
    check(unsure[1], &["a", "b", "c", "d"], 0);
}

#[test]
fn a_segment_without_a_readable_beginning_is_counted_and_the_others_are_read() {
    let (mut files, _) = written();
    files.get_mut(&segment::name(0)).unwrap()[..80].fill(0);
    assert_eq!(read(&files), (vec!["last".to_owned()], 1));
    let volume = shared(&files);
    let (mut log, _) = open(&volume);
    append(&mut log, &["next"]);
    log.remove(0).unwrap();
    assert_eq!(log.segments().len(), 2);

    // The newest one too: what is appended goes behind it.
    let (mut files, _) = written();
    files.insert(segment::name(1), Vec::new());
    let (mut log, recovery) = open(&shared(&files));
    assert_eq!(recovery.damaged_records, 1);
    append(&mut log, &["next"]);
    let mut expected = texts();
    expected.push("next".to_owned());
    let mut cursor = log.reader().read_from(Position::START);
    assert_eq!(rest(&mut cursor), expected);
}

#[test]
fn a_file_of_another_format_is_refused_by_name_and_others_are_let_alone() {
    let (mut files, _) = written();
    files.insert("README".to_owned(), b"text".to_vec());
    files.insert("1.log".to_owned(), b"text".to_vec());
    // No number comes behind this one.
    files.insert(format!("{}.log", u64::MAX), b"text".to_vec());
    read(&files);
    let settings = LogSettings {
        format: *b"test\0\0\0\x02",
        ..SETTINGS
    };
    let refused = Log::open(shared(&files), settings).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the log's file `00000000000000000000.log` has the format `wasmlog\\x01test\\x00\\x00\\x00\\x01`, \
         this build reads `wasmlog\\x01test\\x00\\x00\\x00\\x02`"
    );
}

#[test]
fn a_segment_under_the_name_of_another_is_not_taken_for_it() {
    let (mut files, _) = written();
    let first = files[&segment::name(0)].clone();
    files.insert(segment::name(1), first);
    assert_eq!(read(&files), (texts(), 1));
}

#[test]
fn a_record_within_a_record_never_comes_out_whatever_is_damaged() {
    let (files, records) = written();
    let inner = files[&segment::name(0)][records[0].start..].to_vec();
    let volume = SimulatedVolume::new(1);
    let (mut log, _) = open(&(Arc::new(volume.clone()) as Arc<dyn Volume>));
    log.roll(b"head").unwrap();
    let mut group = Group::new();
    group.push(&inner).unwrap();
    group.push(b"behind").unwrap();
    let outer = log.append(&mut group).unwrap()[0].offset as usize;
    log.roll(b"head").unwrap();
    for at in outer..outer + 16 {
        let mut files = volume.files();
        files.get_mut(&segment::name(0)).unwrap()[at] ^= 0x10;
        assert_eq!(read(&files), (vec!["behind".to_owned()], 1));
    }
}

#[test]
fn a_sealed_file_that_was_cut_short_gives_what_is_left() {
    let (files, records) = written();
    let name = segment::name(0);
    for length in 0..files[&name].len() {
        let mut files = files.clone();
        files.get_mut(&name).unwrap().truncate(length);
        let left = records
            .iter()
            .filter(|record| record.end.next_multiple_of(frame::ALIGNMENT as usize) <= length);
        let mut expected = texts();
        expected.truncate(left.count());
        expected.push("last".to_owned());
        let (texts, damaged) = read(&files);
        // Half a preamble is one whole copy of it.
        if length >= PREAMBLE_BYTES as usize / 2 {
            assert_eq!(texts, expected, "{length}");
        }
        assert!(damaged <= 1, "{length}: {damaged}");
    }
}

use std::ops::ControlFlow;

use wasm_edge_model::identity::{DeviceId, ModuleId};
use wasm_edge_model::time::Timestamp;
use wasm_edge_runtime::guest::{LogLevel, LogLine, LogStream};
use wasm_edge_store::disk::faults::{Fault, Survivors};

use super::*;
use crate::logs::filter::LogFilter;
use crate::logs::reader::{self, LogSnapshot, ModuleSnapshot};
use crate::logs::slots::tests::SimulatedSlots;

/// Four files of 1 KiB.
const SIZE: u64 = 4096;

fn header() -> Header {
    Header {
        device: DeviceId::new("d").unwrap(),
        module: ModuleId::new("m").unwrap(),
    }
}

fn open(slots: &Arc<SimulatedSlots>) -> (Ring, u64) {
    Ring::open(Arc::clone(slots) as Arc<dyn Slots>, header(), SIZE).unwrap()
}

fn text(seq: u64) -> String {
    format!("line {seq}{}", ".".repeat(seq as usize % 40))
}

fn group(seqs: std::ops::Range<u64>) -> Group {
    let mut group = Group::default();
    for seq in seqs {
        let line = LogLine {
            stream: LogStream::Log,
            level: LogLevel::Info,
            text: text(seq),
            fields: Vec::new(),
        };
        group.push(
            seq,
            &record::body(Timestamp::from_unix_millis(0), &line, 512),
        );
    }
    group
}

/// The numbers of all lines that are read back, and how many records are damaged. Each line is as it was written.
fn read(slots: &Arc<SimulatedSlots>) -> (Vec<u64>, u64) {
    let module = ModuleSnapshot {
        module: header().module,
        slots: Arc::clone(slots) as Arc<dyn Slots>,
        unwritten: Vec::new(),
    };
    let snapshot = LogSnapshot {
        device: header().device,
        modules: vec![module],
        end_seq: u64::MAX,
    };
    let mut seqs = Vec::new();
    let summary = reader::read(&[snapshot], &LogFilter::default(), None, |entry| {
        assert_eq!(entry.line.text, text(entry.seq));
        seqs.push(entry.seq);
        ControlFlow::Continue(())
    });
    (seqs, summary.unwrap().damaged)
}

/// Writes groups of three lines, every other one made to last; answers the last number that is sure to be there.
fn fill(ring: &mut Ring) -> u64 {
    let mut sure = 0;
    for start in (1..100).step_by(3) {
        let sync = start % 2 == 0;
        if ring.append(&group(start..start + 3), sync).is_ok() && sync {
            sure = start + 2;
        }
    }
    sure
}

#[test]
fn the_files_are_bounded_and_the_newest_lines_are_there() {
    let slots = Arc::new(SimulatedSlots::default());
    let (mut ring, last) = open(&slots);
    assert_eq!(last, 0);
    for start in (1..1000).step_by(7) {
        ring.append(&group(start..start + 7), false).unwrap();
        let size = slots.size_bytes();
        assert!(size as u64 <= SIZE, "{size}");
        assert_eq!(ring.size_bytes(), size as u64);
        let (seqs, damaged) = read(&slots);
        assert_eq!(damaged, 0);
        assert_eq!(seqs.last(), Some(&(start + 6)));
        assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        assert!(start < 100 || size as u64 > SIZE / 2, "{size}");
    }
    let (_, last) = open(&slots);
    assert_eq!(last, 1001);
}

#[test]
fn a_log_goes_on_where_it_ended() {
    let slots = Arc::new(SimulatedSlots::default());
    for start in (1..60).step_by(2) {
        let (mut ring, last) = open(&slots);
        // A file that was just begun counts as if its first line were there.
        assert!(last == start - 1 || last == start, "{last}");
        ring.append(&group(start..start + 2), true).unwrap();
    }
    let (seqs, damaged) = read(&slots);
    assert_eq!((seqs.last(), damaged), (Some(&60), 0));
}

#[test]
fn after_a_power_cut_at_any_moment_what_lasted_is_read_and_the_log_goes_on() {
    let mut seen = 0;
    for disk in 0..6 {
        for operation in 0..40 {
            for survivors in [
                Survivors::Synced,
                Survivors::Written,
                Survivors::Torn(operation as u64),
            ] {
                let mut faults = vec![Fault::None; disk];
                faults.push(Fault::PowerCutAt(operation));
                let slots = Arc::new(SimulatedSlots::with_faults(&faults));
                let (mut ring, _) = open(&slots);
                let mut sure = 0;
                for start in (1..100).step_by(3) {
                    let sync = start % 2 == 0;
                    match ring.append(&group(start..start + 3), sync) {
                        Ok(()) if sync => sure = start + 2,
                        Ok(()) => {}
                        Err(_) => break,
                    }
                }
                let slots = Arc::new(slots.after_power_cut(survivors));
                let (before, _) = read(&slots);
                assert!(before.windows(2).all(|pair| pair[0] < pair[1]));
                let has_all = before.contains(&sure) || sure == 0;
                assert!(has_all, "{sure} after {faults:?} {survivors:?}: {before:?}");
                seen += before.len();

                let (mut ring, last) = open(&slots);
                assert!(before.last().is_none_or(|newest| *newest <= last));
                ring.append(&group(500..503), true).unwrap();
                let (after, _) = read(&slots);
                assert_eq!(after[after.len() - 3..], [500, 501, 502]);
                let (kept, _) = after.split_at(after.len() - 3);
                assert!(before.ends_with(kept), "{before:?} {kept:?}");
                assert!(slots.size_bytes() as u64 <= SIZE);
            }
        }
    }
    assert!(seen > 1000);
}

#[test]
fn a_write_that_fails_costs_its_lines_and_no_others() {
    for disk in 0..5 {
        for operation in 0..40 {
            let mut faults = vec![Fault::None; disk];
            faults.push(Fault::FailAt(operation));
            let slots = Arc::new(SimulatedSlots::with_faults(&faults));
            let (mut ring, _) = open(&slots);
            let mut lost = 0;
            for start in (1..100).step_by(3) {
                if let Err(err) = ring.append(&group(start..start + 3), start % 2 == 0) {
                    lost += err.lost;
                }
            }
            let (seqs, damaged) = read(&slots);
            assert_eq!(damaged, 0);
            assert_eq!(seqs.last(), Some(&99), "{faults:?}");
            let missing = seqs
                .windows(2)
                .map(|pair| pair[1] - pair[0] - 1)
                .sum::<u64>();
            assert!(missing <= lost && lost <= 3, "{missing} {lost}");
            assert!(slots.size_bytes() as u64 <= SIZE);
        }
    }
}

#[test]
fn a_full_disk_costs_lines_until_there_is_room_again() {
    let slots = Arc::new(SimulatedSlots::default());
    let (mut ring, _) = open(&slots);
    slots.set_full(true);
    let err = ring.append(&group(1..4), false).unwrap_err();
    assert_eq!(
        (err.lost, err.source.kind()),
        (3, io::ErrorKind::StorageFull)
    );
    slots.set_full(false);
    ring.append(&group(4..5), false).unwrap();
    assert_eq!(read(&slots), (vec![4], 0));
}

#[test]
fn damage_in_the_middle_costs_the_lines_that_it_hit() {
    let slots = Arc::new(SimulatedSlots::default());
    let (mut ring, _) = open(&slots);
    ring.append(&group(1..6), true).unwrap();
    let line_of = |bytes: &[u8], number: usize| {
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        ends.map(|(at, _)| at).nth(number).unwrap() - 3
    };
    slots.damage(0, |bytes| {
        let at = line_of(bytes, 3);
        bytes[at] ^= 0xff;
    });
    assert_eq!(read(&slots), (vec![1, 2, 4, 5], 1));
    // The header: whose file it is stands in the folder's name as well.
    slots.damage(0, |bytes| bytes[3] ^= 1);
    let (seqs, damaged) = read(&slots);
    assert_eq!((seqs, damaged), (vec![1, 2, 4, 5], 2));
    let (mut ring, last) = open(&slots);
    assert_eq!(last, 5);
    ring.append(&group(6..7), true).unwrap();
    assert_eq!(read(&slots).0, [1, 2, 4, 5, 6]);
    // A line without an end, longer than any record, and zeroes as a file system leaves them after a power cut.
    slots.damage(0, |bytes| {
        bytes.extend(vec![b'x'; 300_000]);
        bytes.push(b'\n');
        bytes.extend(group(7..8).bytes);
        bytes.extend([0; 5000]);
    });
    assert_eq!(read(&slots), (vec![1, 2, 4, 5, 6, 7], 3));
}

#[test]
fn a_log_of_another_version_is_left_alone() {
    let slots = Arc::new(SimulatedSlots::default());
    open(&slots).0.append(&group(1..3), true).unwrap();
    slots.damage(0, |bytes| {
        bytes.clear();
        record::append(bytes, 1, r#"{"format":"wasm-edge-log","version":2}"#);
    });
    let opened = Ring::open(Arc::clone(&slots) as Arc<dyn Slots>, header(), SIZE);
    let said = opened.unwrap_err().to_string();
    assert_eq!(
        said,
        "the log has format 2, this version reads and writes format 1"
    );
    assert_eq!(read(&slots), (Vec::new(), 0));
}

#[test]
fn a_smaller_bound_takes_effect_at_once() {
    let slots = Arc::new(SimulatedSlots::default());
    let (mut ring, _) = open(&slots);
    fill(&mut ring);
    ring.set_size_max(1500).unwrap();
    assert!(slots.size_bytes() <= 1500);
    for start in 100..200 {
        ring.append(&group(start..start + 1), false).unwrap();
        assert!(slots.size_bytes() <= 1500);
    }
    assert_eq!(read(&slots).0.last(), Some(&199));
}

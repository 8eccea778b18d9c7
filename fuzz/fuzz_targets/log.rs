//! Reads bytes as edits of a log's files, opens what comes out, and sees that
//! no record comes out that was not appended and that it can be gone on with.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use wasm_edge_store::log::{Group, Log, LogSettings, Position, RecordKind};
use wasm_edge_store::volume::simulated::SimulatedVolume;

const SETTINGS: LogSettings = LogSettings {
    format: *b"fuzz\0\0\0\x01",
    segment_bytes: 512,
};

type Files = BTreeMap<String, Vec<u8>>;

fn payload(number: u8) -> Vec<u8> {
    vec![number; usize::from(number) * 7 % 50]
}

fn written() -> Files {
    let volume = SimulatedVolume::new(1);
    let (mut log, _) = Log::open(Arc::new(volume.clone()), SETTINGS).expect("nothing fails");
    let mut group = Group::new();
    for number in 0..40 {
        if log.needs_roll() {
            log.roll(b"head").expect("nothing fails");
        }
        group.clear(1024);
        group.push(&payload(number)).expect("it is small");
        log.append(&mut group).expect("nothing fails");
        if number % 3 == 0 {
            log.sync().expect("nothing fails");
        }
    }
    volume.files()
}

/// Each edit is four bytes: file, place, and what to write there; the last file may also be cut off.
fn edit(files: &mut Files, edits: &[u8]) {
    let names: Vec<String> = files.keys().cloned().collect();
    for edit in edits.chunks_exact(4) {
        let name = &names[usize::from(edit[0]) % names.len()];
        let Some(content) = files.get_mut(name).filter(|content| !content.is_empty()) else {
            continue;
        };
        let at = usize::from(u16::from_le_bytes([edit[1], edit[2] & 0x7f])) % content.len();
        if edit[2] & 0x80 == 0 {
            content[at] = edit[3];
        } else {
            content.truncate(at);
        }
    }
}

fn read(log: &Log) -> Vec<Vec<u8>> {
    let mut cursor = log.reader().read_from(Position::START);
    let mut read = Vec::new();
    while let Some(record) = cursor.next().expect("nothing fails") {
        if record.kind == RecordKind::Entry {
            read.push(record.payload.to_vec());
        }
    }
    read
}

fuzz_target!(|edits: &[u8]| {
    let mut files = written();
    edit(&mut files, edits);
    let volume = SimulatedVolume::with(files, 1);
    let Ok((mut log, _)) = Log::open(Arc::new(volume.clone()), SETTINGS) else {
        return;
    };
    let found = read(&log);
    let mut number = 0..40;
    for record in &found {
        assert!(number.any(|number| payload(number) == *record), "{record:?}");
    }
    log.roll(b"head").expect("nothing fails");
    let mut group = Group::new();
    group.push(b"next").expect("it is small");
    log.append(&mut group).expect("nothing fails");
    drop(log);
    let (log, _) = Log::open(Arc::new(volume), SETTINGS).expect("it was opened before");
    let again = read(&log);
    assert_eq!(again.split_last(), Some((&b"next".to_vec(), &found[..])));
});

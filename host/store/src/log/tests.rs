mod crash;
mod story;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::*;
use crate::volume::FolderVolume;

const SETTINGS: LogSettings = LogSettings {
    format: *b"test\0\0\0\x01",
    segment_bytes: 4096,
};

fn folder() -> (tempfile::TempDir, Arc<dyn Volume>) {
    let place = tempfile::tempdir().unwrap();
    let dir = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
    (place, Arc::new(FolderVolume::new(dir)))
}

fn open(volume: &Arc<dyn Volume>) -> (Log, Recovery) {
    Log::open(Arc::clone(volume), SETTINGS).unwrap()
}

fn append(log: &mut Log, payloads: &[&str]) -> Vec<Position> {
    if log.needs_roll() {
        log.roll(b"head").unwrap();
    }
    let mut group = Group::new();
    for payload in payloads {
        group.push(payload.as_bytes()).unwrap();
    }
    log.append(&mut group).unwrap()
}

fn rest(cursor: &mut Cursor) -> Vec<String> {
    let mut read = Vec::new();
    while let Some(record) = cursor.next().unwrap() {
        if record.kind == RecordKind::Entry {
            read.push(String::from_utf8(record.payload.to_vec()).unwrap());
        }
    }
    read
}

#[test]
fn what_is_appended_is_read_in_order_and_again_after_a_restart() {
    let (_place, volume) = folder();
    let (mut log, _) = open(&volume);
    let mut cursor = log.reader().read_from(Position::START);
    append(&mut log, &["a", "", "c"]);
    assert_eq!(rest(&mut cursor), ["a", "", "c"]);
    let positions = append(&mut log, &["d", "e"]);
    assert_eq!(rest(&mut cursor), ["d", "e"]);
    log.sync().unwrap();
    drop(log);

    let (mut log, recovery) = open(&volume);
    assert_eq!((recovery.segments, recovery.cut_bytes), (1, 0));
    append(&mut log, &["f"]);
    assert_eq!(rest(&mut log.reader().read_from(positions[1])), ["e", "f"]);
}

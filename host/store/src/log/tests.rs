mod crash;
mod damage;
mod reading;
mod room;
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

#[test]
fn the_format_on_disk_is_the_one_that_was_promised() {
    let preamble = Preamble {
        format: *b"test\0\0\0\x01",
        id: 3,
        through: 4,
        salt: 0x0102_0304,
    };
    let mut group = Group::new();
    group.push_head(b"head").unwrap();
    group.push(b"a record").unwrap();
    let mut bytes = preamble.encode().to_vec();
    bytes.extend_from_slice(group.seal(preamble.seed(), PREAMBLE_BYTES, 80));
    let hex: Vec<String> = bytes
        .chunks(8)
        .map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect())
        .collect();
    let copy = [
        "7761736d6c6f6701",
        "7465737400000001",
        "0300000000000000",
        "0400000000000000",
    ];
    assert_eq!(hex[..4], copy);
    assert_eq!(hex[5..9], copy);
    assert_eq!(hex[4], hex[9]);
    assert_eq!(hex[4], "040302014b87b456");
    let records = [
        "0400008050000000",
        "9cf6f3a745664170",
        "6865616400000000",
        "0800000050000000",
        "e278289ca2376d8d",
        "61207265636f7264",
    ];
    assert_eq!(hex[10..], records);
}

//! Full disks, failing disks, damaged files and files of another version.

use wasm_edge_store::volume::simulated::Failure;

use super::*;

/// A journal with one lane, and messages of about 300 bytes to put into it.
struct Filled {
    journal: Journal,
    lane: LaneHandle,
    next: Sequence,
    places: Vec<Place>,
}

impl Filled {
    fn new(volume: &SimulatedVolume) -> Self {
        let (journal, recovered) = open(volume);
        let lane = journal.lane(&lane_name("in"));
        Filled {
            journal,
            lane,
            next: recovered.next_sequence,
            places: Vec::new(),
        }
    }

    fn submit(&mut self, durability: Durability) -> oneshot::Receiver<()> {
        let place = self.lane.next_place();
        let text = format!("{}{}", place.ordinal, " ".repeat(200));
        let (tell, told) = oneshot::channel();
        let message = new_message(self.next, &text, &[place]);
        self.journal.submit(sent(message), durability, Some(tell));
        self.next = self.next.next();
        self.places.push(place);
        told
    }

    fn send(&mut self, count: usize) {
        for _ in 0..count {
            let told = self.submit(Durability::Power);
            told.blocking_recv().expect("it is written");
        }
    }
}

fn ordinals(stored: &[Stored]) -> Vec<u64> {
    stored.iter().map(|stored| stored.place.ordinal).collect()
}

/// Waits until something is so.
fn until(journal: &Journal, what: impl Fn() -> bool) {
    let wake = Arc::new(Notify::new());
    journal.on_progress(Arc::clone(&wake));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        while !what() {
            wake.notified().await;
        }
    });
}

#[test]
fn a_full_disk_stops_what_is_acknowledged_and_goes_on_when_there_is_room_again() {
    let volume = SimulatedVolume::new(1);
    let mut filled = Filled::new(&volume);
    filled.send(50);
    let bytes: usize = volume.files().values().map(Vec::len).sum();
    volume.set_capacity(Some(bytes));
    let mut told: Vec<_> = (0..40).map(|_| filled.submit(Durability::Power)).collect();
    let journal = filled.journal.clone();
    until(&journal, || journal.space().is_failing);
    assert!(
        journal.failure().unwrap().contains("cannot"),
        "{:?}",
        journal.failure()
    );
    // Deliveries go on meanwhile.
    assert!(load_all(&journal, filled.lane.id()).len() >= 50);
    assert!(told.last_mut().unwrap().try_recv().is_err());
    volume.set_capacity(None);
    for told in told {
        told.blocking_recv().expect("it is written now");
    }
    assert!(!journal.space().is_failing);
    assert_eq!(journal.failure(), None);
    let stored = load_all(&journal, filled.lane.id());
    assert_eq!(ordinals(&stored), (0..90).collect::<Vec<_>>());
}

#[test]
fn on_a_full_disk_what_is_done_makes_room() {
    let volume = SimulatedVolume::new(1);
    let mut filled = Filled::new(&volume);
    filled.send(50);
    let bytes: usize = volume.files().values().map(Vec::len).sum();
    volume.set_capacity(Some(bytes));
    let told: Vec<_> = (0..20).map(|_| filled.submit(Durability::Power)).collect();
    let journal = filled.journal.clone();
    until(&journal, || journal.space().is_failing);
    for place in &filled.places[..50] {
        journal.submit(done(*place), Durability::Process, None);
    }
    for told in told {
        told.blocking_recv().expect("there is room now");
    }
    let stored = load_all(&journal, filled.lane.id());
    assert_eq!(ordinals(&stored), (50..70).collect::<Vec<_>>());
}

/// Sends until segments are merged; one of two messages stays, as long as there is room for it.
fn send_until_merged(filled: &mut Filled) -> Vec<u64> {
    let journal = filled.journal.clone();
    let mut live = Vec::new();
    for round in 0.. {
        filled.send(1);
        let place = *filled.places.last().unwrap();
        if round % 2 == 0 && live.len() < 1_800 {
            live.push(place.ordinal);
        } else {
            journal.submit(done(place), Durability::Process, None);
        }
        assert!(journal.space().file_bytes <= MAX_BYTES_MIN);
        if journal.figures().copied_bytes > 10 * 4096 {
            break;
        }
    }
    live
}

#[test]
fn the_limit_of_the_files_is_kept_and_merging_makes_room_within_it() {
    let volume = SimulatedVolume::new(1);
    let mut filled = Filled::new(&volume);
    let live = send_until_merged(&mut filled);
    let stored = load_all(&filled.journal, filled.lane.id());
    assert_eq!(ordinals(&stored), live);
    drop(filled);
    let (journal, recovered) = open(&volume);
    let stored = load_all(&journal, recovered.lanes[0].handle.id());
    assert_eq!(ordinals(&stored), live);
    let bytes: usize = volume.files().values().map(Vec::len).sum();
    assert!(bytes as u64 <= MAX_BYTES_MIN, "{bytes}");
}

#[test]
fn beyond_the_limit_nothing_is_acknowledged_until_something_is_done() {
    let volume = SimulatedVolume::new(1);
    let mut filled = Filled::new(&volume);
    let journal = filled.journal.clone();
    let mut told: Vec<_> = (0..4_000)
        .map(|_| filled.submit(Durability::Process))
        .collect();
    until(&journal, || journal.space().is_failing);
    assert!(
        journal.failure().unwrap().contains("limit"),
        "{:?}",
        journal.failure()
    );
    assert!(told.last_mut().unwrap().try_recv().is_err());
    assert!(journal.space().file_bytes <= MAX_BYTES_MIN);
    for place in &filled.places[..2_000] {
        journal.submit(done(*place), Durability::Process, None);
    }
    for told in told {
        told.blocking_recv().expect("there is room now");
    }
    let stored = load_all(&journal, filled.lane.id());
    assert_eq!(ordinals(&stored), (2_000..4_000).collect::<Vec<_>>());
}

#[test]
fn a_failing_device_is_tried_again_and_nothing_is_lost_or_doubled() {
    let volume = SimulatedVolume::new(3);
    let mut filled = Filled::new(&volume);
    volume.fail_one_in(Some(20));
    filled.send(50);
    let begin = volume.figures().operations;
    volume.fail(begin..begin + 5, Failure::Device);
    filled.send(10);
    assert!(filled.journal.figures().failures > 0);
    let stored = load_all(&filled.journal, filled.lane.id());
    assert_eq!(ordinals(&stored), (0..60).collect::<Vec<_>>());
    volume.fail_one_in(None);
    drop(filled);
    let (journal, recovered) = open(&volume);
    assert_eq!(recovered.damaged_records, 0);
    let stored = load_all(&journal, recovered.lanes[0].handle.id());
    assert_eq!(ordinals(&stored), (0..60).collect::<Vec<_>>());
}

#[test]
fn reading_that_fails_is_told_and_works_another_time() {
    let volume = SimulatedVolume::new(1);
    let mut filled = Filled::new(&volume);
    filled.send(3);
    volume.fail_reads(true);
    let error = filled.journal.load(filled.lane.id(), None, 10, 1_000);
    assert_eq!(
        error.unwrap_err().to_string(),
        "cannot read the message store"
    );
    volume.fail_reads(false);
    assert_eq!(load_all(&filled.journal, filled.lane.id()).len(), 3);
}

/// Damages a byte of a file in its middle.
fn damage(files: &mut std::collections::BTreeMap<String, Vec<u8>>, at: usize) {
    let (_, content) = files.iter_mut().next().unwrap();
    content[at] ^= 0x10;
}

#[test]
fn a_damaged_record_is_counted_and_the_rest_is_delivered() {
    let volume = SimulatedVolume::new(1);
    let mut filled = Filled::new(&volume);
    filled.send(40);
    drop(filled);
    let mut files = volume.files();
    damage(&mut files, 1_500);
    let volume = SimulatedVolume::with(files, 1);
    let (journal, recovered) = open(&volume);
    assert_eq!(
        (recovered.damaged_records, recovered.damaged_messages),
        (1, 1)
    );
    assert_eq!(recovered.lanes[0].messages, 39);
    let stored = load_all(&journal, recovered.lanes[0].handle.id());
    assert_eq!(stored.len(), 39);
    drop(journal);
    // It is counted as long as it is there, and not the message that it was.
    let (_journal, recovered) = open(&volume);
    assert_eq!(recovered.lanes[0].messages, 39);
}

#[test]
fn damage_that_comes_while_it_runs_is_told_by_whoever_loads_next() {
    let volume = SimulatedVolume::new(1);
    let mut filled = Filled::new(&volume);
    filled.send(40);
    let disk = volume.open("00000000000000000000.log").unwrap();
    disk.write_at(1_500, &[0xff; 8]).unwrap();
    let lane = filled.lane.id();
    let loaded = filled.journal.load(lane, None, 1_000, usize::MAX).unwrap();
    assert!(loaded.is_end);
    assert_eq!((loaded.messages.len(), loaded.damaged.len()), (39, 1));
    assert_eq!(filled.journal.figures().damaged_messages, 1);
    // Told once, it is done.
    assert_eq!(load_all(&filled.journal, lane).len(), 39);
}

#[test]
fn damage_that_a_merge_meets_is_told_too() {
    let volume = SimulatedVolume::new(1);
    let mut filled = Filled::new(&volume);
    filled.send(10);
    let lost = filled.places[5];
    let offset = {
        let files = volume.files();
        let text = format!("{}   ", lost.ordinal);
        let content = &files["00000000000000000000.log"];
        let mut windows = content.windows(text.len());
        windows
            .position(|window| window == text.as_bytes())
            .unwrap()
    };
    let disk = volume.open("00000000000000000000.log").unwrap();
    disk.write_at(offset as u64, b"x").unwrap();
    for place in filled.places.iter().filter(|place| **place != lost).skip(2) {
        filled
            .journal
            .submit(done(*place), Durability::Process, None);
    }
    let live = send_until_merged(&mut filled);
    let is_merged = volume.files().values().all(|content| {
        let mut windows = content.windows(4);
        windows.all(|window| window != b"x   ")
    });
    assert!(is_merged);
    let lane = filled.lane.id();
    let loaded = filled.journal.load(lane, None, 10_000, usize::MAX).unwrap();
    assert_eq!(loaded.damaged, [lost]);
    assert_eq!(loaded.messages.len(), 2 + live.len());
    assert_eq!(filled.journal.figures().damaged_messages, 1);
}

#[test]
fn a_store_of_another_version_is_refused_by_name() {
    let volume = SimulatedVolume::new(1);
    drop(open(&volume));
    let mut files = volume.files();
    for content in files.values_mut() {
        let at = content.windows(7).position(|bytes| bytes == b"journal");
        content[at.unwrap() + 7] = 2;
        // The copy of the beginning as well, and their checksums.
        let half = 40;
        for copy in 0..2 {
            content[copy * half + 15] = 2;
            let fields = &content[copy * half..copy * half + 36];
            let checksum = crc32fast::hash(fields).to_le_bytes();
            content[copy * half + 36..copy * half + 40].copy_from_slice(&checksum);
        }
    }
    let volume = SimulatedVolume::with(files, 1);
    let opened = Journal::open(Arc::new(volume), settings(4096));
    let error = opened.unwrap_err();
    assert_eq!(error.to_string(), "cannot open the message store");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        source.contains(r"journal\x02") && source.contains(r"journal\x01"),
        "{source}"
    );
}

#[test]
fn what_waits_when_the_disk_fails_for_good_is_given_up_when_it_is_closed() {
    let volume = SimulatedVolume::new(1);
    let mut filled = Filled::new(&volume);
    filled.send(5);
    volume.cut_power_at(volume.figures().operations);
    let told = filled.submit(Durability::Process);
    drop(filled);
    assert!(told.blocking_recv().is_err());
    let (journal, recovered) =
        open(&volume.after_power_cut(wasm_edge_store::disk::faults::Survivors::Synced));
    assert_eq!(load_all(&journal, recovered.lanes[0].handle.id()).len(), 5);
}

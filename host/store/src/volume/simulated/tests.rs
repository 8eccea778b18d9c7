use super::*;

const SITE: SyncSite = SyncSite("test");

fn names(volume: &SimulatedVolume) -> Vec<String> {
    volume.list().unwrap()
}

#[test]
fn names_and_contents_survive_only_once_each_is_synced() {
    let volume = SimulatedVolume::new(1);
    let file = volume.create("a").unwrap();
    file.write_at(0, b"one").unwrap();
    volume.sync_file(&*file, SITE).unwrap();
    assert!(names(&volume.after_power_cut(Survivors::Synced)).is_empty());
    volume.sync_folder(SITE).unwrap();
    file.write_at(3, b"two").unwrap();
    volume.rename("a", "b").unwrap();
    let synced = volume.after_power_cut(Survivors::Synced).files();
    assert_eq!(synced, BTreeMap::from([("a".to_owned(), b"one".to_vec())]));
    let written = volume.after_power_cut(Survivors::Written).files();
    assert_eq!(
        written,
        BTreeMap::from([("b".to_owned(), b"onetwo".to_vec())])
    );
}

#[test]
fn a_power_cut_keeps_any_of_the_unsynced_sectors_and_may_leave_zeroes() {
    let volume = SimulatedVolume::new(1);
    let file = volume.create("a").unwrap();
    volume.sync_folder(SITE).unwrap();
    file.write_at(0, &[1; 4 * 512]).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..2000 {
        let mut files = volume.after_power_cut(Survivors::Torn(seed)).files();
        let content = files.remove("a").unwrap();
        let sectors = content.chunks(512).map(|sector| {
            assert!(sector.iter().all(|byte| *byte == sector[0]));
            sector[0]
        });
        seen.insert(sectors.collect::<Vec<_>>());
    }
    // Every subset of four sectors, with every length it can have: 1 + 2 + 4 + 8 + 16.
    assert_eq!(seen.len(), 31);
}

#[test]
fn what_a_failed_sync_covered_is_not_made_safe_by_the_next() {
    let mut lost = 0;
    for seed in 0..100 {
        let volume = SimulatedVolume::new(seed);
        let file = volume.create("a").unwrap();
        volume.sync_folder(SITE).unwrap();
        file.write_at(0, b"one").unwrap();
        let next = volume.figures().operations;
        volume.fail(next..next + 1, Failure::Device);
        volume.sync_file(&*file, SITE).unwrap_err();
        volume.sync_file(&*file, SITE).unwrap();
        let mut seen = [0; 3];
        file.read_at(0, &mut seen).unwrap();
        assert_eq!(&seen, b"one");
        let files = volume.after_power_cut(Survivors::Written).files();
        lost += usize::from(files["a"] != b"one");
    }
    assert!((20..80).contains(&lost), "{lost}");
}

#[test]
fn a_full_volume_takes_what_fits_and_goes_on_when_something_was_removed() {
    let volume = SimulatedVolume::new(1);
    volume.set_capacity(Some(5));
    let file = volume.create("a").unwrap();
    file.write_at(0, b"123").unwrap();
    let second = volume.create("b").unwrap();
    let full = second.write_at(0, b"456").unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert_eq!(volume.files()["b"], b"45");
    volume.remove("a").unwrap();
    second.write_at(0, b"456").unwrap();
}

#[test]
fn after_the_power_went_nothing_works_and_a_switched_off_sync_does_nothing() {
    let volume = SimulatedVolume::new(1);
    volume.cut_power_at(2);
    volume.switch_off(SITE);
    let file = volume.create("a").unwrap();
    volume.sync_folder(SITE).unwrap();
    file.write_at(0, b"1").unwrap();
    file.write_at(1, b"2").unwrap_err();
    file.len_bytes().unwrap_err();
    volume.sync_folder(SITE).unwrap_err();
    assert!(volume.is_dead());
    assert!(names(&volume.after_power_cut(Survivors::Synced)).is_empty());
}

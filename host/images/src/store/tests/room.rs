//! Limits: of age, of bytes, of the disk.

use wasm_edge_store::volume::simulated::SimulatedVolume;

use super::*;

fn with_limits(volume: &SimulatedVolume, max_bytes: u64) -> ImageStore {
    let limits = StoreLimits {
        max_bytes,
        unused_max: DAY * 7,
    };
    ImageStore::on(Arc::new(volume.clone()), limits).unwrap()
}

fn names(images: &[StoredImage]) -> Vec<&str> {
    let names = images.iter().flat_map(|image| &image.names);
    names.map(String::as_str).collect()
}

#[test]
fn an_image_goes_some_days_after_it_was_let_go_and_not_while_it_is_held() {
    let volume = SimulatedVolume::new(1);
    let store = with_limits(&volume, u64::MAX);
    let held = Image::new("1", 1, 100);
    held.put_at(&store, &["held:1"], Some("a"), day(1)).unwrap();
    let free = Image::new("2", 2, 100);
    free.put_at(&store, &["free:1"], None, day(1)).unwrap();
    assert_eq!(
        store.prune(Prune::Expired, day(7)).unwrap(),
        Pruned::default()
    );
    let pruned = store.prune(Prune::Expired, day(8)).unwrap();
    assert_eq!(names(&pruned.images), ["example.org/free:1"]);
    assert_eq!(pruned.freed_bytes, free.size_bytes());
    store.hold("a", BTreeSet::new());
    // It was in use until day 8.
    assert_eq!(
        store.prune(Prune::Expired, day(14)).unwrap(),
        Pruned::default()
    );
    let pruned = store.prune(Prune::Expired, day(15)).unwrap();
    assert_eq!(names(&pruned.images), ["example.org/held:1"]);
}

#[test]
fn a_clock_that_went_back_does_not_keep_an_image_for_ever() {
    let volume = SimulatedVolume::new(1);
    let store = with_limits(&volume, u64::MAX);
    let image = Image::new("1", 1, 100);
    image
        .put_at(&store, &["a:1"], Some("a"), day(5000))
        .unwrap();
    store.prune(Prune::Expired, day(10)).unwrap();
    store.hold("a", BTreeSet::new());
    assert_eq!(
        store.prune(Prune::Expired, day(17)).unwrap().images.len(),
        1
    );
}

#[test]
fn all_that_nobody_holds_goes_when_that_is_asked_for() {
    let volume = SimulatedVolume::new(1);
    let store = with_limits(&volume, u64::MAX);
    let images = [1, 2, 3].map(|seed| Image::new("1", seed, 100));
    images[0]
        .put_at(&store, &["held:1"], Some("a"), day(1))
        .unwrap();
    images[1].put(&store, &["free:1"]).unwrap();
    let mut cut = store.begin(&images[2].packed.layer).unwrap().unwrap();
    cut.append(b"\0asm").unwrap();
    drop(cut);
    let pruned = store.prune(Prune::Unheld, day(1)).unwrap();
    assert_eq!(names(&pruned.images), ["example.org/free:1"]);
    assert_eq!(pruned.freed_bytes, images[1].size_bytes() + 4);
    assert_eq!(store.usage().size_bytes, images[0].size_bytes());
}

#[test]
fn the_longest_unused_image_makes_room_and_what_is_held_does_not() {
    let volume = SimulatedVolume::new(1);
    let images = [1, 2, 3, 4].map(|seed| Image::new("1", seed, 10_000));
    let size = images[0].size_bytes();
    let store = with_limits(&volume, 3 * size);
    images[0].put_at(&store, &["a:1"], None, day(2)).unwrap();
    images[1].put_at(&store, &["b:1"], None, day(1)).unwrap();
    images[2]
        .put_at(&store, &["c:1"], Some("a"), day(0))
        .unwrap();
    images[3]
        .put_at(&store, &["d:1"], Some("a"), day(3))
        .unwrap();
    let left = store.list();
    assert_eq!(
        names(&left),
        ["example.org/a:1", "example.org/c:1", "example.org/d:1"]
    );
    store.hold("b", BTreeSet::from([images[0].packed.digest]));
    let err = images[1].put(&store, &["b:1"]).unwrap_err();
    assert!(matches!(err, StoreError::NoRoom { .. }), "{err}");
    assert_eq!(store.list().len(), 3);
    assert!(
        !volume
            .files()
            .keys()
            .any(|name| name.starts_with("partial/"))
    );
}

#[test]
fn room_is_kept_for_what_is_under_way() {
    let volume = SimulatedVolume::new(1);
    let images = [1, 2].map(|seed| Image::new("1", seed, 10_000));
    let store = with_limits(&volume, 15_000);
    let first = store.begin(&images[0].packed.layer).unwrap();
    let err = store.begin(&images[1].packed.layer).unwrap_err();
    assert!(matches!(err, StoreError::NoRoom { .. }), "{err}");
    let busy = store.begin(&images[0].packed.layer).unwrap_err();
    assert!(matches!(busy, StoreError::Busy { .. }), "{busy}");
    drop(first);
    assert!(store.begin(&images[1].packed.layer).unwrap().is_some());
}

#[test]
fn a_download_that_was_cut_goes_when_nobody_went_on_with_it_from_one_pruning_to_the_next() {
    let volume = SimulatedVolume::new(1);
    let store = with_limits(&volume, u64::MAX);
    let image = Image::new("1", 1, 1000);
    let cut = |bytes: usize| {
        let mut download = store.begin(&image.packed.layer).unwrap().unwrap();
        download
            .append(&image.component[bytes - 10..bytes])
            .unwrap();
    };
    let prune = || store.prune(Prune::Expired, day(1)).unwrap().freed_bytes;
    cut(10);
    assert_eq!(prune(), 0);
    cut(20);
    assert_eq!((prune(), prune()), (0, 20));
    assert_eq!(store.usage().size_bytes, 0);
    assert!(volume.files().is_empty());
}

#[test]
fn a_full_disk_is_told_as_that_and_loses_nothing() {
    let volume = SimulatedVolume::new(1);
    let store = open(&volume);
    let there = Image::new("1", 1, 1000);
    there.put(&store, &["a:1"]).unwrap();
    let used = volume.used_bytes();
    let large = Image::new("2", 2, 10_000);
    let mut told = 0;
    for more in (0..12_000).step_by(500) {
        volume.set_capacity(Some(used + more));
        if let Err(err) = large.put(&store, &["a:1"]) {
            assert!(matches!(err, StoreError::DiskFull { .. }), "{err}");
            told += 1;
            assert_eq!(named(&store)["example.org/a:1"], there.packed.digest);
            // What came so far does not take the last bytes from others.
            assert!(
                !volume
                    .files()
                    .keys()
                    .any(|name| name.starts_with("partial/"))
            );
        }
    }
    assert!(told > 18, "{told}");
    volume.set_capacity(None);
    large.put(&store, &["a:1"]).unwrap();
    assert_eq!(
        named(&open(&volume))["example.org/a:1"],
        large.packed.digest
    );
}

//! Limits: of age, of bytes, of the disk.

use wasm_edge_store::disk::faults::Survivors;
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

/// A store with an image that is held and two that are not, on a disk with no room for anything more.
fn on_a_full_disk(never_room: bool) -> (SimulatedVolume, ImageStore, [Image; 3]) {
    let volume = SimulatedVolume::new(1);
    let store = open(&volume);
    // The second and the third share their component.
    let images =
        [("1", 1), ("2", 2), ("3", 2)].map(|(version, seed)| Image::new(version, seed, 900));
    images[0]
        .put_at(&store, &["held:1"], Some("a"), day(1))
        .unwrap();
    images[1].put(&store, &["free:1", "free:2"]).unwrap();
    images[2].put(&store, &["free:3"]).unwrap();
    let room = if never_room { 0 } else { volume.used_bytes() };
    volume.set_capacity(Some(room));
    (volume, store, images)
}

#[test]
fn what_nobody_holds_goes_from_a_disk_without_a_free_byte() {
    for never_room in [false, true] {
        let (volume, store, images) = on_a_full_disk(never_room);
        let pruned = store.prune(Prune::Unheld, day(3)).unwrap();
        assert_eq!(
            names(&pruned.images),
            [
                "example.org/free:1",
                "example.org/free:2",
                "example.org/free:3"
            ]
        );
        let shared = 900 + images[1].packed.config.len() as u64;
        let expected = images[1].size_bytes() + images[2].size_bytes() - shared;
        assert_eq!(pruned.freed_bytes, expected);
        for store in [store, open(&volume)] {
            assert_eq!(names(&store.list()), ["example.org/held:1"]);
            assert_eq!(store.usage().size_bytes, images[0].size_bytes());
            named(&store);
        }
        // Nothing is left that could go, which is no failure.
        let store = open(&volume);
        store.hold("a", BTreeSet::from([images[0].packed.digest]));
        let again = store.prune(Prune::Unheld, day(9)).unwrap();
        assert_eq!(again, Pruned::default());
        volume.set_capacity(None);
        images[1].put(&store, &["free:1"]).unwrap();
        assert_eq!(named(&open(&volume)).len(), 2);
    }
}

#[test]
fn an_image_is_removed_from_a_disk_without_a_free_byte_and_what_another_has_stays() {
    for never_room in [false, true] {
        let (volume, store, images) = on_a_full_disk(never_room);
        let one = ImageName::Digest(images[1].packed.digest);
        assert_eq!(store.remove(&one).unwrap().images.len(), 1);
        for store in [store, open(&volume)] {
            assert_eq!(
                names(&store.list()),
                ["example.org/free:3", "example.org/held:1"]
            );
            named(&store);
        }
    }
}

#[test]
fn a_name_alone_does_not_go_from_a_full_disk_and_is_not_half_gone() {
    let (volume, store, _) = on_a_full_disk(false);
    let name = ImageName::Reference(reference("free:1"));
    let err = store.remove(&name).unwrap_err();
    assert!(matches!(err, StoreError::DiskFull { .. }), "{err}");
    assert_eq!(named(&store).len(), 4);
    assert_eq!(named(&open(&volume)).len(), 4);
}

#[test]
fn after_a_power_cut_while_a_full_disk_is_freed_each_image_is_whole_or_gone() {
    for never_room in [false, true] {
        let mut operation = 0;
        loop {
            let (volume, store, images) = on_a_full_disk(never_room);
            let first = volume.figures().operations;
            volume.cut_power_at(first + operation);
            let done = store.prune(Prune::Unheld, day(3)).is_ok() && !volume.is_dead();
            let tears = (0..8).map(Survivors::Torn);
            for survivors in [Survivors::Synced, Survivors::Written]
                .into_iter()
                .chain(tears)
            {
                let store = open(&volume.after_power_cut(survivors));
                let found = named(&store);
                assert_eq!(found["example.org/held:1"], images[0].packed.digest);
                assert!(store.list().iter().all(|image| image.is_whole));
                assert!(!done || found.len() == 1, "{found:?}");
            }
            operation += 1;
            if done {
                break;
            }
        }
        assert!(operation > 5, "{operation}");
    }
}

#[test]
fn where_all_that_can_go_is_not_enough_nothing_goes_and_the_numbers_are_true() {
    let volume = SimulatedVolume::new(1);
    let images = [1, 2, 3].map(|seed| Image::new("1", seed, 10_000));
    let size = images[0].size_bytes();
    let store = with_limits(&volume, 2 * size + 5000);
    images[0]
        .put_at(&store, &["held:1"], Some("a"), day(1))
        .unwrap();
    images[1].put(&store, &["asked:1"]).unwrap();
    let asked = BTreeSet::from([images[1].packed.digest]);
    let guard = store.pulling_beside(asked.clone());
    let err = store.begin(&images[2].packed.layer).unwrap_err();
    let numbers = match &err {
        StoreError::NoRoom {
            needed_bytes,
            held_bytes,
            busy_bytes,
            max_bytes,
        } => [*needed_bytes, *held_bytes, *busy_bytes, *max_bytes],
        other => panic!("{other}"),
    };
    assert_eq!(numbers, [10_000, size, size, 2 * size + 5000]);
    assert_eq!(store.list().len(), 2);
    assert_eq!(
        store.prune(Prune::Unheld, day(1)).unwrap(),
        Pruned::default()
    );
    drop(guard);
    // More than can ever be: what is there is not given for nothing.
    let huge = Image::new("1", 9, 40_000);
    let err = store.begin(&huge.packed.layer).unwrap_err();
    assert!(
        matches!(err, StoreError::NoRoom { busy_bytes: 0, .. }),
        "{err}"
    );
    assert_eq!(store.list().len(), 2);
    images[2].put(&store, &["last:1"]).unwrap();
    assert_eq!(
        names(&store.list()),
        ["example.org/held:1", "example.org/last:1"]
    );
}

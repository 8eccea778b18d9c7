//! What is found wrong: bytes that came, and bytes that changed while they lay here.

use wasm_edge_store::volume::simulated::SimulatedVolume;

use super::*;

/// The store of a volume in which one file was changed.
fn damaged(volume: &SimulatedVolume, name: &str, change: impl Fn(&mut Vec<u8>)) -> SimulatedVolume {
    let mut files = volume.files();
    change(files.get_mut(name).unwrap());
    SimulatedVolume::with(files, 1)
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

#[test]
fn bytes_that_are_not_those_of_the_digest_leave_nothing() {
    let volume = SimulatedVolume::new(1);
    let store = open(&volume);
    let image = Image::new("1", 1, 1000);
    let mut download = store.begin(&image.packed.layer).unwrap().unwrap();
    download.append(&[7; 1000]).unwrap();
    let err = download.finish().unwrap_err();
    assert!(
        matches!(err, StoreError::Digest { resumed: false, .. }),
        "{err}"
    );
    let mut download = store.begin(&image.packed.layer).unwrap().unwrap();
    assert_eq!(download.size_bytes(), 0);
    let err = download.append(&[0; 1001]).unwrap_err();
    assert!(matches!(err, StoreError::Size { .. }), "{err}");
    drop(download);
    assert!(volume.files().is_empty());
    image.put(&store, &["a:1"]).unwrap();
}

#[test]
fn a_part_that_went_wrong_while_it_lay_here_is_found_at_the_end_and_thrown_away() {
    let volume = SimulatedVolume::new(1);
    let image = Image::new("1", 1, 1000);
    let mut download = open(&volume).begin(&image.packed.layer).unwrap().unwrap();
    download.append(&image.component[..500]).unwrap();
    drop(download);
    let name = format!("partial/{}", image.packed.layer.digest.hex());
    let volume = damaged(&volume, &name, |bytes| bytes[100] ^= 1);
    let store = open(&volume);
    let err = image.put(&store, &["a:1"]).unwrap_err();
    assert!(
        matches!(err, StoreError::Digest { resumed: true, .. }),
        "{err}"
    );
    image.put(&store, &["a:1"]).unwrap();
    // One that became too long counts as none.
    let other = Image::new("2", 2, 1000);
    let name = format!("partial/{}", other.packed.layer.digest.hex());
    let mut files = volume.files();
    files.insert(name, vec![0; 2000]);
    let store = open(&SimulatedVolume::with(files, 1));
    other.put(&store, &["b:1"]).unwrap();
}

#[test]
fn a_manifest_is_taken_only_with_its_digest_and_with_all_its_parts() {
    let volume = SimulatedVolume::new(1);
    let store = open(&volume);
    let image = Image::new("1", 1, 100);
    let put = |digest: Digest, bytes: &[u8]| {
        let manifest = PutManifest {
            digest,
            bytes,
            media_type: crate::document::MANIFEST,
            names: &[],
            holder: None,
        };
        store.put_manifest(&manifest, day(1)).unwrap_err()
    };
    let (digest, bytes) = (image.packed.digest, &image.packed.manifest);
    assert!(matches!(
        put(Digest::of(b""), bytes),
        StoreError::Digest { .. }
    ));
    assert!(matches!(put(digest, bytes), StoreError::Missing { .. }));
    let junk = br#"{"schemaVersion":2}"#;
    assert!(matches!(
        put(Digest::of(junk), junk),
        StoreError::Manifest { .. }
    ));
    assert!(volume.files().is_empty());
}

#[test]
fn a_damaged_component_is_found_when_it_is_used_and_can_be_had_anew() {
    let volume = SimulatedVolume::new(1);
    let image = Image::new("1", 1, 1000);
    let digest = image.packed.layer.digest;
    image.put(&open(&volume), &["a:1"]).unwrap();
    let volume = damaged(&volume, &blob(&digest), |bytes| bytes[999] ^= 1);
    let store = open(&volume);
    assert!(store.resolve(&reference("a:1")).is_some());
    let err = store.component(&digest).unwrap_err();
    assert!(matches!(err, StoreError::Damaged { .. }), "{err}");
    assert_eq!(store.resolve(&reference("a:1")), None);
    let err = store.component(&digest).unwrap_err();
    assert!(matches!(err, StoreError::Missing { .. }), "{err}");
    image.put(&store, &["a:1"]).unwrap();
    store.component(&digest).unwrap();
}

#[test]
fn a_component_that_became_shorter_counts_as_absent() {
    let volume = SimulatedVolume::new(1);
    let image = Image::new("1", 1, 1000);
    image.put(&open(&volume), &["a:1"]).unwrap();
    let volume = damaged(&volume, &blob(&image.packed.layer.digest), |bytes| {
        bytes.truncate(10)
    });
    let store = open(&volume);
    assert_eq!(store.resolve(&reference("a:1")), None);
    image.put(&store, &["a:1"]).unwrap();
    assert_eq!(named(&store).len(), 1);
}

#[test]
fn an_image_whose_manifest_is_damaged_is_forgotten_with_all_that_is_left_of_it() {
    let volume = SimulatedVolume::new(1);
    let images = [1, 2].map(|seed| Image::new("1", seed, 1000));
    images[0].put(&open(&volume), &["a:1"]).unwrap();
    images[1].put(&open(&volume), &["b:1"]).unwrap();
    let volume = damaged(&volume, &blob(&images[0].packed.digest), |bytes| {
        bytes[10] ^= 1
    });
    let store = open(&volume);
    assert_eq!(
        named(&store).keys().collect::<Vec<_>>(),
        ["example.org/b:1"]
    );
    assert_eq!(store.usage().size_bytes, images[1].size_bytes());
    assert_eq!(open(&volume).list(), store.list());
}

#[test]
fn a_damaged_index_is_made_anew_and_deployments_find_their_images_by_digest() {
    let volume = SimulatedVolume::new(1);
    let images = [1, 2].map(|seed| Image::new("1", seed, 1000));
    for (image, name) in images.iter().zip(["a:1", "b:1"]) {
        image.put(&open(&volume), &[name]).unwrap();
    }
    let before = volume.files()["index.json"][..100].to_vec();
    let volume = damaged(&volume, "index.json", |bytes| bytes.truncate(100));
    for (time, store) in [open(&volume), open(&volume)].into_iter().enumerate() {
        // It is told once, with where the old one is.
        let notes = store.notes();
        assert_eq!(notes.len(), 1 - time, "{notes:?}");
        let told = |part: &str| notes.iter().all(|note| note.contains(part));
        assert!(told("made anew of what is here (2 images)"), "{notes:?}");
        assert!(told("`images/index.json.damaged`"), "{notes:?}");
        assert_eq!(volume.files()["index.json.damaged"], before);
        assert_eq!(store.resolve(&reference("a:1")), None);
        for image in &images {
            let found = store.by_digest(&image.packed.digest).unwrap();
            store.component(&found.component.digest).unwrap();
        }
    }
}

#[test]
fn images_outlive_a_list_that_is_gone_and_get_their_names_and_their_days_back() {
    let volume = SimulatedVolume::new(1);
    let image = Image::new("1", 1, 1000);
    image.put(&open(&volume), &["a:1"]).unwrap();
    let mut files = volume.files();
    files.remove("index.json");
    let volume = SimulatedVolume::with(files, 1);
    let store = open(&volume);
    let notes = store.notes();
    assert!(notes[0].contains("was not there"), "{notes:?}");
    // When it was used is not known, so its days begin now.
    for (number, gone) in [(100, 0), (106, 0), (107, 1)] {
        let pruned = store.prune(Prune::Expired, day(number)).unwrap();
        assert_eq!(pruned.images.len(), gone, "{number}");
    }
    assert!(open(&SimulatedVolume::new(1)).notes().is_empty());
}

#[test]
fn an_image_without_its_component_is_told_as_not_whole_until_it_is_there_again() {
    let volume = SimulatedVolume::new(1);
    let image = Image::new("1", 1, 1000);
    image.put(&open(&volume), &["a:1"]).unwrap();
    for part in [
        image.packed.layer.digest,
        image.packed.config_descriptor.digest,
    ] {
        let mut files = volume.files();
        files.remove(&blob(&part)).unwrap();
        let store = open(&SimulatedVolume::with(files, 1));
        assert_eq!(store.resolve(&reference("a:1")), None);
        let listed = store.list();
        assert_eq!(listed[0].names, ["example.org/a:1"]);
        assert!(!listed[0].is_whole);
        image.put(&store, &["a:1"]).unwrap();
        assert!(store.list()[0].is_whole);
    }
}

#[test]
fn what_is_called_like_nothing_of_the_store_goes_from_its_folders() {
    let volume = SimulatedVolume::new(1);
    let image = Image::new("1", 1, 100);
    image.put(&open(&volume), &["a:1"]).unwrap();
    let mut files = volume.files();
    let before = files.clone();
    let garbage = [
        "blobs/sha256/readme",
        "blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000",
        "partial/x",
        ".tmp-new",
    ];
    files.extend(garbage.map(|name| (name.to_owned(), b"junk".to_vec())));
    let volume = SimulatedVolume::with(files, 1);
    assert_eq!(named(&open(&volume)).len(), 1);
    assert_eq!(volume.files(), before);
}

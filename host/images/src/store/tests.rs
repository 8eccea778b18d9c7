//! The store on a simulated volume: what it keeps, refuses and lets go.

mod crash;
mod damage;
mod room;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use wasm_edge_store::volume::simulated::SimulatedVolume;

use super::*;
use crate::document::{ComponentFacts, ImageFacts, PackedImage};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An image as a registry would have it.
#[derive(Clone)]
struct Image {
    packed: PackedImage,
    component: Bytes,
}

impl Image {
    /// One whose component has so many bytes, told from others by a seed; images of one seed share it.
    fn new(version: &str, seed: u8, size: usize) -> Self {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        component.resize(size.max(8), seed);
        let component = Bytes::from(component);
        let facts = ImageFacts {
            created: day(0),
            author: None,
            file_name: None,
            component: ComponentFacts::default(),
            annotations: BTreeMap::from([("version".to_owned(), version.to_owned())]),
        };
        let digest = Digest::of(&component);
        Self {
            packed: PackedImage::new(digest, component.len() as u64, &facts),
            component,
        }
    }

    fn size_bytes(&self) -> u64 {
        let packed = &self.packed;
        (packed.manifest.len() + packed.config.len() + self.component.len()) as u64
    }

    /// Puts it as a pull does: the component in pieces, then the config, then the manifest.
    fn put(&self, store: &ImageStore, names: &[&str]) -> Result<StoredImage, StoreError> {
        self.put_at(store, names, None, day(1))
    }

    fn put_at(
        &self,
        store: &ImageStore,
        names: &[&str],
        holder: Option<&str>,
        now: Timestamp,
    ) -> Result<StoredImage, StoreError> {
        let _guard = store.pulling();
        if let Some(mut download) = store.begin(&self.packed.layer)? {
            let from = usize::try_from(download.size_bytes()).unwrap();
            for piece in self.component[from..].chunks(100) {
                download.append(piece)?;
            }
            download.finish()?;
        }
        store.put_blob(&self.packed.config_descriptor, &self.packed.config)?;
        let names: Vec<Reference> = names.iter().map(|name| reference(name)).collect();
        let manifest = PutManifest {
            digest: self.packed.digest,
            bytes: &self.packed.manifest,
            media_type: crate::document::MANIFEST,
            names: &names,
            holder,
        };
        store.put_manifest(&manifest, now)
    }
}

fn day(number: u32) -> Timestamp {
    Timestamp::from_unix_millis(0).after(DAY * number)
}

fn reference(name: &str) -> Reference {
    format!("example.org/{name}").parse().unwrap()
}

fn open(volume: &SimulatedVolume) -> ImageStore {
    ImageStore::on(Arc::new(volume.clone()), StoreLimits::default()).unwrap()
}

/// What each name leads to, by reading and verifying all of it.
fn named(store: &ImageStore) -> BTreeMap<String, Digest> {
    let mut named = BTreeMap::new();
    for image in store.list() {
        store.manifest(&image.manifest_digest).unwrap();
        store.component(&image.component.digest).unwrap();
        for name in image.names {
            named.insert(name, image.manifest_digest);
        }
    }
    named
}

#[test]
fn an_image_is_found_by_name_and_by_digest_and_again_after_opening() {
    let volume = SimulatedVolume::new(1);
    let image = Image::new("1", 1, 1000);
    let put = image.put(&open(&volume), &["sensor:1"]).unwrap();
    assert_eq!(put.manifest_digest, image.packed.digest);
    assert_eq!(put.size_bytes, image.size_bytes());
    assert_eq!(put.names, ["example.org/sensor:1"]);
    let store = open(&volume);
    assert_eq!(store.resolve(&reference("sensor:1")), Some(put.clone()));
    let pinned = reference("other").pinned(image.packed.digest);
    assert_eq!(store.resolve(&pinned), Some(put.clone()));
    assert_eq!(store.by_digest(&image.packed.digest), Some(put));
    assert_eq!(store.resolve(&reference("sensor:2")), None);
    let component = store.component(&image.packed.layer.digest).unwrap();
    assert_eq!(component.bytes, image.component);
    let usage = store.usage();
    assert_eq!((usage.images, usage.size_bytes), (1, image.size_bytes()));
}

#[test]
fn the_files_are_an_oci_layout() {
    let volume = SimulatedVolume::new(1);
    let image = Image::new("1", 1, 100);
    image.put(&open(&volume), &["sensor:1"]).unwrap();
    let files = volume.files();
    let blob = |digest: &Digest| &files[&format!("blobs/sha256/{}", digest.hex())];
    assert_eq!(blob(&image.packed.digest), &image.packed.manifest);
    assert_eq!(blob(&image.packed.layer.digest), &image.component);
    assert_eq!(
        blob(&image.packed.config_descriptor.digest),
        &image.packed.config
    );
    assert_eq!(files["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);
    let index: serde_json::Value = serde_json::from_slice(&files["index.json"]).unwrap();
    assert_eq!(
        index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"],
        "example.org/sensor:1"
    );
    assert_eq!(files.len(), 5);
}

#[test]
fn a_new_store_writes_nothing_and_a_change_that_is_none_neither() {
    let volume = SimulatedVolume::new(1);
    open(&volume);
    assert_eq!(volume.figures().operations, 0);
    let store = open(&volume);
    let image = Image::new("1", 1, 100);
    image.put(&store, &["sensor:1"]).unwrap();
    let before = volume.figures();
    image.put(&store, &["sensor:1"]).unwrap();
    store
        .used(&image.packed.digest, day(1).after(DAY / 2))
        .unwrap();
    store.prune(Prune::Expired, day(1)).unwrap();
    drop(store);
    open(&volume);
    assert_eq!(volume.figures(), before);
}

#[test]
fn a_tag_that_moves_leaves_the_image_before_under_its_digest() {
    let volume = SimulatedVolume::new(1);
    let store = open(&volume);
    let (old, new) = (Image::new("1", 1, 100), Image::new("2", 2, 100));
    old.put(&store, &["sensor:1", "sensor:latest"]).unwrap();
    new.put(&store, &["sensor:latest"]).unwrap();
    let names = |image: &Image| store.by_digest(&image.packed.digest).unwrap().names;
    assert_eq!(names(&old), ["example.org/sensor:1"]);
    assert_eq!(names(&new), ["example.org/sensor:latest"]);
    new.put(&store, &["sensor:1"]).unwrap();
    assert_eq!(names(&old), [""; 0]);
    assert_eq!(
        names(&new),
        ["example.org/sensor:1", "example.org/sensor:latest"]
    );
    // Back again: an image that has a name has no entry without one.
    old.put(&store, &["sensor:1"]).unwrap();
    assert_eq!(names(&old), ["example.org/sensor:1"]);
    assert_eq!(open(&volume).list(), store.list());
    assert_eq!(store.list().len(), 2);
}

#[test]
fn images_that_share_a_component_have_it_once_and_it_goes_with_the_last() {
    let volume = SimulatedVolume::new(1);
    let store = open(&volume);
    let (first, second) = (Image::new("1", 1, 1000), Image::new("2", 1, 1000));
    first.put(&store, &["a:1"]).unwrap();
    second.put(&store, &["b:1"]).unwrap();
    assert_eq!(
        store.usage().size_bytes,
        first.size_bytes() + second.packed.manifest.len() as u64
    );
    let removed = store
        .remove(&ImageName::Reference(reference("a:1")))
        .unwrap();
    assert_eq!(removed.images.len(), 1);
    assert_eq!(removed.freed_bytes, first.packed.manifest.len() as u64);
    store.component(&second.packed.layer.digest).unwrap();
    store
        .remove(&ImageName::Digest(second.packed.digest))
        .unwrap();
    assert_eq!(store.usage().size_bytes, 0);
    assert_eq!(volume.files().len(), 2);
}

#[test]
fn one_of_two_names_goes_alone_and_what_is_held_keeps_its_last_one() {
    let volume = SimulatedVolume::new(1);
    let store = open(&volume);
    let image = Image::new("1", 1, 100);
    let put = image.put_at(&store, &["a:1", "b:1"], Some("device `a`"), day(1));
    assert_eq!(put.unwrap().holders, ["device `a`"]);
    let remove = |name: &str| store.remove(&ImageName::Reference(reference(name)));
    assert_eq!(remove("a:1").unwrap(), Pruned::default());
    let refused = remove("b:1").unwrap_err().to_string();
    assert_eq!(refused, "the image `example.org/b:1` is held by device `a`");
    store.hold("device `a`", BTreeSet::new());
    assert_eq!(remove("b:1").unwrap().images.len(), 1);
    let missing = remove("b:1").unwrap_err().to_string();
    assert_eq!(missing, "the image store does not have `example.org/b:1`");
}

#[test]
fn a_store_of_another_version_is_refused_and_left_alone() {
    let volume = SimulatedVolume::new(1);
    Image::new("1", 1, 100)
        .put(&open(&volume), &["a:1"])
        .unwrap();
    let mut files = volume.files();
    let index = String::from_utf8(files["index.json"].clone()).unwrap();
    let newer = index.replace(
        r#"image-store.version": "1""#,
        r#"image-store.version": "2""#,
    );
    files.insert("index.json".to_owned(), newer.into_bytes());
    let volume = SimulatedVolume::with(files, 1);
    let err = ImageStore::on(Arc::new(volume.clone()), StoreLimits::default()).unwrap_err();
    assert_eq!(
        err.to_string(),
        "the image store has version `2`, this version reads version `1`"
    );
    assert_eq!(volume.figures().operations, 0);
}

#[test]
fn a_real_folder_holds_a_store() {
    let place = tempfile::tempdir().unwrap();
    let dir = Dir::open_ambient_dir(place.path(), cap_std::ambient_authority()).unwrap();
    let store = ImageStore::open(&dir, StoreLimits::default()).unwrap();
    let image = Image::new("1", 1, 200_000);
    image.put(&store, &["a:1"]).unwrap();
    let cut = Image::new("2", 2, 200_000);
    let mut download = store.begin(&cut.packed.layer).unwrap().unwrap();
    download.append(&cut.component[..150_000]).unwrap();
    drop(download);
    drop(store);
    let store = ImageStore::open(&dir, StoreLimits::default()).unwrap();
    assert_eq!(named(&store).len(), 1);
    let download = store.begin(&cut.packed.layer).unwrap().unwrap();
    assert_eq!(download.resumed_bytes(), 150_000);
    drop(download);
    cut.put(&store, &["b:1"]).unwrap();
    assert_eq!(
        named(&ImageStore::open(&dir, StoreLimits::default()).unwrap()).len(),
        2
    );
    let left = std::fs::read_dir(place.path().join("partial"))
        .unwrap()
        .count();
    assert_eq!(left, 0);
}

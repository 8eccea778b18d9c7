use cap_std::ambient_authority;

use super::*;
use crate::document::{ComponentFacts, ImageFacts, PackedImage};
use crate::oci_layout::BLOBS;
use crate::store::{ImageName, PutManifest, StoreLimits};

fn now() -> Timestamp {
    Timestamp::from_unix_millis(0)
}

fn reference(name: &str) -> Reference {
    name.parse().unwrap()
}

struct Place {
    _place: tempfile::TempDir,
    path: std::path::PathBuf,
    dir: Dir,
}

fn place() -> Place {
    let place = tempfile::tempdir().unwrap();
    let dir = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
    Place {
        path: place.path().to_owned(),
        _place: place,
        dir,
    }
}

fn store(place: &Place) -> ImageStore {
    ImageStore::open(&place.dir, StoreLimits::default()).unwrap()
}

fn packed(seed: u8) -> (PackedImage, Vec<u8>) {
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    component.resize(100_000 + usize::from(seed), seed);
    let facts = ImageFacts {
        created: now(),
        author: None,
        file_name: None,
        component: ComponentFacts::default(),
        annotations: BTreeMap::new(),
    };
    let digest = Digest::of(&component);
    (
        PackedImage::new(digest, component.len() as u64, &facts),
        component,
    )
}

fn put(store: &ImageStore, seed: u8, names: &[&str]) -> StoredImage {
    let (packed, component) = packed(seed);
    let _guard = store.pulling();
    store.put_blob(&packed.layer, &component).unwrap();
    store
        .put_blob(&packed.config_descriptor, &packed.config)
        .unwrap();
    let names: Vec<Reference> = names.iter().map(|name| reference(name)).collect();
    let manifest = PutManifest {
        digest: packed.digest,
        bytes: &packed.manifest,
        media_type: crate::document::MANIFEST,
        names: &names,
        holder: None,
    };
    store.put_manifest(&manifest, now()).unwrap()
}

fn tar_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in entries {
        archive.extend(tar::header(name, content.len() as u64));
        archive.extend_from_slice(content);
        archive.extend(tar::padding(content.len() as u64));
    }
    archive.extend(tar::END);
    archive
}

/// The parts of an archive with one image.
fn parts(name: &str) -> Vec<(String, Vec<u8>)> {
    let place = place();
    let store = store(&place);
    let image = put(&store, 1, &[name]);
    let mut archive = Vec::new();
    save_tar(&store, &[image], &mut archive).unwrap();
    let mut archive = tar::Archive::new(&archive[..]);
    let mut parts = Vec::new();
    while let Some(entry) = archive.next().unwrap() {
        let mut content = vec![0; usize::try_from(entry.size_bytes).unwrap()];
        let mut filled = 0;
        while filled < content.len() {
            filled += archive.read(&mut content[filled..]).unwrap();
        }
        parts.push((entry.name, content));
    }
    parts
}

fn archive(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<(&str, &[u8])> = parts
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_slice()))
        .collect();
    tar_of(&entries)
}

/// Loads an archive into a new store, and what it says; nothing is left where it fails.
fn load(archive: &[u8]) -> Result<Loaded, LayoutError> {
    let place = place();
    let store = store(&place);
    let loaded = load_tar(&store, archive, None, now());
    if loaded.is_err() {
        assert_eq!(store.usage().size_bytes, 0);
        let left = std::fs::read_dir(place.path.join("blobs/sha256")).unwrap();
        assert_eq!(left.count(), 0);
    }
    loaded
}

fn fails(archive: &[u8], expected: &str) {
    let err = load(archive).unwrap_err();
    let told = wasm_edge_model::error::chain(&err);
    assert!(told.contains(expected), "{told}");
}

#[test]
fn what_is_saved_is_loaded_from_archive_and_folder() {
    let (from, to, folder) = (place(), place(), place());
    let source = store(&from);
    let images = [
        put(&source, 1, &["example.org/a:1", "example.org/a:2"]),
        put(&source, 2, &[]),
    ];
    let mut archive = Vec::new();
    save_tar(&source, &images, &mut archive).unwrap();
    save_folder(&source, &images, &folder.dir).unwrap();
    for from_folder in [false, true] {
        let target = store(&to);
        let loaded = match from_folder {
            true => load_folder(&target, &folder.dir, None, now()),
            false => load_tar(&target, &archive[..], None, now()),
        };
        assert_eq!(loaded.unwrap().images.len(), 2);
        let sorted = |store: &ImageStore| {
            let mut list = store.list();
            list.sort_by_key(|image| image.manifest_digest);
            list
        };
        assert_eq!(sorted(&target), sorted(&source));
        for image in target.list() {
            target.verify(&image).unwrap();
            target
                .remove(&ImageName::Digest(image.manifest_digest))
                .unwrap();
        }
    }
}

#[test]
fn parts_may_come_in_any_order_and_what_is_beside_them_is_passed_over() {
    let mut parts = parts("example.org/a:1");
    parts.reverse();
    parts.insert(0, ("manifest.json".to_owned(), b"[]".to_vec()));
    parts.insert(0, ("../../etc/passwd".to_owned(), b"x".to_vec()));
    parts.insert(0, ("/absolute".to_owned(), b"x".to_vec()));
    parts.insert(0, ("blobs/sha256/../../../x".to_owned(), b"x".to_vec()));
    for part in &mut parts {
        part.0 = format!("./{}", part.0);
    }
    let loaded = load(&archive(&parts)).unwrap();
    assert_eq!(loaded.images[0].names, ["example.org/a:1"]);
    assert!(loaded.passed_over.is_empty() && loaded.names_not_taken.is_empty());
}

#[test]
fn a_name_that_is_given_takes_the_place_of_the_layouts_own() {
    let (from, to) = (place(), place());
    let source = store(&from);
    let images = [put(&source, 1, &["example.org/a:1"]), put(&source, 2, &[])];
    let saved = |images: &[StoredImage]| {
        let mut archive = Vec::new();
        save_tar(&source, images, &mut archive).unwrap();
        archive
    };
    let name = reference("example.org/b:7");
    let target = store(&to);
    let loaded = load_tar(&target, &saved(&images[..1])[..], Some(&name), now()).unwrap();
    assert_eq!(loaded.images[0].names, ["example.org/b:7"]);
    let err = load_tar(&target, &saved(&images)[..], Some(&name), now()).unwrap_err();
    assert!(matches!(err, LayoutError::OneName { count: 2 }), "{err}");
}

#[test]
fn no_name_with_the_digest_of_another_image_is_taken() {
    let pinned = format!("example.org/a@sha256:{}", "0".repeat(64));
    let place = place();
    let store = store(&place);
    let name = reference(&pinned);
    let whole = archive(&parts(&pinned));
    let loaded = load_tar(&store, &whole[..], None, now()).unwrap();
    assert!(loaded.images[0].names.is_empty(), "{:?}", loaded.images);
    assert_eq!(loaded.names_not_taken[0].name, pinned);
    assert_eq!(
        loaded.names_not_taken[0].reason,
        "it has the digest of another image"
    );
    assert!(store.resolve(&name).is_none());
    let err = load_tar(&store, &whole[..], Some(&name), now()).unwrap_err();
    assert!(matches!(err, LayoutError::OtherDigest { .. }), "{err}");
    assert!(store.resolve(&name).is_none());
    let right = reference(&format!(
        "example.org/a@{}",
        loaded.images[0].manifest_digest
    ));
    load_tar(&store, &whole[..], Some(&right), now()).unwrap();
    assert!(store.resolve(&right).is_some());
}

#[test]
fn a_tag_alone_names_nothing_outside_its_layout() {
    let check = |annotations: &[(&str, &str)], expected: Option<&str>| {
        let annotations = annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let text = load::text_of(&annotations);
        let mut not_taken = Vec::new();
        let texts: Vec<String> = text.into_iter().collect();
        let found = load::names_of(&texts, &Digest::of(b""), &mut not_taken);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.first().map(String::as_str), expected);
        assert_eq!(texts.len(), found.len() + not_taken.len());
    };
    let full = "io.containerd.image.name";
    check(&[], None);
    check(&[(NAME_KEY, "1.2")], None);
    check(&[(NAME_KEY, "latest")], None);
    check(&[(NAME_KEY, "a.b/c:1")], Some("a.b/c:1"));
    check(&[(NAME_KEY, "1"), (full, "a.b/c:1")], Some("a.b/c:1"));
    check(&[(NAME_KEY, "../x")], None);
}

#[test]
fn what_is_no_layout_is_told_as_what_it_is() {
    fails(b"\x1f\x8b\x08 compressed", "unexpected end of file");
    fails(&[0x1f; 1024], "it is not a tar archive");
    fails(&tar_of(&[]), "it has no `index.json`");
    fails(
        &tar_of(&[("index.json", b"{")]),
        "is not a manifest that can be read",
    );
    let empty = br#"{"schemaVersion":2,"manifests":[]}"#;
    fails(
        &tar_of(&[("index.json", empty)]),
        "the image layout has no images",
    );
    fails(
        &tar_of(&[("index.json", empty), ("index.json", empty)]),
        "`index.json` is twice",
    );
    let large = vec![b' '; 2 << 20];
    fails(&tar_of(&[("index.json", &large)]), "more than 1048576");
}

#[test]
fn a_layout_that_was_changed_leaves_nothing() {
    let whole = parts("example.org/a:1");
    for (number, (name, content)) in whole.iter().enumerate() {
        if !name.starts_with(BLOBS) {
            continue;
        }
        let mut changed = whole.clone();
        changed[number].1[content.len() / 2] ^= 1;
        fails(&archive(&changed), "the digest of what came is");
        let mut without = whole.clone();
        without.remove(number);
        fails(&archive(&without), "is not in the image layout");
        let mut link = archive(&whole);
        let at = link
            .windows(name.len())
            .position(|part| part == name.as_bytes())
            .filter(|at| at % 512 == 0)
            .unwrap_or_else(|| header_of(&link, name));
        make_link(&mut link[at..at + 512]);
        fails(&link, "is not a file");
    }
    let archive = archive(&whole);
    for end in [100, 1000, 2000, archive.len() / 2, archive.len() - 2000] {
        fails(&archive[..end], "");
    }
}

/// Where the header of an entry is.
fn header_of(archive: &[u8], name: &str) -> usize {
    let blocks = archive.len() / 512;
    let is_header = |block: &usize| archive[block * 512..].starts_with(name.as_bytes());
    (0..blocks).find(is_header).unwrap() * 512
}

fn make_link(header: &mut [u8]) {
    let name = String::from_utf8(header[..100].to_vec()).unwrap();
    let size = String::from_utf8(header[124..135].to_vec()).unwrap();
    let size = u64::from_str_radix(&size, 8).unwrap();
    let mut link = tar::header(name.trim_end_matches('\0'), size);
    // The sum counts the kind, '0' before and '2' after.
    link[156] = b'2';
    let sum = String::from_utf8(link[148..154].to_vec()).unwrap();
    let sum = u32::from_str_radix(&sum, 8).unwrap() + 2;
    link[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    header.copy_from_slice(&link);
}

#[test]
fn a_folder_with_links_and_pipes_is_refused() {
    let from = place();
    let source = store(&from);
    let image = put(&source, 1, &["example.org/a:1"]);
    let layer = format!("{BLOBS}{}", image.component.digest.hex());
    let refuse = |change: &dyn Fn(&std::path::Path)| {
        let (folder, to) = (place(), place());
        save_folder(&source, std::slice::from_ref(&image), &folder.dir).unwrap();
        change(&folder.path.join(&layer));
        let store = store(&to);
        let err = load_folder(&store, &folder.dir, None, now()).unwrap_err();
        assert_eq!(store.usage().size_bytes, 0);
        wasm_edge_model::error::chain(&err)
    };
    let told = refuse(&|path| {
        std::fs::rename(path, path.with_extension("x")).unwrap();
        std::os::unix::fs::symlink(path.with_extension("x"), path).unwrap();
    });
    assert!(told.contains("is not a file"), "{told}");
    let told = refuse(&|path| {
        std::fs::remove_file(path).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
    });
    assert!(told.contains("is not a file"), "{told}");
    let told = refuse(&|path| std::fs::write(path, b"changed").unwrap());
    assert!(told.contains("7 bytes came of"), "{told}");
}

#[test]
fn an_image_of_containers_is_told_and_passed_over_beside_others() {
    let manifest = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":2}]}"#;
    let digest = Digest::of(manifest.as_bytes());
    let entry = json!({ "mediaType": crate::document::MANIFEST, "digest": digest.to_string(), "size": manifest.len() });
    let alone = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();
    let blob = (blob_path(&digest), manifest.as_bytes().to_vec());
    let index = |text: String| (INDEX_FILE.to_owned(), text.into_bytes());
    fails(
        &archive(&[index(alone), blob.clone()]),
        "its layer is `application/vnd.oci.image.layer.v1.tar+gzip`",
    );
    let mut both = parts("example.org/a:1");
    for (_, content) in both.iter_mut().filter(|(name, _)| name == INDEX_FILE) {
        let mut index: serde_json::Value = serde_json::from_slice(content).unwrap();
        index["manifests"]
            .as_array_mut()
            .unwrap()
            .push(entry.clone());
        *content = index.to_string().into_bytes();
    }
    both.push(blob);
    let loaded = load(&archive(&both)).unwrap();
    assert_eq!(loaded.images.len(), 1);
    let passed_over = &loaded.passed_over[0];
    assert_eq!(passed_over.digest, digest);
    assert!(passed_over.reason.contains("tar+gzip"), "{passed_over:?}");
    // Two of them, and nothing else.
    let other = manifest.replace("\"size\":2", "\"size\":3");
    let second = Digest::of(other.as_bytes());
    let mut entries = vec![entry.clone(), entry];
    entries[1]["digest"] = second.to_string().into();
    let alone = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
    let foreign = [
        index(alone),
        (blob_path(&digest), manifest.as_bytes().to_vec()),
        (blob_path(&second), other.into_bytes()),
    ];
    fails(
        &archive(&foreign),
        "none of the 2 images in the image layout can be used: `sha256:",
    );
}

#[test]
fn an_archive_larger_than_the_store_may_be_is_refused() {
    let to = place();
    let limits = StoreLimits {
        max_bytes: 50_000,
        ..StoreLimits::default()
    };
    let store = ImageStore::open(&to.dir, limits).unwrap();
    let archive = archive(&parts("example.org/a:1"));
    let err = load_tar(&store, &archive[..], None, now()).unwrap_err();
    let told = wasm_edge_model::error::chain(&err);
    assert!(told.contains("do not fit into the image store"), "{told}");
    assert_eq!(store.usage().size_bytes, 0);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    /// Whatever is changed of an archive, it is loaded whole or not at all.
    #[test]
    fn an_archive_with_bytes_changed_is_loaded_whole_or_leaves_nothing(
        changes in proptest::collection::vec((0.0..1.0_f64, proptest::prelude::any::<u8>()), 1..8),
        end in 0.0..2.0_f64,
    ) {
        let mut archive = archive(&parts("example.org/a:1"));
        let place = |share: f64, length: usize| (share * length as f64) as usize;
        for (share, byte) in changes {
            // Headers and documents are in the first blocks, the rest is one large blob.
            let at = place(share, archive.len().min(8192));
            archive[at] = byte;
        }
        archive.truncate(place(end, archive.len()));
        let loaded = load(&archive);
        proptest::prop_assert!(loaded.is_err() || loaded.is_ok_and(|loaded| loaded.images.len() == 1));
    }
}

#[test]
fn what_is_saved_has_the_names_that_were_asked_for_and_each_image_once() {
    let place = place();
    let store = store(&place);
    let image = put(&store, 1, &["a.b/c:1", "a.b/c:2", "a.b/c:3"]);
    let digest = image.manifest_digest;
    let check = |asked: &[ImageName], expected: &[&str]| {
        let asked = asked.iter().map(|name| (image.clone(), name.clone()));
        let selected = selected(asked);
        assert_eq!(selected.len(), 1);
        assert_eq!(selected[0].names, expected);
    };
    let named = |name: &str| ImageName::Reference(reference(name));
    let all = ["a.b/c:1", "a.b/c:2", "a.b/c:3"];
    check(&[named("a.b/c:2")], &["a.b/c:2"]);
    check(
        &[named("a.b/c:3"), named("a.b/c:1"), named("a.b/c:3")],
        &["a.b/c:1", "a.b/c:3"],
    );
    check(&[ImageName::Digest(digest)], &all);
    check(&[named(&format!("a.b/c@{digest}"))], &all);
    assert!(selected([]).is_empty());
}

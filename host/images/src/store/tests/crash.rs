//! Power cuts and failures at every operation, and the proof that these tests find what they look for.

use wasm_edge_store::disk::faults::Survivors;
use wasm_edge_store::volume::SyncSite;
use wasm_edge_store::volume::simulated::{Failure, SimulatedVolume};

use super::*;
use crate::store::files::site;

/// How many ways of tearing are tried at each operation.
const TEARS: u64 = 6;

type Named = BTreeMap<String, Digest>;

type Step = fn(&ImageStore, &Images) -> Result<(), StoreError>;

/// What happens to the store, a step after the other.
const STEPS: [Step; 9] = [
    |store, images| images.first.put(store, &["a:1"]).map(drop),
    |store, images| {
        // Cut in the middle, and gone on with in the next step.
        let mut download = store
            .begin(&images.second.packed.layer)?
            .expect("it is new");
        download.append(&images.second.component[..700])
    },
    |store, images| images.second.put(store, &["a:1", "b:1"]).map(drop),
    |store, images| images.sharing.put(store, &["c:1"]).map(drop),
    |store, _| {
        store
            .remove(&ImageName::Reference(reference("b:1")))
            .map(drop)
    },
    |store, images| {
        store.hold("device", BTreeSet::from([images.second.packed.digest]));
        store.prune(Prune::Unheld, day(3)).map(drop)
    },
    |store, images| images.first.put(store, &["b:1"]).map(drop),
    |store, images| store.used(&images.second.packed.digest, day(9)),
    |store, images| images.sharing.put(store, &["b:1"]).map(drop),
];

/// What the names lead to after so many steps.
fn after(steps: usize, images: &Images) -> Named {
    let (first, second, sharing) = (
        images.first.packed.digest,
        images.second.packed.digest,
        images.sharing.packed.digest,
    );
    let named: &[(&str, Digest)] = match steps {
        0 => &[],
        1 | 2 => &[("a:1", first)],
        3 => &[("a:1", second), ("b:1", second)],
        4 => &[("a:1", second), ("b:1", second), ("c:1", sharing)],
        5 => &[("a:1", second), ("c:1", sharing)],
        6 => &[("a:1", second)],
        7 | 8 => &[("a:1", second), ("b:1", first)],
        _ => &[("a:1", second), ("b:1", sharing)],
    };
    named
        .iter()
        .map(|(name, digest)| (format!("example.org/{name}"), *digest))
        .collect()
}

struct Images {
    first: Image,
    second: Image,
    sharing: Image,
}

fn images() -> Images {
    Images {
        first: Image::new("1", 1, 900),
        second: Image::new("2", 2, 1500),
        sharing: Image::new("3", 2, 1500),
    }
}

/// Does the steps one after the other, as far as they go; a step that failed is not tried again. Answers how many
/// were done, and whether the one after them was begun.
fn story(volume: &SimulatedVolume, images: &Images) -> (usize, bool) {
    let Ok(store) = ImageStore::on(Arc::new(volume.clone()), StoreLimits::default()) else {
        return (0, false);
    };
    for (done, step) in STEPS.iter().enumerate() {
        if step(&store, images).is_err() {
            return (done, true);
        }
    }
    (STEPS.len(), false)
}

/// Opens what is left, and looks whether it is one of the states that it may be in, whole and without garbage.
fn look(volume: &SimulatedVolume, images: &Images, told: (usize, bool)) -> Result<(), String> {
    let store = ImageStore::on(Arc::new(volume.clone()), StoreLimits::default());
    let store = store.map_err(|err| format!("it does not open: {err}"))?;
    let mut found = Named::new();
    for image in store.list() {
        let digest = image.manifest_digest;
        let broken = |err: StoreError| format!("{:?} is broken: {err}", image.names);
        store.manifest(&digest).map_err(broken)?;
        store.component(&image.component.digest).map_err(broken)?;
        store.by_digest(&digest).ok_or("an image is not whole")?;
        found.extend(image.names.iter().map(|name| (name.clone(), digest)));
    }
    let (done, begun) = told;
    let expected = (done..=done + usize::from(begun)).map(|steps| after(steps, images));
    let expected: Vec<Named> = expected.collect();
    // Where a step fails in the middle, its names may be there one by one in any order of steps; ours are set at once.
    if !expected.contains(&found) {
        return Err(format!("found {found:?}, expected one of {expected:?}"));
    }
    let mut known: BTreeSet<String> = ["index.json", "oci-layout"].map(str::to_owned).into();
    for image in store.list() {
        let parts = [
            image.manifest_digest,
            image.config.digest,
            image.component.digest,
        ];
        known.extend(parts.map(|digest| format!("blobs/sha256/{}", digest.hex())));
    }
    for name in volume.files().into_keys() {
        if !known.contains(&name) && !name.starts_with("partial/") {
            return Err(format!("`{name}` is garbage"));
        }
    }
    // It can be gone on with; a part that was torn is found at its end, and fetched anew.
    let mut last = images.second.put(&store, &["last:1"]);
    if let Err(StoreError::Digest { resumed: true, .. }) = last {
        last = images.second.put(&store, &["last:1"]);
    }
    last.map(drop).map_err(|err| err.to_string())
}

/// Cuts the power at each operation, with all ways of surviving.
fn cut_everywhere(images: &Images, switched_off: Option<SyncSite>) -> Result<usize, String> {
    let undisturbed = SimulatedVolume::new(1);
    assert_eq!(story(&undisturbed, images), (STEPS.len(), false));
    let operations = undisturbed.figures().operations;
    let tears = (0..TEARS).map(Survivors::Torn);
    let survivors: Vec<Survivors> = [Survivors::Synced, Survivors::Written]
        .into_iter()
        .chain(tears)
        .collect();
    for operation in 0..=operations {
        let volume = SimulatedVolume::new(operation as u64);
        volume.cut_power_at(operation);
        if let Some(site) = switched_off {
            volume.switch_off(site);
        }
        let told = story(&volume, images);
        for survivors in &survivors {
            let left = volume.after_power_cut(*survivors);
            look(&left, images, told)
                .map_err(|wrong| format!("operation {operation}, {survivors:?}: {wrong}"))?;
        }
    }
    Ok(operations)
}

#[test]
fn after_a_power_cut_at_any_operation_each_image_is_there_whole_or_not_at_all() {
    let operations = cut_everywhere(&images(), None).unwrap();
    assert!(operations > 100, "{operations}");
}

#[test]
fn with_any_one_sync_switched_off_these_tests_fail() {
    let images = images();
    for site in site::ALL {
        let missed = cut_everywhere(&images, Some(site));
        assert!(missed.is_err(), "nobody misses the sync `{}`", site.0);
    }
}

#[test]
fn a_failure_at_any_operation_leaves_what_was_there_and_the_rest_goes_on() {
    let images = images();
    let undisturbed = SimulatedVolume::new(1);
    story(&undisturbed, &images);
    for failure in [Failure::Device, Failure::Full] {
        for operation in 0..undisturbed.figures().operations {
            let volume = SimulatedVolume::new(operation as u64);
            volume.fail(operation..operation + 1, failure);
            let told = story(&volume, &images);
            look(&volume, &images, told)
                .unwrap_or_else(|wrong| panic!("{failure:?} at operation {operation}: {wrong}"));
        }
    }
}

#[test]
fn a_store_goes_on_after_failures_and_a_power_cut_later_finds_it_in_order() {
    let images = images();
    for seed in 0..300 {
        let volume = SimulatedVolume::new(seed);
        let store = ImageStore::on(Arc::new(volume.clone()), StoreLimits::default()).unwrap();
        volume.fail_one_in(Some(15));
        for step in STEPS {
            // Each is tried until it is done, as a device would.
            while step(&store, &images).is_err() {}
        }
        volume.fail_one_in(None);
        let told = (STEPS.len(), false);
        for survivors in [Survivors::Synced, Survivors::Written, Survivors::Torn(seed)] {
            look(&volume.after_power_cut(survivors), &images, told)
                .unwrap_or_else(|wrong| panic!("seed {seed}, {survivors:?}: {wrong}"));
        }
    }
}

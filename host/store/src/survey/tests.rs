use std::os::unix::fs::PermissionsExt as _;

use wasm_edge_model::identity::DeviceId;

use super::*;
use crate::database::{Database, Format, Table};
use crate::folder::DataFolder;

const FORMAT: Format = Format {
    kind: "device",
    version: 1,
};

fn survey(path: &Path) -> Survey {
    Survey::of(path).unwrap().expect("the folder is there")
}

/// A data folder with a device, its key and a database, as a process leaves it.
fn used(path: &Path) {
    let folder = DataFolder::open(path).unwrap();
    let device = folder.device(&DeviceId::new("d1").unwrap()).unwrap();
    MasterKey::open(&device.keys().unwrap()).unwrap();
    let database = Database::open(&device.store().unwrap(), "device.redb", FORMAT).unwrap();
    let change = |transaction: &mut database::Transaction<'_>| {
        transaction.put(Table("twins"), b"m", &[7; 1000])
    };
    database.transact::<_, DatabaseError>(change).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_folder_that_is_not_there_empty_or_foreign_is_told_apart() {
    let place = tempfile::tempdir().unwrap();
    assert!(Survey::of(&place.path().join("none")).unwrap().is_none());
    assert_eq!(survey(place.path()).content, Content::Empty);
    fs::write(place.path().join("letter.txt"), "dear").unwrap();
    assert_eq!(survey(place.path()).content, Content::Foreign);
    assert!(Survey::of(&place.path().join("letter.txt")).is_err());
}

#[test]
fn a_folder_in_order_shows_no_fault_and_is_not_changed() {
    let place = tempfile::tempdir().unwrap();
    used(place.path());
    let file = place.path().join("devices/d1/store/device.redb");
    let before = fs::read(&file).unwrap();
    let found = survey(place.path());
    assert_eq!(
        (found.content, found.holder),
        (Content::Known, Holder::Nobody)
    );
    assert_eq!(found.keys.len(), 1);
    assert!(found.keys[0].problem.is_none(), "{:?}", found.keys);
    let recorded = found.databases[0]
        .format
        .as_ref()
        .unwrap()
        .as_ref()
        .unwrap();
    assert_eq!((recorded.kind.as_str(), recorded.version), ("device", 1));
    assert!(
        found.exposed.is_empty() && found.unread.is_empty(),
        "{:?}",
        found.exposed
    );
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn the_holder_is_named_and_its_databases_are_left_alone() {
    let place = tempfile::tempdir().unwrap();
    used(place.path());
    let folder = DataFolder::open(place.path()).unwrap();
    let found = survey(place.path());
    assert_eq!(found.holder, Holder::Process(Some(std::process::id())));
    assert!(found.databases.is_empty());
    drop(folder);
    assert_eq!(survey(place.path()).holder, Holder::Nobody);
}

#[test]
fn a_damaged_database_and_another_format_are_found() {
    let place = tempfile::tempdir().unwrap();
    used(place.path());
    let store = place.path().join("devices/d1/store");
    fs::write(store.join("damaged.redb"), [1; 5000]).unwrap();
    fs::write(store.join("old.redb.damaged-1"), "x").unwrap();
    let found = survey(place.path());
    let faults: Vec<_> = found
        .databases
        .iter()
        .filter_map(|it| it.format.as_ref().err())
        .collect();
    assert!(
        matches!(faults[..], [DatabaseError::Damaged { .. }]),
        "{faults:?}"
    );
    assert_eq!(
        found.put_aside,
        [Path::new("devices/d1/store/old.redb.damaged-1")]
    );

    fs::write(place.path().join("format"), "wasm-edge-data 9\n").unwrap();
    assert_eq!(survey(place.path()).content, Content::Other { found: 9 });
    fs::write(place.path().join("format"), vec![b'x'; 5000]).unwrap();
    assert_eq!(survey(place.path()).content, Content::Damaged);
}

#[test]
fn what_others_may_read_is_named() {
    let place = tempfile::tempdir().unwrap();
    used(place.path());
    let key = place.path().join("devices/d1/keys/master.key");
    set_mode(&key, 0o644);
    set_mode(&place.path().join("devices"), 0o755);
    set_mode(&place.path().join("devices/d1/store/device.redb"), 0o660);
    let found = survey(place.path());
    assert!(matches!(
        found.keys[0].problem,
        Some(KeyError::Exposed { mode: 0o644 })
    ));
    let expected = [
        (PathBuf::from("devices"), 0o755),
        (PathBuf::from("devices/d1/store/device.redb"), 0o660),
    ];
    assert_eq!(found.exposed, expected);
}

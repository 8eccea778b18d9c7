use cap_std::ambient_authority;

use super::*;
use crate::disk::faults::{Fault, SimulatedDisk, Survivors};

const FORMAT: Format = Format {
    kind: "test",
    version: 1,
};
const T: Table = Table("t");

fn folder() -> (tempfile::TempDir, Dir) {
    let place = tempfile::tempdir().unwrap();
    let dir = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
    (place, dir)
}

fn put(database: &Database, entries: &[(&[u8], &[u8])]) -> Result<(), DatabaseError> {
    database.transact(|transaction| {
        entries
            .iter()
            .try_for_each(|(key, value)| transaction.put(T, key, value))
    })
}

fn keys(page: &Page) -> Vec<String> {
    page.entries
        .iter()
        .map(|(key, _)| String::from_utf8(key.clone()).unwrap())
        .collect()
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let (_place, dir) = folder();
    let database = Database::open(&dir, "a.redb", FORMAT).unwrap();
    assert_eq!(database.get(T, b"k").unwrap(), None);
    put(&database, &[(b"k", b"v")]).unwrap();
    drop(database);
    let database = Database::open(&dir, "a.redb", FORMAT).unwrap();
    assert_eq!(database.get(T, b"k").unwrap().unwrap(), b"v");
    assert!(database.set_aside().is_none());
}

#[test]
fn a_transaction_that_fails_changes_nothing() {
    let (_place, dir) = folder();
    let database = Database::open(&dir, "a.redb", FORMAT).unwrap();
    put(&database, &[(b"k", b"old")]).unwrap();
    let err = put(&database, &[(b"k", b"new"), (&[0; KEY_MAX_BYTES + 1], b"")]).unwrap_err();
    assert!(
        matches!(err, DatabaseError::KeyTooLong { found: 1025, .. }),
        "{err}"
    );
    assert_eq!(database.get(T, b"k").unwrap().unwrap(), b"old");
    let err = put(&database, &[(b"k", &vec![0; VALUE_MAX_BYTES + 1])]).unwrap_err();
    assert!(matches!(err, DatabaseError::ValueTooLong { .. }), "{err}");
}

#[test]
fn a_transaction_sees_its_own_changes() {
    let (_place, dir) = folder();
    let database = Database::open(&dir, "a.redb", FORMAT).unwrap();
    let removed = database.transact(|transaction| {
        transaction.put(T, b"k", b"v")?;
        assert_eq!(transaction.get(T, b"k")?.unwrap(), b"v");
        let removed = (transaction.remove(T, b"k")?, transaction.remove(T, b"k")?);
        Ok::<_, DatabaseError>(removed)
    });
    assert_eq!(removed.unwrap(), (true, false));
    assert_eq!(database.get(T, b"k").unwrap(), None);
}

#[test]
fn a_transaction_without_changes_writes_nothing() {
    let disk = SimulatedDisk::new(Vec::new(), Fault::None);
    let database = Database::on_disk("a", disk.clone(), FORMAT).unwrap();
    put(&database, &[(b"k", b"v")]).unwrap();
    let before = disk.operations();
    database
        .transact(|transaction| {
            transaction.get(T, b"k")?;
            transaction.remove(T, b"missing")
        })
        .unwrap();
    assert_eq!(disk.operations(), before);
}

#[test]
fn scans_go_by_prefix_in_pages() {
    let (_place, dir) = folder();
    let database = Database::open(&dir, "a.redb", FORMAT).unwrap();
    assert_eq!(database.scan(T, b"", None, 9).unwrap(), Page::default());
    put(
        &database,
        &[
            (b"a", b""),
            (b"b/1", b""),
            (b"b/2", b""),
            (b"b/3", b""),
            (b"c", b""),
        ],
    )
    .unwrap();
    let page = database.scan(T, b"b/", None, 2).unwrap();
    assert_eq!(
        (keys(&page), page.more),
        (vec!["b/1".into(), "b/2".into()], true)
    );
    let page = database.scan(T, b"b/", Some(b"b/2"), 2).unwrap();
    assert_eq!((keys(&page), page.more), (vec!["b/3".into()], false));
    let page = database.scan(T, b"", Some(b"b"), 9).unwrap();
    assert_eq!(keys(&page), ["b/1", "b/2", "b/3", "c"]);
    assert_eq!(
        keys(&database.scan(T, b"b/", Some(b"a"), 9).unwrap()).len(),
        3
    );
}

#[test]
fn a_page_ends_when_it_is_big() {
    let (_place, dir) = folder();
    let database = Database::open(&dir, "a.redb", FORMAT).unwrap();
    let value = vec![7; PAGE_MAX_BYTES / 2];
    put(&database, &[(b"1", &value), (b"2", &value), (b"3", &value)]).unwrap();
    let page = database.scan(T, b"", None, 10).unwrap();
    assert_eq!(
        (keys(&page), page.more),
        (vec!["1".into(), "2".into()], true)
    );
}

#[test]
fn another_kind_or_version_is_refused_by_name_and_kept() {
    let (_place, dir) = folder();
    drop(Database::open(&dir, "a.redb", FORMAT).unwrap());
    for (format, expected) in [
        (
            Format {
                kind: "test",
                version: 2,
            },
            "has format `test 1`, this version reads `test 2`",
        ),
        (
            Format {
                kind: "hub",
                version: 1,
            },
            "has format `test 1`, this version reads `hub 1`",
        ),
    ] {
        let err = Database::open(&dir, "a.redb", format).unwrap_err();
        assert!(err.to_string().ends_with(expected), "{err}");
    }
    Database::open(&dir, "a.redb", FORMAT).unwrap();
    assert_eq!(dir.entries().unwrap().count(), 1);
}

#[test]
fn a_database_is_open_once() {
    let (_place, dir) = folder();
    let _first = Database::open(&dir, "a.redb", FORMAT).unwrap();
    let err = Database::open(&dir, "a.redb", FORMAT).unwrap_err();
    assert!(matches!(err, DatabaseError::InUse { .. }), "{err}");
}

/// Opens a database whose file was changed by `harm`.
fn harmed(
    harm: impl FnOnce(&mut Vec<u8>),
) -> (tempfile::TempDir, Dir, Result<Database, DatabaseError>) {
    let (place, dir) = folder();
    let database = Database::open(&dir, "a.redb", FORMAT).unwrap();
    put(&database, &[(b"k", &[b'v'; 2000])]).unwrap();
    drop(database);
    let mut bytes = dir.read("a.redb").unwrap();
    harm(&mut bytes);
    dir.write("a.redb", bytes).unwrap();
    let opened = Database::open(&dir, "a.redb", FORMAT);
    (place, dir, opened)
}

fn check_set_aside(harm: impl FnOnce(&mut Vec<u8>)) {
    let (_place, dir, opened) = harmed(harm);
    let database = opened.unwrap();
    let aside = database.set_aside().unwrap();
    assert_eq!(aside.name, "a.redb.damaged-1");
    assert!(!aside.cause.is_empty());
    assert!(dir.exists("a.redb.damaged-1"));
    assert_eq!(database.get(T, b"k").unwrap(), None);
    put(&database, &[(b"k", b"new")]).unwrap();
}

#[test]
fn a_damaged_file_is_put_aside_and_an_empty_database_takes_its_place() {
    check_set_aside(|bytes| bytes[0] ^= 1);
    check_set_aside(|bytes| bytes.truncate(100));
    check_set_aside(|bytes| bytes.truncate(bytes.len() / 2));
    check_set_aside(|bytes| {
        let value = bytes.windows(100).position(|w| w == [b'v'; 100]).unwrap();
        bytes[value] ^= 1;
    });
}

#[test]
fn damaged_files_are_kept_in_bounded_number_and_never_replaced() {
    let (_place, dir, _) = harmed(|bytes| bytes[0] ^= 1);
    for number in 2..=DAMAGED_FILES_MAX {
        dir.write("a.redb", b"not a database").unwrap();
        let database = Database::open(&dir, "a.redb", FORMAT).unwrap();
        assert_eq!(
            database.set_aside().unwrap().name,
            format!("a.redb.damaged-{number}")
        );
    }
    dir.write("a.redb", b"not a database").unwrap();
    let err = Database::open(&dir, "a.redb", FORMAT).unwrap_err();
    assert!(matches!(err, DatabaseError::TooManyDamaged { .. }), "{err}");
    assert_eq!(dir.read("a.redb").unwrap(), b"not a database");
}

#[test]
fn a_full_disk_is_an_error_and_not_a_damage() {
    let whole = SimulatedDisk::new(Vec::new(), Fault::None);
    let database = Database::on_disk("a", whole.clone(), FORMAT).unwrap();
    let opened = whole.operations();
    put(&database, &[(b"k", b"v")]).unwrap();
    drop(database);
    for at in opened..whole.operations() {
        let disk = SimulatedDisk::new(Vec::new(), Fault::FailAt(at));
        let database = Database::on_disk("a", disk, FORMAT).unwrap();
        if let Err(err) = put(&database, &[(b"k", b"v")]) {
            assert!(matches!(err, DatabaseError::Io { .. }), "at {at}: {err}");
        }
    }
}

#[test]
fn a_disk_that_is_no_longer_full_is_written_again() {
    let (mut failed, mut came_back) = (0, 0);
    let whole = SimulatedDisk::new(Vec::new(), Fault::None);
    let database = Database::on_disk("a", whole.clone(), FORMAT).unwrap();
    put(&database, &[(b"old", b"v")]).unwrap();
    let before = whole.operations();
    put(&database, &[(b"k", &[1; 100_000])]).unwrap();
    for at in before..whole.operations() {
        let disk = SimulatedDisk::new(Vec::new(), Fault::FailAt(at));
        let database = Database::on_disk("a", disk.clone(), FORMAT).unwrap();
        put(&database, &[(b"old", b"v")]).unwrap();
        if put(&database, &[(b"k", &[1; 100_000])]).is_ok() {
            continue;
        }
        failed += 1;
        // Only what a failed sync leaves is not vouched for in this process any more.
        if put(&database, &[(b"k", b"new")]).is_err() {
            continue;
        }
        came_back += 1;
        assert_eq!(database.get(T, b"old").unwrap().unwrap(), b"v", "at {at}");
        let left = disk.after_power_cut(Survivors::Synced);
        let left = Database::on_disk("a", SimulatedDisk::new(left, Fault::None), FORMAT).unwrap();
        assert_eq!(left.get(T, b"k").unwrap().unwrap(), b"new", "at {at}");
        assert_eq!(left.get(T, b"old").unwrap().unwrap(), b"v", "at {at}");
    }
    assert!(came_back > 0, "{failed} failed");
}

/// Commits numbered batches of two entries until the disk fails; returns how many were committed.
fn commit_batches(disk: SimulatedDisk, count: u8) -> u8 {
    let Ok(database) = Database::on_disk("a", disk, FORMAT) else {
        return 0;
    };
    let committed = (1..=count).take_while(|number| {
        let long = vec![*number; 3000];
        put(
            &database,
            &[(b"a", &[*number]), (b"b", &long), (&[*number], b"")],
        )
        .is_ok()
    });
    committed.count().try_into().unwrap()
}

#[test]
fn after_a_power_cut_at_any_moment_committed_batches_are_whole_and_others_absent() {
    const BATCHES: u8 = 4;
    // Files get their name when they are complete, so every run begins with a complete one.
    let new = SimulatedDisk::new(Vec::new(), Fault::None);
    drop(Database::on_disk("a", new.clone(), FORMAT).unwrap());
    let new = new.after_power_cut(Survivors::Synced);
    let whole = SimulatedDisk::new(new.clone(), Fault::None);
    assert_eq!(commit_batches(whole.clone(), BATCHES), BATCHES);
    let mut cut_between = 0;
    for at in 0..whole.operations() {
        let disk = SimulatedDisk::new(new.clone(), Fault::PowerCutAt(at));
        let committed = commit_batches(disk.clone(), BATCHES);
        cut_between += usize::from(committed > 0 && committed < BATCHES);
        let seeds = (0..6).map(Survivors::Torn);
        for survivors in [Survivors::Synced, Survivors::Written]
            .into_iter()
            .chain(seeds)
        {
            let left = SimulatedDisk::new(disk.after_power_cut(survivors), Fault::None);
            check_batches(left, committed, &format!("cut at {at}, {survivors:?}"));
        }
    }
    assert!(
        cut_between > 10,
        "the cuts did not fall between the batches"
    );
}

#[test]
fn a_database_gets_its_name_when_it_is_complete() {
    let (_place, dir) = folder();
    dir.create_dir("a.redb").unwrap();
    Database::open(&dir, "a.redb", FORMAT).unwrap_err();
    dir.remove_dir("a.redb").unwrap();
    let _open = Database::open(&dir, "a.redb", FORMAT).unwrap();
    let names: Vec<_> = dir
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["a.redb"]);
    assert!(dir.metadata("a.redb").unwrap().len() > 0);
}

fn check_batches(left: SimulatedDisk, committed: u8, case: &str) {
    let database =
        Database::on_disk("a", left, FORMAT).unwrap_or_else(|err| panic!("{case}: {err}"));
    let last = database.get(T, b"a").unwrap().map_or(0, |value| value[0]);
    // The batch under way when the power went may be there whole, or not at all.
    assert!(
        last == committed || last == committed + 1,
        "{case}: {last}, committed {committed}"
    );
    let expected = (last > 0).then(|| vec![last; 3000]);
    assert_eq!(database.get(T, b"b").unwrap(), expected, "{case}");
    for number in 1..=committed + 1 {
        let there = database.get(T, &[number]).unwrap().is_some();
        assert_eq!(there, number <= last, "{case}: batch {number}");
    }
}

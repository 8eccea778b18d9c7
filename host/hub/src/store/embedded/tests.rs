use wasm_edge_model::identity::TwinOwner;
use wasm_edge_store::disk::faults::{Fault, SimulatedDisk, Survivors};

use super::*;
use crate::store::contract;

fn on_disk(disk: SimulatedDisk) -> EmbeddedStore {
    EmbeddedStore::new(Database::on_disk(DATABASE_FILE, disk, DATABASE_FORMAT).unwrap())
}

fn key() -> DocumentKey {
    DocumentKey::of(&TwinOwner::Device(DeviceId::new("d").unwrap()))
}

#[tokio::test]
async fn the_embedded_store_keeps_the_contract() {
    contract::check_all(|| async { on_disk(SimulatedDisk::new(Vec::new(), Fault::None)) }).await;
}

#[tokio::test]
async fn revisions_go_on_after_a_restart() {
    let disk = SimulatedDisk::new(Vec::new(), Fault::None);
    let store = on_disk(disk.clone());
    let set = |store: EmbeddedStore, expected, content| async move {
        store
            .compare_and_set(&key(), expected, content)
            .await
            .unwrap()
    };
    let Swap::Done(first) = set(store, Expected::Absent, Some(Bytes::new())).await else {
        panic!("the document was absent");
    };
    let restart = || {
        on_disk(SimulatedDisk::new(
            disk.after_power_cut(Survivors::Synced),
            Fault::None,
        ))
    };
    let read = restart().read(&key()).await.unwrap().unwrap();
    assert_eq!(read.revision, first);
    let second = set(restart(), Expected::Revision(first), None).await;
    assert_eq!(second, Swap::Done(Revision(first.0 + 1)));
}

#[tokio::test]
async fn the_file_can_be_opened_again_at_once_whatever_is_still_under_way() {
    let place = tempfile::tempdir().unwrap();
    let folder = Dir::open_ambient_dir(place.path(), cap_std::ambient_authority()).unwrap();
    for round in 0..20 {
        let store = EmbeddedStore::open(&folder, OnDamage::Refuse)
            .await
            .unwrap();
        // Somebody asks, and does not wait for the answers.
        let device = DeviceId::new(&format!("d{round}")).unwrap();
        let key = DocumentKey::of(&TwinOwner::Device(device));
        let content = Bytes::from_static(b"{}");
        let mut write = store.compare_and_set(&key, Expected::Absent, Some(content));
        let mut read = store.read(&key);
        let _ = (
            futures_util::poll!(&mut write),
            futures_util::poll!(&mut read),
        );
        drop((write, read));
        drop(store);
        let again = EmbeddedStore::open(&folder, OnDamage::Refuse).await;
        let again = again.unwrap_or_else(|err| panic!("round {round}: {err:?}"));
        let kept = again.read(&key).await.unwrap();
        assert_eq!(kept.unwrap().content, Bytes::from_static(b"{}"));
    }
}

#[tokio::test]
async fn feeds_without_listeners_are_forgotten() {
    let store = on_disk(SimulatedDisk::new(Vec::new(), Fault::None));
    let devices = ["a", "b", "c"].map(|name| DeviceId::new(name).unwrap());
    drop(devices.each_ref().map(|device| store.changes(device)));
    assert_eq!(store.feeds.senders().len(), 0);
    let listening = [store.changes(&devices[0]), store.changes(&devices[0])];
    assert_eq!(store.feeds.senders().len(), 1);
    for (listener, left) in listening.into_iter().zip([1, 0]) {
        drop(listener);
        assert_eq!(store.feeds.senders().len(), left);
    }
}

#[tokio::test]
async fn a_damaged_document_is_an_error_that_names_it() {
    let store = on_disk(SimulatedDisk::new(Vec::new(), Fault::None));
    let name = key();
    store
        .database
        .transact(|transaction| transaction.put(DOCUMENTS, name.as_str().as_bytes(), b"short"))
        .unwrap();
    let err = store.read(&name).await.unwrap_err();
    assert_eq!(
        err.to_string(),
        "the stored document `devices/d` is damaged"
    );
}

fn device_key(name: &str) -> DocumentKey {
    DocumentKey::of(&TwinOwner::Device(DeviceId::new(name).unwrap()))
}

/// Makes documents of these keys, all in one group: the one thread that may write is held until all wait.
fn made_together(store: &EmbeddedStore, keys: &[DocumentKey]) -> Vec<Result<Swap, StoreError>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (go, held) = std::sync::mpsc::channel();
        let _thread = task::spawn_blocking(move || held.recv());
        let content = Some(Bytes::from_static(b"content"));
        let changes = keys
            .iter()
            .map(|key| store.compare_and_set(key, Expected::Absent, content.clone()));
        let all = futures_util::future::join_all(changes);
        let go = async { go.send(()).unwrap() };
        futures_util::future::join(all, go).await.0
    })
}

#[test]
fn changes_that_wait_together_are_written_together() {
    let operations = |count: usize| {
        let disk = SimulatedDisk::new(Vec::new(), Fault::None);
        let store = on_disk(disk.clone());
        let before = disk.operations();
        let keys: Vec<_> = (0..count).map(|n| device_key(&n.to_string())).collect();
        for (index, answer) in made_together(&store, &keys).into_iter().enumerate() {
            assert_eq!(answer.unwrap(), Swap::Done(Revision(index as u64 + 1)));
        }
        disk.operations() - before
    };
    let (one, hundred) = (operations(1), operations(100));
    assert!(hundred < 4 * one, "{hundred} for a hundred, {one} for one");
}

#[test]
fn a_change_of_a_group_succeeds_or_fails_by_itself() {
    let store = on_disk(SimulatedDisk::new(Vec::new(), Fault::None));
    let too_long = DocumentKey::configuration(&"x".repeat(2000));
    let keys = [device_key("a"), too_long, device_key("a"), device_key("b")];
    let answers = made_together(&store, &keys);
    assert!(matches!(answers[0], Ok(Swap::Done(_))), "{answers:?}");
    let too_long = answers[1].as_ref().unwrap_err();
    assert!(matches!(too_long, StoreError::Database(_)), "{too_long}");
    assert!(matches!(answers[2], Ok(Swap::Conflict)), "{answers:?}");
    assert!(matches!(answers[3], Ok(Swap::Done(_))), "{answers:?}");
}

/// Makes two groups of documents on a disk that meets a fault, and holds what is left against what was answered.
///
/// Says how many were answered well, and how many operations there were.
fn check_groups(fault: Fault, survivors: Survivors) -> (usize, usize) {
    let groups = [["a", "b", "c"], ["d", "e", "f"]].map(|names| names.map(device_key));
    let disk = SimulatedDisk::new(Vec::new(), fault);
    // A new database gets its name once it is complete: what a fault leaves of it before is never opened.
    let Ok(database) = Database::on_disk(DATABASE_FILE, disk.clone(), DATABASE_FORMAT) else {
        return (0, disk.operations());
    };
    let store = EmbeddedStore::new(database);
    let answers = groups.each_ref().map(|keys| made_together(&store, keys));
    drop(store);
    let left = on_disk(SimulatedDisk::new(
        disk.after_power_cut(survivors),
        Fault::None,
    ));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.unwrap();
    let mut well = 0;
    for (keys, answers) in groups.iter().zip(&answers) {
        let found = keys.each_ref().map(|key| {
            let read = runtime.block_on(left.read(key)).unwrap();
            read.map(|document| document.revision)
        });
        let all_or_none = found.each_ref().map(Option::is_some);
        assert!(
            all_or_none == [true; 3] || all_or_none == [false; 3],
            "{fault:?} {survivors:?} {found:?}"
        );
        for (found, answer) in found.iter().zip(answers) {
            if let Ok(swap) = answer {
                let revision = found.expect("what was answered is there");
                assert_eq!(*swap, Swap::Done(revision), "{fault:?} {survivors:?}");
                well += 1;
            }
        }
    }
    (well, disk.operations())
}

#[test]
fn what_was_answered_is_there_whenever_the_power_goes() {
    let (answered, operations) = check_groups(Fault::None, Survivors::Synced);
    assert_eq!(answered, 6);
    let mut of_first_group_only = 0;
    for operation in 0..operations {
        for survivors in [Survivors::Synced, Survivors::Torn(operation as u64)] {
            let (answered, _) = check_groups(Fault::PowerCutAt(operation), survivors);
            of_first_group_only += usize::from(answered == 3);
        }
    }
    assert!(
        of_first_group_only > 0,
        "some faults come between the groups"
    );
}

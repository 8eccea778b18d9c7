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
async fn feeds_without_listeners_are_forgotten() {
    let store = on_disk(SimulatedDisk::new(Vec::new(), Fault::None));
    let devices = ["a", "b", "c"].map(|name| DeviceId::new(name).unwrap());
    drop(devices.each_ref().map(|device| store.changes(device)));
    let _listening = store.changes(&devices[0]);
    assert_eq!(store.feeds.senders().len(), 1);
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
